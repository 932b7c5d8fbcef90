"""The operator at work: watches, works, and drains when told to stop."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from llmbatch import __version__
from llmbatch.batch.directory.readings import Readings
from llmbatch.batch.directory.rounds import Rounds
from llmbatch.batch.edge.lookup import Finder
from llmbatch.batch.edge.lost_uploads import LostUploads
from llmbatch.batch.edge.polls import Polls
from llmbatch.batch.edge.submit import Submitter
from llmbatch.batch.edge.tries import Tries
from llmbatch.batch.edge.uploads import Uploads
from llmbatch.batch.edge.writing import FactWriter
from llmbatch.batch.pure.observation import Limits
from llmbatch.gateway.clients import Gateways
from llmbatch.gateway.credentials import Credentials
from llmbatch.gateway.health import AGAIN_SECONDS, Health
from llmbatch.gateway.quota import Quota
from llmbatch.gateway.slots import Slots
from llmbatch.job.edge.act import Actor
from llmbatch.job.edge.admission import Admission
from llmbatch.job.edge.cleanup import Finalizers
from llmbatch.job.edge.observe import Observer
from llmbatch.job.edge.publish import Publisher
from llmbatch.job.edge.reconcile import Reconciler
from llmbatch.kube.client import Cluster
from llmbatch.kube.events import Recorder
from llmbatch.process.heart import Heart
from llmbatch.process.news import News
from llmbatch.provider.edge.client import Gateway
from llmbatch.runtime import figures
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB, Cache
from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.passes import Passes
from llmbatch.runtime.queue import WorkQueue
from llmbatch.runtime.refusals import Refusals
from llmbatch.runtime.watch import Watch
from llmbatch.settings import Settings
from llmbatch.transfers.discards import Discards
from llmbatch.transfers.transfers import Transfers

log = logging.getLogger(__name__)

DRAIN_SECONDS = 45.0
"""How long passes under way may take after SIGTERM: a create call's 30 s and the write of its fact."""


class Runtime:
    """One operator process."""

    def __init__(
        self, settings: Settings, cluster: Cluster, folder: Path, leads: Callable[[], bool] = lambda: True
    ) -> None:
        """Put the parts together; nothing runs yet. `leads` is asked right before a batch is created."""
        self.settings, self.cluster = settings, cluster
        self.metrics = Metrics(__version__, of_gateways=settings.metrics_of_gateways)
        self.cache, self.queue = Cache(), WorkQueue((BATCHJOB, BATCHGATEWAY))
        self.metrics.tell(figures.Jobs(partial(self.cache.all_of, BATCHJOB)))
        if settings.metrics_of_gateways:
            self.metrics.tell(figures.Gateways(partial(self.cache.all_of, BATCHGATEWAY)))
        self.recorder = Recorder(cluster, settings.namespace, settings.pod_name, settings.pod_uid)
        self.gateways = Gateways(
            cluster,
            Credentials(cluster, folder, settings.ca_file),
            self.cache,
            self.queue,
            self.metrics.gateway_call,
            min(AGAIN_SECONDS, settings.recheck_seconds),
        )
        quota = Quota(self.cache, cluster.now)
        self.metrics.tell(figures.Quotas(quota.groups))
        health = Health(
            cluster,
            self.cache,
            self.queue,
            self.gateways,
            self.recorder,
            quota,
            settings.recheck_seconds,
            settings.stall_after_seconds,
        )
        limits = Limits(
            settings.settle_seconds,
            settings.recheck_seconds,
            settings.cleanup_timeout_seconds,
            settings.stall_after_seconds,
            settings.request_retry_seconds,
        )
        self.transfers = Transfers(cluster, settings, self.metrics, self.queue)
        discards, uploads = Discards(self.transfers), Uploads(settings.settle_seconds)
        tries = Tries(settings.recheck_seconds, settings.settle_seconds, quota)
        readings, files = Readings(Gateway.list_batches), Readings(Gateway.list_files)
        self.rounds = Rounds(self.gateways, readings)
        self.gateways.forgets += [readings.leave, files.leave, self.rounds.forget]
        polls = Polls(self.gateways, self.rounds)
        observer = Observer(
            self.cache,
            self.gateways,
            polls,
            self.transfers,
            discards,
            Slots(self.cache),
            uploads,
            limits,
            tries,
            Admission(quota),
        )
        writer = FactWriter(cluster, polls, Refusals(self.recorder, self.metrics))
        self.submitter = Submitter(self.gateways, tries, readings, writer, leads, self.metrics)
        finder = Finder(self.gateways, polls, readings, writer, self.metrics)
        finalizers = Finalizers(cluster)
        lost_uploads = LostUploads(polls, uploads, files)
        actor = Actor(
            finalizers,
            observer,
            discards,
            self.transfers,
            self.submitter,
            finder,
            lost_uploads,
            self.metrics,
            self.recorder,
        )
        publisher = Publisher(cluster, self.cache, self.queue, self.recorder, self.metrics)
        self.passes = Passes(self.cache, self.queue, max(2, settings.workers // 4))
        self.metrics.tell(figures.Queue(self.queue.traffic, self.passes.under_way))
        self.reconciler = Reconciler(
            cluster,
            self.cache,
            self.queue,
            health,
            observer,
            actor,
            publisher,
            self.metrics,
            self.passes,
        )
        self.heart = Heart(self.metrics)
        self.stopping, self._begun = asyncio.Event(), asyncio.Event()
        self.news = News(cluster, self.cache, self.queue, settings.watch_namespaces, self.reconciler.call)
        self.watch = Watch(self.news.tell, settings.watch_namespaces)

    async def _listen(self) -> None:
        await self.news.begin()
        self._begun.set()
        await self.news.run()

    async def _work(self) -> None:
        await self._begun.wait()
        async for key in self.queue.keys():
            await self.reconciler.work(key)

    async def run(self) -> None:
        """Watch and work until `stopping` is set; then finish what is under way."""
        workers = [asyncio.create_task(self._work()) for _ in range(self.settings.workers)]
        beside = [asyncio.create_task(work) for work in (self._listen(), self.transfers.follow(), self.recorder.run())]
        self.metrics.leader.set(1)
        self.metrics.elections.inc()
        self.watch.start()
        log.info(
            "the operator works", extra={"version": __version__, "namespaces": self.settings.watch_namespaces or "all"}
        )
        watching = asyncio.wrap_future(self.watch.ended)
        watching.add_done_callback(lambda _: self.stopping.set())
        try:
            await self.stopping.wait()
            failed = watching.done()
            self.submitter.close()
            log.info("stopping: passes under way are finished first")
            self.watch.stop()
            await self.queue.close()
            # Workers that still wait for the first list end, too.
            self._begun.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await asyncio.gather(*workers, self.passes.drain(), self.submitter.drain())
            await self.recorder.flush(2.0)
        finally:
            for task in (*workers, *beside):
                task.cancel()
            self.passes.cancel()
            self.rounds.close()
            self.transfers.close()
            await self.gateways.close()
        if failed:
            raise RuntimeError("the watch has ended by itself") from watching.exception()
