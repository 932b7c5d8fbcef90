"""The plugin against an API server in memory; where a test needs it, the operator works there too."""

import asyncio
import contextlib
import hashlib
import io
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.cli import app
from tests.cluster.paths import REPOSITORY
from tests.controller.conftest import FIVE, api, emulator, jsonl, kong, operator
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.execs import Execs
from tests.support.inprocess import Operator, apply_all, kubeconfig
from tests.support.kubelet import Kubelet

__all__ = ["FIVE", "api", "emulator", "jsonl", "kong", "operator"]

AT_A_TERMINAL = ("env", "--default-signal=INT,HUP", sys.executable, "-m", "llmbatch.cli.entry")
"""The program as a person starts it: what a test run in the background ignores, it would else ignore too."""


async def begun(config: str, *arguments: str, **given: Any) -> asyncio.subprocess.Process:
    """Begin a command in a process of its own; `given` as to asyncio.create_subprocess_exec, `env` for what is to be set besides."""
    environment = {**os.environ, "PYTHONPATH": "operator", "KUBECONFIG": config, **given.pop("env", {})}
    command = [*AT_A_TERMINAL, *arguments, "-n", "team-a"]
    return await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, env=environment, **given)


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
        return await asyncio.to_thread(run, [*arguments, *target], stdin)


def run(arguments: list[str], stdin: bytes = b"") -> Ran:
    """Run a command in this thread."""
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


@dataclass(frozen=True)
class Life:
    """The operator at work, and the plugin beside it."""

    api: ApiServer
    operator: Operator
    kong: Instance
    plugin: Plugin

    async def run(self, content: bytes, **given: Any) -> None:
        """Have a job named `job` run to its end; further fields go into its spec."""
        apply_all(self.api, self.kong, content, build.batchjob(**given))
        await self.run_on()

    async def run_on(self, name: str = "job") -> BatchJobStatus:
        """Have a job that is there run to its end, its finalizer off."""
        await self.operator.until(lambda: self.operator.status(name).summary.submission_time, name)
        self.kong.advance(3600)
        status = await self.operator.until_ended(name)
        await self.operator.quiet()
        return status


@pytest.fixture
def life(api: ApiServer, operator: Operator, kong: Instance, plugin: Plugin) -> Life:
    return Life(api, operator, kong, plugin)


@dataclass(frozen=True)
class Node:
    """Where pods run, with the volume `data`; and the plugin beside it."""

    api: ApiServer
    plugin: Plugin
    execs: Execs
    volume: Path

    def pods(self) -> list[str]:
        """Name the pods that the plugin has made and not deleted."""
        names = [found["metadata"]["name"] for found in self.api.objects("pods")]
        return [name for name in names if name.startswith("llmbatch-volume-")]

    def stored(self, content: bytes) -> None:
        """Put an ended job and its results there, large or odd as they may be."""
        (self.volume / "out").mkdir()
        (self.volume / "out" / "r.jsonl").write_bytes(content)
        told = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        job = build.batchjob(output=PLACES["a volume"])
        self.api.put("batchjobs", {**job, "status": build.stored(output=told).dump()})


@pytest.fixture
def node(api: ApiServer, plugin: Plugin, kubelet: Kubelet) -> Node:
    return Node(api, plugin, Execs(api, kubelet.volume), kubelet.volume("data"))


def deployment(environment: dict[str, str], *, ready: int = 2, namespace: str = "llmbatch-system") -> Json:
    """Make the operator's Deployment."""
    labels = {"app.kubernetes.io/part-of": "llmbatch", "app.kubernetes.io/component": "operator"}
    given = {"LLMBATCH_LOG_LEVEL": "info", **environment}
    env = [{"name": name, "value": value} for name, value in given.items()]
    container = {"name": "operator", "image": "llmbatch:0.1.0", "env": env}
    return {
        "metadata": {"name": "llmbatch", "namespace": namespace, "labels": labels},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [container]}}},
        "status": {"readyReplicas": ready},
    }


PLACES: dict[str, Json] = {
    "a Secret": {"secret": {"name": "results", "key": "r.jsonl"}},
    "a ConfigMap": {"configMap": {"name": "results", "key": "r.jsonl"}},
    "a volume": {"persistentVolumeClaim": {"claimName": "data", "path": "out/r.jsonl"}},
}
"""Places for results."""
MIXED = jsonl("a", "b--status-400", "c")
"""An input of which one request fails."""


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A valid input."""
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(FIVE)
    return path
