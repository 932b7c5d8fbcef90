"""The console script as a process of its own: what it needs, its exit codes, its words."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from llmbatch import __version__
from tests.cluster.paths import REPOSITORY
from tests.controller.lines import FIVE, jsonl

SCRIPTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
COMMANDS = ("validate", "submit", "watch", "results", "errors", "retry", "doctor")
PAGE = (REPOSITORY / "docs/kubectl-plugin.md").read_text(encoding="utf-8")


def kubectl_llmbatch(*arguments: str, before: str = "", stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the console script, without the wrapper that pip makes of it."""
    module, _, function = SCRIPTS["scripts"]["kubectl-llmbatch"].partition(":")
    code = f"{before}import sys; from {module} import {function}; sys.exit({function}())"
    env = {**os.environ, "PYTHONPATH": "operator", "KUBECONFIG": "/nowhere", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY, env=env, input=stdin, capture_output=True, check=False,
    )  # fmt: skip


def test_help_names_every_command() -> None:
    ran = kubectl_llmbatch("--help")
    assert (ran.returncode, ran.stderr) == (0, b"")
    listed = re.findall(r"^  (\w+)  ", ran.stdout.decode().partition("Commands:")[2], re.MULTILINE)
    assert listed == list(COMMANDS)
    assert b"Usage: kubectl llmbatch " in ran.stdout


@pytest.mark.parametrize("command", [[], ["submit"]], ids=str)
def test_it_can_be_asked_for_help_as_kubectl_can(command: list[str]) -> None:
    short, long = kubectl_llmbatch(*command, "-h"), kubectl_llmbatch(*command, "--help")
    assert (short.returncode, short.stdout) == (0, long.stdout)


def test_it_runs_where_there_is_no_hangup(tmp_path: Path) -> None:
    """As on Windows, whose Python has neither that signal nor what only POSIX has."""
    lacking = "import os, signal, sys; del signal.SIGHUP, os.O_NOFOLLOW, os.O_DIRECTORY, os.O_NONBLOCK, os.getuid; "
    lacking += "sys.modules.update(dict.fromkeys(('fcntl', 'resource', 'pwd', 'grp', 'termios'))); "
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(FIVE)
    for arguments in (["--help"], ["validate", str(file)], ["submit", str(file), "--gateway", "kong", "--dry-run"]):
        ran = kubectl_llmbatch(*arguments, before=lacking)
        assert ran.returncode == 0, ran.stderr.decode()


def test_what_the_outputs_encoding_lacks_is_told_in_another_way(tmp_path: Path) -> None:
    """As on Windows, where a program that reads the output has it in a code page."""
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(jsonl("\u4f60", "\u4f60"))
    ran = kubectl_llmbatch("validate", str(file), before="import sys; sys.stdout.reconfigure(encoding='cp1252'); ")
    assert ran.returncode == 1, ran.stderr.decode()
    assert b'line 2, custom_id: "\\u4f60" is already on line 1' in ran.stdout


def test_without_a_command_it_says_which_there_are() -> None:
    ran = kubectl_llmbatch()
    assert ran.returncode == 2
    assert b"Commands:" in ran.stdout + ran.stderr


def test_it_says_its_version() -> None:
    assert kubectl_llmbatch("--version").stdout.decode() == f"{__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_shows_every_option_of_a_command_that_is_its_own(command: str) -> None:
    ran = kubectl_llmbatch(command, "--help")
    assert ran.returncode == 0
    section = PAGE.partition(f"## {command}\n")[2].partition("\n## ")[0]
    assert re.search(rf"kubectl llmbatch {command}\b", section), "an example"
    options = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", ran.stdout.decode(), re.MULTILINE))
    everywhere = {"--help", "--namespace", "--context", "--kubeconfig"}
    everywhere |= {"--image", "--timeout", "--operator-namespace"}
    assert {option for option in options - everywhere if f"`{option}" not in section} == set()


