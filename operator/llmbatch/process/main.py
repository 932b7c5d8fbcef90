"""The operator's process: connects, checks, waits for its turn, works, and ends."""

import asyncio
import contextlib
import logging
import os
import random
import signal
import tempfile
import threading
import time
import uuid
from pathlib import Path

from llmbatch.common import backoff
from llmbatch.kube.client import Cluster, ClusterError, apart
from llmbatch.process.preflight import check
from llmbatch.process.runtime import Runtime
from llmbatch.runtime.election import Elector
from llmbatch.runtime.probes import ProbeServer
from llmbatch.settings import Settings

log = logging.getLogger(__name__)

EXIT_LOST = 3
"""The Lease was lost: somebody else may be at work already, so nothing at all is finished any more."""


class Process:
    """One operator process, from its start to its end."""

    def __init__(self, settings: Settings, cluster: Cluster, folder: Path) -> None:
        """Put the parts together; nothing runs yet."""
        self._settings, self._cluster, self._elections = settings, cluster, apart(cluster)
        self.elector = Elector(
            self._elections,
            namespace=settings.namespace,
            name=settings.lease_name,
            identity=f"{settings.pod_name}_{uuid.uuid4().hex[:12]}",
            lease_seconds=settings.lease_seconds,
            renew_seconds=settings.renew_seconds,
            retry_seconds=settings.retry_seconds,
        )
        self.runtime = Runtime(settings, cluster, folder, self.elector.leads)
        self._checked = False

    def ready(self) -> str:
        """Say why the process is not ready; empty when it works, or stands by."""
        runtime, elector = self.runtime, self.elector
        if runtime.stopping.is_set():
            return "stopping"
        if not self._checked:
            return "the API server has not been asked for permissions yet"
        if elector.leads():
            return "" if runtime.watch.started.is_set() else "the watch has not begun yet"
        late = time.monotonic() - elector.answered_at
        return "" if late < 3 * self._settings.lease_seconds else "the API server does not answer about the lease"

    async def run(self) -> int:
        """Work when it is this process' turn, until SIGTERM; answers the exit code."""
        runtime, loop = self.runtime, asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, runtime.stopping.set)
        beating = asyncio.create_task(runtime.heart.run())
        stopped = asyncio.create_task(runtime.stopping.wait())
        try:
            prepared = asyncio.create_task(self._prepare())
            await asyncio.wait((prepared, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not prepared.done():
                # Told to stop before its turn came.
                prepared.cancel()
                await asyncio.gather(prepared, return_exceptions=True)
                return 0
            if problems := prepared.result():
                for problem in problems:
                    log.error(problem)
                return 1
            await self._lead()
        finally:
            await self.close()
            for task in (beating, stopped):
                task.cancel()
        return 0

    async def close(self) -> None:
        """Give the Lease back, and close the connections that are for that alone."""
        await self.elector.release()
        await self._elections.close()

    async def _prepare(self) -> list[str]:
        """Wait for the API server, for the permissions to be there, and for the Lease; or say what is missing."""
        failures = 0
        while True:
            try:
                if problems := await check(self._cluster, self._settings.watch_namespaces, self._settings.namespace):
                    return problems
                break
            except ClusterError as error:
                if error.status not in {0, 429} and error.status < 500:
                    raise
                failures += 1
                log.warning("the API server does not answer yet", extra={"detail": str(error)})
                await asyncio.sleep(backoff.next_delay(failures, random.random(), first=0.5, longest=10.0))  # noqa: S311 - jitter, no secret
        self._checked = True
        await self.elector.acquire()
        return []

    async def _lead(self) -> None:
        self.elector.guard(_leave)
        renewing = asyncio.create_task(self.elector.hold())
        renewing.add_done_callback(lambda task: None if task.cancelled() else _leave())
        try:
            await self.runtime.run()
        finally:
            renewing.cancel()


def _leave() -> None:
    """End at once: what is under way could meet the work of the next leader."""
    log.error("the lease was lost: this process ends, and starts anew as one that stands by")
    os._exit(EXIT_LOST)


async def operate(settings: Settings) -> int:
    """Run the operator until SIGTERM; answers the exit code."""
    cluster = await Cluster.connect()
    with tempfile.TemporaryDirectory(prefix="llmbatch-") as folder, contextlib.ExitStack() as stack:
        try:
            process = Process(settings, cluster, Path(folder))
            runtime = process.runtime
            runtime.heart.beat = time.monotonic()
            probes = ProbeServer(
                settings.metrics_address,
                settings.metrics_port,
                runtime.metrics.registry,
                alive=runtime.heart.wrong,
                ready=process.ready,
            )
            stack.callback(probes.close)
            log.info("metrics and probes are served", extra={"port": probes.port, "threads": threading.active_count()})
            return await process.run()
        except ClusterError as error:
            log.error("the API server can't be used", extra={"detail": str(error)})  # noqa: TRY400 - said in full
            return 1
        finally:
            await cluster.close()
