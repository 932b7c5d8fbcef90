"""The plugin against an API server in memory; where a test needs it, the operator works there too."""

import asyncio
import contextlib
import io
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmbatch.cli import app
from tests.controller.conftest import FIVE, api, emulator, jsonl, kong, operator
from tests.support.apiserver import ApiServer
from tests.support.execs import Execs
from tests.support.inprocess import kubeconfig
from tests.support.kubelet import Kubelet

__all__ = ["FIVE", "api", "emulator", "jsonl", "kong", "operator"]


@dataclass(frozen=True)
class Ran:
    """How a command has ended, and what it said."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode()


class Plugin:
    """Runs commands in a thread of this process, as a person in namespace team-a."""

    def __init__(self, config: str) -> None:
        """Use a kubeconfig."""
        self._config = config

    async def __call__(self, *arguments: str, stdin: bytes = b"") -> Ran:
        """Run a command."""
        target = ["--kubeconfig", self._config, "-n", "team-a"]
        return await asyncio.to_thread(_run, [*arguments, *target], stdin)


def _run(arguments: list[str], stdin: bytes) -> Ran:
    out, err = io.TextIOWrapper(io.BytesIO(), write_through=True), io.StringIO()
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = app.run(arguments)
    finally:
        sys.stdin = before
    out.flush()
    written = out.buffer
    assert isinstance(written, io.BytesIO)
    return Ran(code, written.getvalue(), err.getvalue())


@pytest.fixture
def plugin(api: ApiServer, tmp_path: Path) -> Plugin:
    return Plugin(kubeconfig(api, tmp_path))


@pytest.fixture
async def kubelet(api: ApiServer, tmp_path: Path) -> AsyncIterator[Kubelet]:
    running = Kubelet(api, tmp_path / "node", {})
    yield running
    await running.close()


@pytest.fixture
def execs(api: ApiServer, kubelet: Kubelet) -> Execs:
    return Execs(api, kubelet.volume)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A valid input."""
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(FIVE)
    return path
