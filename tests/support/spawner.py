"""Processes of llmbatch, made from one that has read its libraries already: that takes a second of a processor each time.

`python -m tests.support.spawner SOCKET` forks one for each connection: a line of JSON with arguments, environment and the
file for what it says; answered with its pid, and, when it has ended, with its exit code (-9: by that signal).
"""

import asyncio
import atexit
import contextlib
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LIBRARIES = ("aiohttp", "httpx", "kopf", "prometheus_client", "pydantic", "requests_oauthlib", "yaml")
"""What is the same for all, and reads nothing of the environment, as the Kubernetes client does. llmbatch itself is read by
each: what it does then is part of its start."""
START_SECONDS = 60


class Spawned:
    """A process that was started; ends as one that this process had started itself."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over what the spawner has answered."""
        self.pid = pid
        self.returncode: int | None = None
        self._writer = writer
        self._ended = asyncio.create_task(self._wait(reader))

    async def _wait(self, reader: asyncio.StreamReader) -> int:
        try:
            self.returncode = int(await reader.readline())
        finally:
            self._writer.close()
        return self.returncode

    async def wait(self) -> int:
        """Wait for its end; answers the exit code, negative for a signal."""
        return await asyncio.shield(self._ended)

    def send_signal(self, what: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, what)


async def llmbatch(*arguments: str, env: Mapping[str, str], log: Path) -> Spawned:
    """Start `llmbatch …` with an environment; what it says is added to a file."""
    reader, writer = await asyncio.open_unix_connection(await asyncio.to_thread(_spawner))
    wanted = {"arguments": arguments, "env": dict(env), "log": str(log)}
    writer.write(f"{json.dumps(wanted)}\n".encode())
    return Spawned(int(await reader.readline()), reader, writer)


@functools.cache
def _spawner() -> str:
    """Start this process' spawner, which ends with it; answers its socket."""
    folder = tempfile.TemporaryDirectory(prefix="llmbatch-spawner-")
    path = str(Path(folder.name, "socket"))
    process = subprocess.Popen([sys.executable, "-m", __name__, path], stdin=subprocess.PIPE)

    def end() -> None:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()
        folder.cleanup()

    atexit.register(end)
    deadline = time.monotonic() + START_SECONDS
    while not os.path.exists(path):  # noqa: PTH110 - a socket
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the spawner did not start (exit code {process.returncode})")
        time.sleep(0.02)
    return path


# --- the spawner itself --------------------------------------------------------------------------------------------------


def main(path: str) -> None:
    """Fork a keeper for each connection, until whoever started this is gone."""
    for name in LIBRARIES:
        importlib.import_module(name)
    # Keepers end by themselves, and nobody asks how.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{path}.new")
        listening.listen(64)
        os.rename(f"{path}.new", path)  # noqa: PTH104 - a socket
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listening.accept()
            with connection:
                if os.fork() == 0:
                    listening.close()
                    _keep(connection)


def _keep(connection: socket.socket) -> None:
    """Fork the process, and tell of its end, or end it with whoever asked for it; ends this one."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection.makefile("rw", encoding="utf-8") as stream:
        wanted: dict[str, Any] = json.loads(stream.readline())
        pid = os.fork()
        if pid == 0:
            connection.detach()
            _become(wanted)
        stream.write(f"{pid}\n")
        stream.flush()
        ended = os.pidfd_open(pid)
        if ended not in select.select([ended, connection.fileno()], [], [])[0]:
            # Whoever asked for it is gone, killed perhaps, and nobody would ever end it.
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stream.write(f"{os.waitstatus_to_exitcode(status)}\n")
            stream.flush()
    os._exit(0)


def _become(wanted: dict[str, Any]) -> None:
    """Be `llmbatch …` from here on."""
    os.closerange(3, 4096)
    said = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, said), (2, said)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(wanted["env"])
    # As a process that has just started does it, and not by returning to whoever forked it.
    code: object = 1
    try:
        from llmbatch.__main__ import main as llmbatch_main  # noqa: PLC0415 - each reads it for itself

        code = llmbatch_main(wanted["arguments"])
    except SystemExit as error:
        code = error.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main(sys.argv[1])
