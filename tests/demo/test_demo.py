"""make demo shows a batch from end to end, and touches nothing that somebody else made."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.paths import REPOSITORY
from tests.demo.results import readable
from tests.e2e.kube import Kube
from tests.e2e.release import Release


def demo(command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.demo", command],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": "operator:.", **environ},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_results_are_readable() -> None:
    line = {
        "custom_id": "prod1",
        "response": {
            "status_code": 200,
            "body": {
                "model": "gpt-4o",
                "choices": [{"message": {"content": "A lamp. " * 20}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
            },
        },
        "error": None,
    }

    shown = readable(f"{json.dumps(line)}\n").splitlines()

    assert shown[0] == "prod1  3 + 4 tokens, gpt-4o, finish_reason stop"
    assert max(len(text) for text in shown) <= 100
    assert shown[-1] == "1 results, 7 tokens"


@pytest.fixture
def afterwards(release: Release) -> Iterator[Release]:
    """The tests' own release, as it was, when the demo has been."""
    yield release
    Kube(release.cluster, "default").run(
        "delete", "-f", str(REPOSITORY / "examples/batchjob-configmap.yaml"),
        "-f", str(REPOSITORY / "examples/gateway-emulator.yaml"), "--ignore-not-found",
    )  # fmt: skip
    release.install()


@pytest.mark.cluster
@pytest.mark.alone
def test_the_demo_runs_five_requests_and_ends_with_what_to_do_next(afterwards: Release) -> None:
    finished = demo("up")

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr.startswith("Cluster: ")
    assert [line.split()[0] for line in finished.stdout.splitlines() if " tokens, " in line] == [
        f"prod{number}" for number in range(1, 6)
    ]
    phases = [line.split()[1] for line in finished.stdout.splitlines() if line.startswith("product-descriptions ")]
    assert "InProgress" in phases
    assert phases[-1] == "Complete"
    assert f"export KUBECONFIG={afterwards.cluster.kubeconfig}" in finished.stdout
    assert "make demo-down" in finished.stdout


@pytest.mark.cluster
def test_on_another_cluster_what_somebody_else_installed_is_left_alone(release: Release, tmp_path: Path) -> None:
    # Under another name, the cluster is somebody's that KUBECONFIG names.
    kubeconfig = tmp_path / "kubeconfig"
    shutil.copy(release.cluster.kubeconfig, kubeconfig)

    nameless = demo("up", KUBECONFIG=str(kubeconfig))
    images = {"LLMBATCH_IMAGE": "registry/llmbatch:1", "LLMBATCH_EMULATOR_IMAGE": "registry/llmbatch-emulator:1"}
    up, down = (demo(command, KUBECONFIG=str(kubeconfig), **images) for command in ("up", "down"))

    assert (nameless.returncode, up.returncode, down.returncode) == (1, 1, 1)
    assert "LLMBATCH_IMAGE and LLMBATCH_EMULATOR_IMAGE do not say which" in nameless.stderr
    assert "that the demo did not install" in up.stderr
    assert "The demo made nothing" in down.stderr
    assert release.kube.exists("deployment", release.name)
