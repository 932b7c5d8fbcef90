"""The operator in this process: its real parts, against an API server in memory and the gateway's emulator."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import client as kubernetes_client

from llmbatch.api.batch_status import Batch, entries
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure.stage import memory_of
from llmbatch.kube.client import Cluster
from llmbatch.kube.permissions import JOBS, OWN_PERMISSIONS, PERMISSIONS, Permissions
from llmbatch.process.runtime import Runtime
from llmbatch.runtime.queue import Key
from llmbatch.settings import Settings
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.kstatus import check_gateway, check_jobs

Json = dict[str, Any]

NAMESPACE = "team-a"
PATIENCE_SECONDS = 60.0
"""For what a busy machine takes long over; what never comes is known a little later for it."""
KINDS = {"batchjobs": "BatchJob", "batchgateways": "BatchGateway"}


def cluster_of(api: ApiServer, *declared: Permissions) -> Cluster:
    """Connect the operator's own client, for the operator's permissions or for others."""
    configuration = kubernetes_client.Configuration(host=api.url)
    configuration.retries = None
    return Cluster(kubernetes_client.ApiClient(configuration), declared or (PERMISSIONS, OWN_PERMISSIONS))


def kubeconfig(api: ApiServer, folder: Path) -> str:
    """Write a kubeconfig of an API server in memory; answers its path."""
    return kubeconfig_of(api.url, folder)


def kubeconfig_of(url: str, folder: Path) -> str:
    """Write a kubeconfig of whatever API server is there; answers its path."""
    named = {"name": "here"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{**named, "cluster": {"server": url}}],
        "users": [{**named, "user": {"token": "t"}}],
        "contexts": [{**named, "context": {"cluster": "here", "user": "here"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return str(path)


class Operator:
    """Workers over the operator's own queue; the watch is the API server telling of its changes."""

    def __init__(self, api: ApiServer, folder: Path, **settings: object) -> None:
        """Put the parts together; settings are short, so that no test waits."""
        self.api = api
        self.cluster = cluster_of(api)
        given = {
            "settle_seconds": 0.3,
            "recheck_seconds": 0.05,
            "request_retry_seconds": 0.3,
            "cleanup_timeout_seconds": 5,
            "workers": 4,
        }
        given |= {"stall_after_seconds": 0}
        self.runtime = Runtime(Settings.model_validate(given | settings), self.cluster, folder)
        self._changes: asyncio.Queue[tuple[str, Key, Json]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._workers: list[asyncio.Task[None]] = []
        self._at_work = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Operator"]:
        """Work while the context is open; every status that was stored meanwhile keeps the rules."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()
        check_jobs(self.api.stored)
        for found in self.api.stored:
            if found["_plural"] == "batchgateways":
                check_gateway(found)

    async def start(self) -> None:
        """Begin to watch and to work, with the API server's clock known as after the checks of a real start."""
        await self.cluster.served(JOBS)
        for plural in ("batchgateways", "batchjobs"):
            for found in self.api.objects(plural):
                self._changed("LISTED", {**found, "_plural": plural})
        self.api.on_change.append(self._changed)
        beside = (self._watch(), self.runtime.transfers.follow(), self.runtime.recorder.run())
        self._tasks = [asyncio.create_task(work) for work in beside]
        await self._followed()
        self._workers = [asyncio.create_task(self._work()) for _ in range(self.runtime.settings.workers)]

    async def _followed(self) -> None:
        """Wait until transfer Jobs are followed, so that no test counts the calls for that; not where they can't be."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                while not self.runtime.transfers.jobs.followed.is_told(NAMESPACE):  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop as SIGTERM does: what is under way is finished."""
        if self._changed in self.api.on_change:
            self.api.on_change.remove(self._changed)
        await self.runtime.queue.close()
        drained = (self.runtime.passes.drain(), self.runtime.submitter.drain())
        await asyncio.gather(*self._workers, *drained, return_exceptions=True)
        await self.runtime.recorder.flush(2.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self._workers = [], []
        self.runtime.rounds.close()
        self.runtime.transfers.close()
        await self.runtime.gateways.close()
        await self.cluster.close()

    def cancel_workers(self) -> None:
        """Cancel whatever is under way, as a process does whose time to drain is over."""
        for worker in self._workers:
            worker.cancel()
        self.runtime.passes.cancel()

    def _changed(self, kind: str, found: Json) -> None:
        plural = found.pop("_plural")
        if plural in KINDS:
            metadata = found["metadata"]
            self._changes.put_nowait((kind, Key(KINDS[plural], metadata["namespace"], metadata["name"]), found))

    async def _watch(self) -> None:
        while True:
            await self.runtime.news.changed(*await self._changes.get())

    async def _work(self) -> None:
        async for key in self.runtime.queue.keys():
            self._at_work += 1
            try:
                await self.runtime.reconciler.work(key)
            finally:
                self._at_work -= 1

    # --- what a test asks --------------------------------------------------------------------------------------------

    def job(self, name: str = "job") -> Json:
        """Read a BatchJob."""
        found = self.api.get("batchjobs", name)
        assert found is not None, f"BatchJob {name} does not exist"
        return found

    def status(self, name: str = "job") -> BatchJobStatus:
        """Read a BatchJob's status."""
        return BatchJobStatus.parse(self.job(name).get("status") or {})

    def batch(self, name: str = "job") -> Batch:
        """Read what a BatchJob's status says of its batch; nothing before there is one."""
        return next(iter(self.status(name).batches), Batch())

    def reason(self, name: str = "job") -> str:
        """Read the reason of a BatchJob's Ready condition."""
        ready = self.status(name).condition("Ready")
        return ready.reason if ready is not None else ""

    def gateway_reason(self, name: str = "kong") -> str:
        """Read the reason of a BatchGateway's Ready condition."""
        found = self.api.get("batchgateways", name) or {}
        conditions = found.get("status", {}).get("conditions") or [{}]
        return str(conditions[0].get("reason", ""))

    async def look(self, name: str = "job") -> None:
        """Have a BatchJob looked at now, with a poll even if none is due."""
        found = self.api.get("batchjobs", name)
        key = Key("BatchJob", NAMESPACE, name)
        if found is not None:
            for entry in entries(found.get("status") or {}) or [{}]:
                batch = Batch(part=entry.get("part"), attempt=entry.get("attempt"))
                self.runtime.reconciler.observer.polls.polled(memory_of(found["metadata"]["uid"], batch), 0)
        await self.runtime.queue.add(key)

    async def until(self, done: Callable[[], object], name: str | None = "job") -> None:
        """Wait for something, looking at the named job again and again so that no delay of its own is waited out."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + PATIENCE_SECONDS, 0.01
        while not done():
            if loop.time() > deadline:
                shown = [found.get("status") for found in self.api.objects("batchjobs")]
                raise AssertionError(f"that never came; statuses: {shown}")
            if name is not None:
                await self.look(name)
            await asyncio.sleep(pause)
            # What takes long isn't there a moment sooner for being asked about at every moment.
            pause = min(1.2 * pause, 0.1)

    async def until_reason(self, reason: str, name: str = "job") -> None:
        """Wait for a reason of the Ready condition."""
        await self.until(lambda: self.reason(name) == reason, name)

    async def until_ended(self, name: str = "job") -> BatchJobStatus:
        """Wait for the end of a job."""
        await self.until(lambda: self.status(name).has_ended, name)
        await self._told()
        return self.status(name)

    async def until_gone(self, name: str = "job") -> None:
        """Wait until a job is gone."""
        await self.until(lambda: self.api.get("batchjobs", name) is None, name)
        await self._told()

    async def _told(self) -> None:
        """Wait until what was written is counted and told of too, which comes right after; not for a pass that hangs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await self.runtime.passes.drain()
        await self.runtime.recorder.flush(1.0)

    async def quiet(self) -> None:
        """Wait until every key that was due has been looked at, but not for a pass that hangs."""
        await asyncio.sleep(0.05)
        for _ in range(50):
            if self._at_work:
                await asyncio.sleep(0.01)
        await self._told()
        await self.until(lambda: self._changes.empty() and self.runtime.queue.depth == 0, None)

    def events(self) -> list[tuple[str, str]]:
        """Give type and reason of all events so far."""
        return [(event["type"], event["reason"]) for event in self.api.objects("events")]


def remove_by_force(api: ApiServer, name: str = "job") -> None:
    """Delete a BatchJob, and take off what holds it, in one breath."""
    api.remove("batchjobs", name)
    if api.get("batchjobs", name) is not None:
        api.edit("batchjobs", name, {"metadata": {"finalizers": None}})


def config_map(name: str, key: str, content: bytes) -> Json:
    """Make a ConfigMap."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {key: content.decode()}}


def secret(name: str, **data: str) -> Json:
    """Make a Secret."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "data": encoded}


def apply_all(api: ApiServer, kong: Instance, content: bytes, *jobs: Json, **gateway: Any) -> None:
    """Apply prompts, a gateway and jobs, as a user does; without jobs, one of ConfigMap to Secret."""
    api.put("configmaps", config_map("prompts", "batch.jsonl", content))
    api.put("batchgateways", build.batchgateway(gateway.pop("url", kong.url), **gateway))
    for job in jobs or (build.batchjob(),):
        api.put("batchjobs", job)