@pytest.mark.parametrize(
    ("content", "code"),
    [pytest.param(FIVE, 0, id="valid"), pytest.param(jsonl("a", "a"), 1, id="invalid")],
)
def test_validate_ends_with_the_verdict(content: bytes, code: int, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(content)
    assert kubectl_llmbatch("validate", str(file)).returncode == code
    assert kubectl_llmbatch("validate", "-", stdin=content).returncode == code


FULL = {"stdout": ">/dev/full", "both": ">/dev/full 2>&1"}
CLOSED = {"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-"}


def of_a_shell(arguments: str, redirection: str, content: bytes, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with its streams as a shell has them."""
    (tmp_path / "prompts.jsonl").write_bytes(content)
    shell = ["sh", "-c", f"{sys.executable} -m llmbatch.cli.entry {arguments} {redirection}"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY / "operator"), "KUBECONFIG": "/nowhere"}
    return subprocess.run(shell, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("full", FULL)
@pytest.mark.parametrize("arguments", ["validate prompts.jsonl", "submit prompts.jsonl --gateway kong --dry-run"])
def test_where_nothing_more_can_be_written_no_verdict_is_given(arguments: str, full: str, tmp_path: Path) -> None:
    ran = of_a_shell(arguments, FULL[full], FIVE, tmp_path)
    assert ran.returncode == 2
    said = "error: standard output can't be written to: No space left on device; send it elsewhere\n"
    assert ran.stderr.endswith("" if full == "both" else said)
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize(("content", "code"), [(FIVE, 0), (jsonl("a", "a"), 1)], ids=["valid", "invalid"])
def test_a_stream_that_is_not_needed_may_be_closed(closed: str, content: bytes, code: int, tmp_path: Path) -> None:
    ran = of_a_shell("validate prompts.jsonl", CLOSED[closed], content, tmp_path)
    assert (ran.returncode, ran.stderr) == (code, "")


@pytest.mark.parametrize(
    ("arguments", "redirection", "told"),
    [
        ("validate -", "<&-", "error: standard input is closed: name a file"),
        ("submit prompts.jsonl --gateway kong --dry-run", ">&-", "error: standard output is closed, and nothing"),
    ],
)
def test_a_stream_that_is_needed_and_closed_is_named(
    arguments: str, redirection: str, told: str, tmp_path: Path
) -> None:
    ran = of_a_shell(arguments, redirection, FIVE, tmp_path)
    assert ran.returncode == 2
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("arguments", [["validate"], ["frobnicate"], ["watch", "job"], ["doctor"]])
def test_what_could_not_be_done_ends_with_exit_code_2_and_a_word(arguments: list[str]) -> None:
    ran = kubectl_llmbatch(*arguments)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert ran.stderr.strip()
    assert b"Traceback" not in ran.stderr


def test_what_nobody_thought_of_is_not_the_answer_no() -> None:
    before = "import llmbatch.cli.cluster as c\nc.Cluster.connect = None\n"
    ran = kubectl_llmbatch("watch", "job", before=before)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert b"Traceback" in ran.stderr, "for those who mend it"


def test_a_kubeconfig_that_is_not_there_is_named() -> None:
    assert b"kubeconfig /nowhere can't be used" in kubectl_llmbatch("watch", "job").stderr


WITHOUT = "import sys; sys.modules.update(dict.fromkeys({}))\n"
"""Has the import system say that packages are not installed."""


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    ran = kubectl_llmbatch("watch", "job", before=WITHOUT.format([missing]))
    assert ran.returncode == 2
    told = f"kubectl-llmbatch needs {missing}, not installed here: pip install '.[cli]' in a clone of llmbatch\n"
    assert ran.stderr.decode() == told


def test_the_operator_needs_nothing_of_the_extra() -> None:
    extra = sorted(re.split(r"[<>=]", name)[0] for name in SCRIPTS["optional-dependencies"]["cli"])
    assert extra == ["rich", "typer"]
    pinned = (REPOSITORY / "operator/requirements.txt").read_text()
    assert not [name for name in extra if re.search(rf"^{name}==", pinned, re.MULTILINE)]
    code = WITHOUT.format(extra) + (
        "import pkgutil, importlib, llmbatch\n"
        "names = [m.name for m in pkgutil.walk_packages(llmbatch.__path__, 'llmbatch.', onerror=print)]\n"
        "others = [name for name in names if '.cli' not in name]\n"
        "[importlib.import_module(name) for name in others]\n"
        "print(len(others) > 100)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": "operator"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stdout == "True\n", ran.stderr
