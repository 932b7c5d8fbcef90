"""A cluster in Docker, by kind, where both are installed."""

import shutil
from pathlib import Path

from tests.cluster.paths import CACHE
from tests.cluster.shell import run, say, step, succeeds

NAME = "llmbatch"
KUBECONFIG = CACHE / "kind.kubeconfig"


def possible() -> bool:
    """Whether Docker's engine answers and kind is there; the docker client alone is not enough."""
    return bool(shutil.which("kind")) and succeeds(["docker", "info"], timeout_seconds=20)


def is_up() -> bool:
    return KUBECONFIG.exists() and NAME in _clusters() and _answers(KUBECONFIG)


def up(*, fresh: bool = False) -> None:
    if fresh:
        down()
    if is_up():
        say("  It is up already")
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    if NAME in _clusters():
        run(["kind", "export", "kubeconfig", f"--name={NAME}", f"--kubeconfig={KUBECONFIG}"])
        if is_up():
            return
        # Its containers did not survive, say, a restart of Docker.
        down()
    with step("kind: making a cluster", about="1 minute"):
        run(["kind", "create", "cluster", f"--name={NAME}", f"--kubeconfig={KUBECONFIG}", "--wait=120s"])


def down() -> None:
    if NAME in _clusters():
        with step("kind: deleting the cluster", about="5 s"):
            run(["kind", "delete", "cluster", f"--name={NAME}", f"--kubeconfig={KUBECONFIG}"])
    KUBECONFIG.unlink(missing_ok=True)


def _clusters() -> list[str]:
    return run(["kind", "get", "clusters"]).split()


def _answers(kubeconfig: Path) -> bool:
    return succeeds(["docker", "exec", f"{NAME}-control-plane", "true"]) and kubeconfig.exists()
