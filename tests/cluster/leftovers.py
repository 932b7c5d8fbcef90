"""What pods leave on the host once the kubelet is gone: shims, control groups, mounts, links."""

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Set
from pathlib import Path

from tests.cluster import network
from tests.cluster.components import POD_LOGS, UNMOVABLE_POD_LOGS, components
from tests.cluster.paths import CACHE, STATE
from tests.cluster.shell import ClusterError, run, succeeds

_CGROUPS = Path("/sys/fs/cgroup")
_CONTAINER_LOG_LINKS = Path("/var/log/containers")  # the kubelet's, and not to be moved by any setting
_SHIM_SOCKETS = Path("/run/containerd")  # containerd's, likewise
_DEVICE_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")  # the kubelet's, whatever its root folder
_BUILDER = CACHE / "buildah"
_SHIM = "containerd-shim-runc-v2"
_PROGRAMS = {_SHIM, "kube", *(component.name for component in components(Path(), Path()))}


def end_pods() -> None:
    """Kill what runs in pods, and the shims that look after them."""
    _end(lambda: [*_pids_in_pods(), *_pids_of({_SHIM})])
    for group in _pod_groups():
        for folder, _, _ in os.walk(group, topdown=False):
            _remove_group(Path(folder))


def end_strays() -> None:
    """Kill processes of ours whose pid files were lost."""
    _end(lambda: _pids_of(_PROGRAMS))


def unmount() -> None:
    """Unmount what kubelet, containerd and the image builder mounted, the innermost first."""
    for mount in reversed(_mounts()):
        if not succeeds(["umount", mount]):
            run(["umount", "--lazy", mount])


def remove_files() -> None:
    """Remove links and sockets outside the state folder."""
    for link in (*_log_links(), *_pod_logs_links()):
        link.unlink()
    _DEVICE_SOCKET.unlink(missing_ok=True)
    for socket in _dead_shim_sockets():
        socket.unlink()
    shims = [_SHIM_SOCKETS / name for name in ("s", "fifo", "")]
    for folder in (_CONTAINER_LOG_LINKS, *shims, Path("/run/runc"), _DEVICE_SOCKET.parent, _DEVICE_SOCKET.parents[1]):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def traces() -> list[str]:
    """List everything of the embedded cluster that is still on this machine."""
    found = [f"process {pid}: {_command(pid)[:120]}" for pid in {*_pids_of(_PROGRAMS), *_pids_in_pods()}]
    found += [f"mount {mount}" for mount in _mounts()]
    found += [f"control group {group}" for group in _pod_groups()]
    found += [f"log link {link}" for link in (*_log_links(), *_pod_logs_links())]
    found += [f"socket {_DEVICE_SOCKET}"] if _DEVICE_SOCKET.exists() else []
    if shutil.which("nft"):
        found += network.traces()
    if STATE.exists():
        found.append(f"state folder {STATE}")
    return found


def _end(find: Callable[[], list[int]]) -> None:
    deadline = time.monotonic() + 15
    while pids := find():
        if time.monotonic() > deadline:
            raise ClusterError(f"These processes do not end, not even by SIGKILL: {pids}")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _remove_group(folder: Path) -> None:
    # The kernel takes a moment to notice that a group's last process is gone.
    deadline = time.monotonic() + 3
    while True:
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _pids_of(programs: Set[str]) -> list[int]:
    """Return processes that are one of these programs and were told about our state folder.

    Not all that name the folder: a shell or an editor may do so too.
    """
    found = []
    for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        program, _, arguments = _command(pid).partition(" ")
        if Path(program).name in programs and f"{STATE}/" in arguments:
            found.append(pid)
    return found


def _pids_in_pods() -> list[int]:
    return [pid for group in _pod_groups() for pid in _pids_below(group)]


def _pod_groups() -> list[Path]:
    """Return the control groups of pods, unless another kubelet on this machine has its pods there."""
    groups = [path for path in (*_CGROUPS.glob("kubepods"), *_CGROUPS.glob("*/kubepods")) if path.is_dir()]
    return [group for group in groups if all(_on_our_files(pid) for pid in _pids_below(group))]


def _pids_below(group: Path) -> set[int]:
    pids: set[int] = set()
    # os.walk passes over groups that vanish meanwhile, as pods end; Path.rglob fails on them.
    for folder, _, files in os.walk(group):
        if "cgroup.procs" in files:
            with contextlib.suppress(OSError):
                pids.update(int(pid) for pid in Path(folder, "cgroup.procs").read_text().split())
    return pids


def _on_our_files(pid: int) -> bool:
    """Whether a process in a container has its root file system from our containerd's folder."""
    try:
        return f"{STATE}/" in Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return True  # it has just ended


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _mounts() -> list[str]:
    """Return mount points below our folders, in the order in which they were mounted."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    plain = [re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), point) for point in points]
    return [point for point in plain if point.startswith((f"{STATE}/", f"{_BUILDER}/"))]


def _dead_shim_sockets() -> list[Path]:
    """Return those that nobody listens at: the others are of another containerd, Docker's for one."""
    listened_at = Path("/proc/net/unix").read_text()
    return [socket for socket in (_SHIM_SOCKETS / "s").glob("*") if str(socket) not in listened_at]


def _log_links() -> list[Path]:
    if not _CONTAINER_LOG_LINKS.is_dir():
        return []
    ours = tuple(f"{folder}/" for folder in (STATE, *_pod_logs_links()))
    return [
        path for path in _CONTAINER_LOG_LINKS.iterdir() if path.is_symlink() and str(path.readlink()).startswith(ours)
    ]


def _pod_logs_links() -> list[Path]:
    link = UNMOVABLE_POD_LOGS
    return [link] if link.is_symlink() and link.readlink() == POD_LOGS else []
