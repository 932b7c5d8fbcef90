"""A busy day in a minute: two operators, gateways of two teams, jobs in every state, and Prometheus that scrapes them.

The operators are processes of their own, as in a cluster; what they talk to is an API server in memory and the emulator.
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.chaos.operators import OperatorProcess
from tests.controller.lines import jsonl
from tests.dashboard.answers import Prometheus, prometheus
from tests.e2e.forward import free_port
from tests.emulator.server import EmulatorServer
from tests.support import build
from tests.support.apiserver import ApiServer

INPUTS = {
    "good": jsonl("one", "two", "three", "four", "five"),
    "mixed": jsonl("one", "two--status-400", "three", "four--status-500"),
    "bad": jsonl("one--status-400", "two--status-400"),
    "invalid": b"no JSON\n",
}
TOKENS = 5 * 259
"""Estimate of the good input: 3 tokens of prompt and 256 for an answer, five times."""
PATIENT = {"LLMBATCH_LEASE_SECONDS": "30", "LLMBATCH_RENEW_SECONDS": "20", "LLMBATCH_STALL_AFTER_SECONDS": "0"}
"""On a busy machine a renewal takes its time."""


class Scene:
    """What goes on."""

    def __init__(self, api: ApiServer, emulator: EmulatorServer) -> None:
        """Set up gateways and inputs; no job runs yet."""
        self._api = api
        self._waves = itertools.count()
        quick = {"validating_seconds": 0.3, "in_progress_seconds": 0.7, "finalizing_seconds": 0.3}
        self._kong = emulator.instance(**quick)
        self._slow = emulator.instance(validating_seconds=1, in_progress_seconds=3600, finalizing_seconds=1)
        for namespace, (name, content) in itertools.product(("team-a", "team-b"), INPUTS.items()):
            metadata = {"name": name, "namespace": namespace}
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": content.decode()}}
            api.put("configmaps", made)
        self._gateway("team-a", "kong", self._kong.url, limits={"maxActiveBatches": 20})
        quota = {"maxEnqueuedTokens": 2 * TOKENS, "quotaGroup": "azure-eu"}
        self._gateway("team-b", "kong", self._slow.url, limits=quota)
        self._gateway("team-b", "kong-old", f"http://127.0.0.1:{free_port()}")
        taken = {"name": "taken", "namespace": "team-a"}
        api.put("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": taken, "data": {"r.jsonl": "eA=="}})
        self._job("team-a", "taken", "good")
        for number in range(4):
            self._job("team-b", f"long-{number}", "good")

    def wave(self) -> None:
        """Have a few more jobs run, and something go wrong at the gateway."""
        number = next(self._waves)
        match number % 5:
            case 1:
                self._kong.fault("status", "batches.create", status=429, as_="kong", retry_after="1")
            case 2:
                self._kong.fault("reset_after", "batches.create")
            case 3:
                self._kong.fault("repeat", "batches.create")
        for place, kind in enumerate(("good", "good", "mixed", ("bad", "invalid")[number % 2])):
            self._job("team-a", f"{kind}-{number}-{place}", kind)

    def _gateway(self, namespace: str, name: str, url: str, **given: Any) -> None:
        self._api.put("batchgateways", build.batchgateway(url, name, namespace, **given))

    def _job(self, namespace: str, name: str, kind: str) -> None:
        source = {"configMap": {"name": kind, "key": "k"}}
        self._api.put("batchjobs", build.batchjob_apart(name, namespace=namespace, input=source))


@asynccontextmanager
async def playing(program: Path, folder: Path) -> AsyncIterator[tuple[Scene, Prometheus]]:
    """Play while the context is open; `program` is Prometheus."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(ApiServer().serve())
        scene = Scene(api, stack.enter_context(EmulatorServer()))
        ports = [free_port() for _ in range(2)]
        for port in ports:
            its_own = folder / str(port)
            its_own.mkdir()
            operator = OperatorProcess(api, its_own, **PATIENT, LLMBATCH_METRICS_PORT=str(port))
            await operator.start()
            stack.push_async_callback(operator.stop)
        targets = [f"127.0.0.1:{port}" for port in ports]
        yield scene, stack.enter_context(prometheus(program, targets, folder))
