"""An emulator for tests: in a thread of this process, or in a process of its own that can be killed."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import uvicorn

from tests.emulator import client, serving

ROOT = Path(__file__).parents[2]
START_SECONDS = 30
LOOPBACK = "127.0.0.1"


class EmulatorServer:
    """with EmulatorServer() as emulator: kong = emulator.instance(dialect="azure")"""

    def __init__(
        self,
        state_dir: Path | None = None,
        *,
        certfile: str | None = None,
        keyfile: str | None = None,
        client_ca: str | None = None,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        """`verify` is what the clients of the control API use: over TLS, a context that trusts the certificate."""
        self._state_dir = state_dir
        self._tls = serving.Tls(certfile, keyfile, client_ca)
        self._verify = verify
        self._stack = contextlib.ExitStack()
        self._counter = itertools.count(1)
        self.url = ""

    def __enter__(self) -> Self:
        scratch = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="llmbatch-emulator-"))
        listener = self._stack.enter_context(socket.create_server((LOOPBACK, 0)))
        port = listener.getsockname()[1]
        server = serving.server(self._state_dir or Path(scratch), host=LOOPBACK, port=port, tls=self._tls)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="emulator", daemon=True)
        thread.start()
        self._stack.callback(_stop, server, thread)
        _wait_until(lambda: server.started, thread.is_alive)
        self.url = f"{'https' if self._tls.certfile else 'http'}://{LOOPBACK}:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def instance(self, name: str | None = None, /, **config: object) -> client.Instance:
        """A fresh instance; without a name, one that nobody else has."""
        chosen = name or f"t{next(self._counter)}-{uuid.uuid4().hex[:8]}"
        return client.make_instance(self.url, chosen, config, verify=self._verify)


def _stop(server: uvicorn.Server, thread: threading.Thread) -> None:
    server.should_exit = True
    thread.join(START_SECONDS)


class EmulatorProcess:
    """The same in a process of its own, always on one port, so that a client finds it again after a restart."""

    def __init__(self, state_dir: Path, *options: str) -> None:
        self._command = [sys.executable, "-m", "tests.emulator", "--state-dir", str(state_dir), *options]
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server((LOOPBACK, 0)) as probe:
            self._port = probe.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    def start(self) -> None:
        command = [*self._command, "--host", LOOPBACK, "--port", str(self._port)]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        self._process = process
        _wait_until(self._answers, lambda: process.poll() is None)

    def stop(self) -> None:
        """As Kubernetes does at first."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As the node's power supply does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.kill()
        self.start()

    def instance(self, name: str, /, **config: object) -> client.Instance:
        return client.make_instance(self.url, name, config)

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None, "the emulator was not started"
        self._process.send_signal(how)
        self._process.wait(START_SECONDS)
        self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=1).is_success
        except httpx.TransportError:
            return False


def _wait_until(ready: Callable[[], bool], alive: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if not alive() or time.monotonic() > deadline:
            raise RuntimeError("The emulator did not start.")
        time.sleep(0.01)
