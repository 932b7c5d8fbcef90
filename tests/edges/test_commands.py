"""The operator's commands where they can't even begin: in words, and with the exit code of a mistake in how they are called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = [["operator"], ["release"], ["selftest", "--operator-pods=app=llmbatch"]]


def run(command: list[str], home: Path, **variables: str) -> tuple[int, str]:
    """Run a command in an environment without a cluster; answers its exit code and what it said."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH"}}
    call = [sys.executable, "-m", "llmbatch", *command]
    ended = subprocess.run(
        call, env={**kept, "HOME": str(home), **variables}, capture_output=True, text=True, check=False, timeout=120
    )
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("command", "kubeconfig"),
    [*((command, None) for command in COMMANDS), *((["release"], text) for text in ("", "a: [", "a: b", "[]"))],
)
def test_where_no_api_server_is_named_it_is_said_what_was_looked_for(
    tmp_path: Path, command: list[str], kubeconfig: str | None
) -> None:
    path = tmp_path / "kubeconfig"
    if kubeconfig is not None:
        path.write_text(kubeconfig)
    code, told = run(command, tmp_path, KUBECONFIG=str(path))
    assert code == 2
    assert "Traceback" not in told
    assert "KUBECONFIG can't be used: " in told.splitlines()[-1]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"LLMBATCH_LOG_LEVEL": "loud"}, ["LLMBATCH_LOG_LEVEL can't be used: Input should be 'debug'"]),
        ({"LLMBATCH_TRANSFER_RESOURCES": "{"}, ["LLMBATCH_TRANSFER_RESOURCES can't be used: Expecting"]),
        (
            {"LLMBATCH_WORKERS": "0", "LLMBATCH_METRICS_PORT": "http"},
            ["LLMBATCH_METRICS_PORT can't be used: ", "LLMBATCH_WORKERS can't be used: "],
        ),
        ({"LLMBATCH_LEASE_SECONDS": "1"}, ["LLMBATCH_… can't be used: LLMBATCH_RETRY_SECONDS < "]),
    ],
)
def test_each_setting_that_can_not_be_used_is_named(tmp_path: Path, variables: dict[str, str], told: list[str]) -> None:
    code, found = run(["operator"], tmp_path, **variables)
    assert code == 2
    lines = found.splitlines()
    assert len(lines) == len(told), found
    assert all(line.startswith(words) for line, words in zip(lines, told, strict=True)), found
