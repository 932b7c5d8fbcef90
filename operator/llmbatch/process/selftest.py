"""What `helm test` runs: are the operators ready and the definitions served, and does a BatchJob of one line end well?"""

import asyncio
import json
import logging
import signal
import time
from dataclasses import dataclass, field

import httpx

from llmbatch.api import API_VERSION
from llmbatch.api.conditions import COMPLETE, FAILED, READY
from llmbatch.kube.client import Cluster, ClusterError, Json
from llmbatch.kube.permissions import (
    CONFIGMAPS,
    GATEWAYS,
    JOBS,
    PODS,
    TEST_OWN_PERMISSIONS,
    TEST_PERMISSIONS,
    Resource,
)
from llmbatch.process.preflight import unserved
from llmbatch.settings import Settings

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
PROBE_SECONDS = 5.0
CLEANUP_SECONDS = 60.0
"""For the BatchJob to be gone: less than a test's pod may live beyond its wait."""
ENDED = ("Failed", "Succeeded")
"""Phases of a pod that another one has taken the place of, for example after an eviction."""
INPUT_KEY = "batch.jsonl"
ENDPOINT = "/v1/chat/completions"
REQUEST: Json = {
    "custom_id": "one",
    "method": "POST",
    "url": ENDPOINT,
    "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 10},
}


@dataclass(frozen=True)
class Asked:
    """What is looked at.

    Attributes:
        operator_pods: Label selector of the operators, in the namespace of the release.
        gateway_url: An emulator for the BatchJob; empty: no BatchJob is run.
        name: Of BatchJob, BatchGateway and ConfigMap; one that is there is taken for one that an earlier test has left.
        wait_seconds: For all of it, but for the removal of what was made.
    """

    operator_pods: str
    gateway_url: str = ""
    name: str = "llmbatch-test"
    wait_seconds: float = 200.0


