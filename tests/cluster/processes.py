"""Processes of the embedded cluster: started detached, remembered in pid files, ended only if they are still ours."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.paths import LOGS, STATE
from tests.cluster.shell import ClusterError

PIDS = STATE / "pids"


@dataclass(frozen=True)
class Process:
    """One running process. A pid alone is reused sooner or later; with its start and the boot it names one process."""

    name: str
    pid: int
    started: str  # in clock ticks since boot
    boot: str
    argv: list[str]

    @property
    def alive(self) -> bool:
        _reap(self.pid)
        return self.boot == _boot() and self.started == _started(self.pid) != ""


def start(name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Process:
    """Start a process that outlives us, with its log beside the others; `env` is added to the little that all have."""
    words = [str(word) for word in argv]
    LOGS.mkdir(parents=True, exist_ok=True)
    PIDS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{name}.log").open("a") as log:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=STATE,
            # Its own session: neither Ctrl-C nor the end of a terminal reaches the cluster. Its own environment:
            # a proxy or KUBECONFIG of whoever calls is none of the cluster's business.
            start_new_session=True,
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(STATE),
                **(env or {}),
            },
        )
    process = Process(name, child.pid, _started(child.pid), _boot(), words)
    # Renamed into place: a pid file is either whole or not there.
    unfinished = PIDS / f".{name}"
    unfinished.write_text(json.dumps(process.__dict__))
    unfinished.rename(PIDS / f"{name}.json")
    return process


def recorded() -> dict[str, Process]:
    """Return every process that has a pid file, alive or not."""
    files = sorted(PIDS.glob("*.json"))
    return {file.stem: Process(**json.loads(file.read_text())) for file in files}


def stop(processes: Iterable[Process], *, patience_seconds: float = 5) -> None:
    """End processes: ask, then insist. Those that are gone, or whose pid now is someone else's, are left alone."""
    waiting = [process for process in processes if process.alive]
    for process in waiting:
        os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_seconds
    while waiting and time.monotonic() < deadline:
        time.sleep(0.05)
        waiting = [process for process in waiting if process.alive]
    for process in waiting:
        kill(process)


def kill(process: Process) -> None:
    """End a process at once, as a crash would, and wait until it's gone."""
    if process.alive:
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while process.alive:
        if time.monotonic() > deadline:
            raise ClusterError(f"{process.name} (pid {process.pid}) does not end, not even by SIGKILL")
        time.sleep(0.02)


def end_others(than: Collection[str]) -> None:
    """End and forget all but those of these names."""
    others = [process for name, process in recorded().items() if name not in than]
    stop(others)
    for process in others:
        (PIDS / f"{process.name}.json").unlink(missing_ok=True)


def last_words(name: str, lines: int = 15) -> str:
    """Return the end of a process's log."""
    log = LOGS / f"{name}.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> str:
    """Return when a process started, or nothing if it is gone (a zombie is as good as gone)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    # The name, in parentheses, may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    # The first thread of a process that was killed may be a zombie while others still hold its sockets and memory.
    return "" if fields[0] in "ZX" and _threads(pid) <= 1 else fields[19]


def _threads(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0


def _reap(pid: int) -> None:
    # No child of ours if an earlier run started it: then its parent is init, which reaps it.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
