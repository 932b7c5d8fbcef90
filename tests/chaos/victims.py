"""The processes in pods of this machine that a campaign kills: found by their environment, killed by pid."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.e2e.release import Release

Kind = Literal["operator", "transfer", "emulator"]


@dataclass(frozen=True)
class Victim:
    """A process in a pod."""

    pid: int
    kind: Kind
    pod: str

    def send(self, what: signal.Signals) -> bool:
        """Send a signal; answers whether the process was still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, what)
            return True
        return False

    def kill(self) -> bool:
        """SIGKILL it, as the kernel does when memory runs out."""
        return self.send(signal.SIGKILL)


class NothingToKillError(AssertionError):
    """The pods' processes are not on this machine."""


def victims(release: Release) -> list[Victim]:
    """Find the processes of a release, and those of all transfer pods.

    Raises:
        NothingToKillError: There is no operator among them.
    """
    found = [victim for path in Path("/proc").iterdir() if path.name.isdigit() and (victim := _victim(path, release))]
    if not any(victim.kind == "operator" for victim in found):
        raise NothingToKillError(
            "no operator's process is on this machine: a campaign needs the node's processes here, as the cluster of `make cluster-up` has them"
        )
    return found


def _victim(path: Path, release: Release) -> Victim | None:
    try:
        command = (path / "cmdline").read_bytes().split(b"\0")
        if b"llmbatch" not in command[0] + command[1] and b"tests.emulator" not in command:
            return None
        pairs = (item.partition(b"=") for item in (path / "environ").read_bytes().split(b"\0"))
        environment = {name.decode(): value.decode(errors="replace") for name, _, value in pairs}
        inside = "kubepods" in (path / "cgroup").read_text()
    except (OSError, IndexError):
        return None  # it has just ended
    pod = environment.get("HOSTNAME", "")
    if not inside:
        return None
    if environment.get("LLMBATCH_LEASE_NAME") == release.name:
        return Victim(int(path.name), "operator", environment.get("LLMBATCH_POD_NAME", pod))
    if "LLMBATCH_PLAN" in environment:
        return Victim(int(path.name), "transfer", pod)
    if b"tests.emulator" in command and pod.startswith(f"{release.name}-emulator"):
        return Victim(int(path.name), "emulator", pod)
    return None


def reachable(release: Release) -> str:
    """Give the emulator's address for this machine: a port-forward would end with each of its deaths."""
    address = release.kube.get("service", f"{release.name}-emulator")["spec"]["clusterIP"]
    return f"http://{address}:8000"