@dataclass
class SelfTest:
    """One look at a release."""

    settings: Settings
    cluster: Cluster
    asked: Asked
    pause_seconds: float = PAUSE_SECONDS
    deadline: float = field(init=False)
    leaving: bool = field(default=False, init=False)
    """What was made is being removed, in which nothing may break in."""

    def __post_init__(self) -> None:
        """Begin to count."""
        self.deadline = time.monotonic() + self.asked.wait_seconds

    @property
    def namespace(self) -> str:
        """Where the BatchJob is made: where the operator looks."""
        return next(iter(self.settings.watch_namespaces), self.settings.namespace)

    async def run(self) -> list[str]:
        """Say what is wrong; nothing, when all is well."""
        try:
            wrong = await self._until_ready()
            if not wrong and self.asked.gateway_url:
                wrong = await self._run_a_job()
        except ClusterError as error:
            return [f"The test can not go on: {error}"]
        return wrong

    # --- operators ---------------------------------------------------------------------------------------------------

    async def _until_ready(self) -> list[str]:
        """Wait: right after an install definitions are not served yet, and the account's permissions not known everywhere."""
        async with httpx.AsyncClient(timeout=PROBE_SECONDS, trust_env=False) as client:
            while True:
                try:
                    wrong = await unserved(self.cluster) or await self._unready(client)
                except ClusterError as error:
                    wrong = [f"The test can not go on: {error}"]
                if not wrong or time.monotonic() > self.deadline:
                    return wrong
                await asyncio.sleep(self.pause_seconds)

    async def _unready(self, client: httpx.AsyncClient) -> list[str]:
        own, selector = self.settings.namespace, self.asked.operator_pods
        pods, _ = await self.cluster.page(PODS, own, selector=selector)
        living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and _phase(pod) not in ENDED]
        if not living:
            return [f"Namespace {own} has no pod {selector}: set the chart's value replicas to 1 or more."]
        said = await asyncio.gather(*(self._ask(client, pod) for pod in living))
        return [problem for problem in said if problem]

    async def _ask(self, client: httpx.AsyncClient, pod: Json) -> str:
        name, address = pod["metadata"]["name"], (pod.get("status") or {}).get("podIP", "")
        if not address:
            return f"Pod {name} has not started: see kubectl describe pod -n {self.settings.namespace} {name}."
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{self.settings.metrics_port}/readyz"
        try:
            answer = await client.get(url)
        except httpx.HTTPError as error:
            reachable = "If it runs, a NetworkPolicy may be in the way (chart value networkPolicy.metricsFrom)."
            return f"Pod {name} does not answer at {url}: {error!r}. {reachable}"
        return "" if answer.status_code == 200 else f"Pod {name} is not ready: {answer.text[:200]}."

    # --- a BatchJob --------------------------------------------------------------------------------------------------

    async def _run_a_job(self) -> list[str]:
        if left := await self._remove(min(self.deadline, time.monotonic() + CLEANUP_SECONDS)):
            return left
        try:
            for resource, body in self.objects():
                await self.cluster.create(resource, self.namespace, body)
            wrong = await self._until_complete()
        finally:
            self.leaving = True
            left = await self._remove(time.monotonic() + CLEANUP_SECONDS)
        return wrong + left

    def objects(self) -> list[tuple[Resource, Json]]:
        """Give what the test makes: what a job needs, and the job."""
        name = self.asked.name
        metadata = {"name": name, "namespace": self.namespace, "labels": {"app.kubernetes.io/part-of": "llmbatch"}}
        job = {
            "gatewayRef": {"name": name},
            "endpoint": ENDPOINT,
            "input": {"configMap": {"name": name, "key": INPUT_KEY}},
            "output": {"configMap": {"name": f"{name}-results", "key": "results.jsonl"}},
            "deletionPolicy": {"output": "Delete"},
        }
        gateway = {"url": self.asked.gateway_url, "pollIntervalSeconds": 1}
        data = {INPUT_KEY: f"{json.dumps(REQUEST)}\n"}
        return [
            (CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}),
            (GATEWAYS, {"apiVersion": API_VERSION, "kind": "BatchGateway", "metadata": metadata, "spec": gateway}),
            (JOBS, {"apiVersion": API_VERSION, "kind": "BatchJob", "metadata": metadata, "spec": job}),
        ]

    async def _until_complete(self) -> list[str]:
        while True:
            found = await self._job() or {}
            conditions = {item["type"]: item for item in (found.get("status") or {}).get("conditions") or []}
            holds = {kind for kind, item in conditions.items() if item["status"] == "True"}
            if COMPLETE in holds:
                return []
            if FAILED in holds:
                return [f"{self._named} failed: {conditions[FAILED].get('message')}"]
            if time.monotonic() > self.deadline:
                ready = conditions.get(READY, {})
                last = f"{ready.get('reason')}: {ready.get('message')}" if ready else "no operator has looked at it"
                return [f"{self._named} was not Complete after {self.asked.wait_seconds:g} s: {last}"]
            await asyncio.sleep(self.pause_seconds)

    async def _job(self) -> Json | None:
        """Read the BatchJob; nothing, also when the API server does not answer just now."""
        try:
            return await self.cluster.get(JOBS, self.namespace, self.asked.name)
        except ClusterError as error:
            if not error.passes:
                raise
            return {}

    async def _remove(self, deadline: float) -> list[str]:
        """Delete what is there; the BatchJob first, since the operator needs its gateway to let it go."""
        begun = time.monotonic()
        await self._delete(JOBS, deadline)
        while await self._job() is not None:
            if time.monotonic() > deadline:
                return [f"{self._named} was deleted, and is still there after {time.monotonic() - begun:.0f} s."]
            await asyncio.sleep(self.pause_seconds)
        for resource in (GATEWAYS, CONFIGMAPS):
            await self._delete(resource, deadline)
        return []

    async def _delete(self, resource: Resource, deadline: float) -> None:
        while True:
            try:
                return await self.cluster.delete(resource, self.namespace, self.asked.name)
            except ClusterError as error:
                if not error.passes or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(self.pause_seconds)

    @property
    def _named(self) -> str:
        return f"BatchJob {self.asked.name} in namespace {self.namespace}"


def _phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


async def _unless_stopped(test: SelfTest) -> list[str]:
    """Run a test; one that is told to stop removes first what it has made."""
    running = asyncio.create_task(test.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: test.leaving or running.cancel())
    try:
        return await running
    except asyncio.CancelledError:
        return ["The test was told to stop before its end."]


async def selftest(settings: Settings, asked: Asked) -> int:
    """Look at a release; answers the exit code."""
    cluster = await Cluster.connect((TEST_PERMISSIONS, TEST_OWN_PERMISSIONS))
    try:
        wrong = await _unless_stopped(SelfTest(settings, cluster, asked))
    finally:
        await cluster.close()
    for problem in wrong:
        log.error(problem)
    if not wrong:
        ran = "; a BatchJob of one line was Complete" if asked.gateway_url else ""
        log.info("the operators are ready and the definitions are served%s", ran)
    return 1 if wrong else 0
