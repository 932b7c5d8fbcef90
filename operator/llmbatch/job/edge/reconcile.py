"""One pass over a BatchJob: observe, decide, act, publish."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import ValidationError

from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure.decision import Done, Ending, Stalled, Wait
from llmbatch.common.about import about
from llmbatch.gateway.health import Health
from llmbatch.gateway.ledger import Ledger
from llmbatch.job.edge.act import Actor
from llmbatch.job.edge.deadline import OVERDUE_SECONDS, Deadline
from llmbatch.job.edge.observe import Observer
from llmbatch.job.edge.passes.ending import STALE
from llmbatch.job.edge.passes.gone import Gone
from llmbatch.job.edge.passes.parts_pass import PartsPass
from llmbatch.job.edge.passes.single_pass import SinglePass
from llmbatch.job.edge.publish import Publisher, Unjudged
from llmbatch.job.pure.parts import is_split
from llmbatch.kube.client import Cluster, ClusterError, StatusRefusedError
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB, Cache, is_settled
from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.objects import Objects
from llmbatch.runtime.passes import Passes
from llmbatch.runtime.queue import Key, WorkQueue
from llmbatch.runtime.refusals import Refusals

TRANSFERRING = frozenset({
    Reason.UPLOADING,
    Reason.COLLECTING,
    Reason.CREDENTIALS_NOT_FOUND,
    Reason.TRANSFER_IMAGE_PULL_FAILED,
    Reason.TRANSFER_PENDING,
    Reason.TRANSFER_SUSPENDED,
    Reason.TRANSFER_UNSCHEDULABLE,
    Reason.VOLUME_CLAIM_UNBOUND,
})  # fmt: skip
"""A transfer is at work, or its pod is kept from starting for a while."""

IN_A_ROW = 3
"""After so many looks that failed, what is reserved for a job's next step is given to others."""

log = logging.getLogger(__name__)


@dataclass
class NextLook:
    """Plans when an object is looked at again."""

    cache: Cache
    queue: WorkQueue
    deadline: Deadline
    ledger: Ledger
    refusals: Refusals
    unjudged: Unjudged
    call: Callable[[Key, Key | None], Awaitable[None]]
    """Has the jobs of a gateway looked at whose turn it is, but for one."""

    async def after(self, key: Key, ending: Ending) -> None:
        """Plan the next look after a pass."""
        match ending:
            case Done():
                self.queue.forget(key)
            case Wait(after=None) | Stalled(after=None):
                await self._again(key)
                if ending is STALE:
                    await self._let_others_go(key)
            case Wait(after=seconds) | Stalled(after=seconds):
                if ending.reason not in TRANSFERRING:
                    # A transfer that was begun again has not succeeded yet: its delays go on growing.
                    self.queue.forget(key)
                if seconds is not None and seconds != math.inf:
                    await self.queue.add_after(key, seconds)

    async def after_failure(self, key: Key, error: Exception) -> None:
        """Plan the next look after one that failed, and tell of that."""
        wait = 0.0
        if isinstance(error, ClusterError) and not isinstance(error, StatusRefusedError) and error.passes:
            # The API server is away or busy for a moment, or the object has moved on: no write and no trace for that.
            wait = error.retry_after or 0.0
            log.warning("a pass was given up", extra={"object": "/".join(key), "detail": str(error)})
        elif isinstance(error, StatusRefusedError):
            uid = (self.cache.get(key) or {}).get("metadata", {}).get("uid", "")
            self.refusals.tell(key, uid, error)
        else:
            log.error("a pass failed", extra={"object": "/".join(key)}, exc_info=error)
            if key.kind == BATCHJOB:
                await self.unjudged.internal_error(key, error)
        await self._again(key, wait)
        await self._let_others_go(key)

    async def _let_others_go(self, key: Key) -> None:
        """Have an object whose looks fail again and again keep no tokens from others meanwhile."""
        if key.kind == BATCHJOB and self.queue.failures(key) >= IN_A_ROW:
            self.ledger.give_up(key)
            await self.call(self.cache.gateway_of(key), key)

    async def _again(self, key: Key, at_least: float = 0.0) -> None:
        """Look again with growing delays; however long they have grown, at a deletion when its time is over."""
        self.cache.unsure(key)
        await self.queue.add_failed(key, at_least)
        left = self.deadline.seconds_left(self.cache.get(key)) + OVERDUE_SECONDS
        if 0 < left < math.inf:
            await self.queue.add_after(key, left + 0.1)


@dataclass
class Reconciler:
    """Works on each key once at a time."""

    cluster: Cluster
    cache: Cache
    queue: WorkQueue
    health: Health
    observer: Observer
    actor: Actor
    publisher: Publisher
    metrics: Metrics
    passes: Passes

    def __post_init__(self) -> None:
        """Make what passes over jobs, and what lets them go."""
        self.objects = Objects(self.cluster, self.cache)
        self.deadline = Deadline(self.cluster, self.observer, self.actor, self.publisher)
        self.single = SinglePass(self.actor, self.publisher, self.objects)
        self.parts = PartsPass(self.observer, self.actor)
        self.next_look = NextLook(
            self.cache,
            self.queue,
            self.deadline,
            self.observer.admission.quota.ledger,
            self.actor.submitter.writer.refusals,
            self.publisher.unjudged,
            self.call,
        )
        self.gone = Gone(self.observer, self.actor, self.publisher, self.parts)
        self.cache.listen(self.gone.changed)

    async def work(self, key: Key) -> None:
        """Look at an object once, and plan the next look; a look that takes long goes on after this has returned."""
        # One that would only be let go, without a call to its gateway, waits for nobody.
        if await self.passes.run(key, self._work, at_once=self._seconds_left(key) < 0):
            return
        self.metrics.reconciles.labels("busy").observe(0.0)
        if (left := self._seconds_left(key)) < math.inf:
            await self.queue.add_after(key, left + 0.1)

    async def _work(self, key: Key) -> None:
        began, ending = time.monotonic(), "error"
        try:
            with about(object="/".join(key)):
                ending = await self._look(key)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other jobs must go on, and this one is tried again
            await self.next_look.after_failure(key, error)
        finally:
            self.metrics.reconciles.labels(ending).observe(time.monotonic() - began)

    async def _look(self, key: Key) -> str:
        if key.kind == BATCHGATEWAY:
            after = await self.health.reconcile(key)
            self.queue.forget(key)
            await self.call(key)
            if after is not None:
                await self.queue.add_after(key, after)
            return "gateway"
        gateway = self.cache.gateway_of(key)
        failed: Key | None = key
        try:
            found = await self._job(key)
            if found is not STALE:
                failed = None
                self.observer.admission.quota.ledger.goes_well(key)
        finally:
            # What was claimed is used by now, as the cache shows, or will not be.
            self.observer.slots.release(key)
            self.gone.forget(key)
            await self.call(gateway, failed)
        await self.next_look.after(key, found)
        return type(found).__name__.lower()

    async def call(self, gateway: Key, but: Key | None = None) -> None:
        """Have the jobs looked at whose turn it is among those that wait for a place; one has just failed, and comes again later."""
        for key in (*self.observer.slots.called(gateway), *self.observer.admission.quota.called(gateway)):
            if key != but:
                await self.queue.add(key)

    async def _job(self, key: Key) -> Ending:
        cached = self.cache.get(key)
        doubtful = self.cache.is_doubtful(key)
        if cached is not None and is_settled(cached) and not doubtful:
            return Done()
        raw = await self.objects.to_look_at(key)
        if raw is None or is_settled(raw):
            return Done()
        if "deletionTimestamp" in raw["metadata"]:
            self.passes.leaves(key)
        left = self.deadline.seconds_left(raw)
        if left < -OVERDUE_SECONDS:
            # Held longer than the rules allow, for whatever reason.
            return await self.deadline.let_go(key, raw)
        try:
            # What hangs when the time for cleaning up is over is given up: the next pass lets the object go.
            async with asyncio.timeout(left if 0 < left < math.inf else None) as limit:
                try:
                    seen = await self.observer.observe(key, raw)
                except ValidationError as error:
                    if self.deadline.overdue(raw) > OVERDUE_SECONDS:
                        return await self.deadline.let_go(key, raw)
                    return await self.deadline.unreadable(key, raw, error)
                return await self._pass(seen)
        except TimeoutError:
            if not limit.expired():
                raise
            return Wait(Reason.DELETING, "", after=0.0)

    async def _pass(self, seen: Seen) -> Ending:
        if is_split(seen.stored):
            return await self._pass_over_parts(seen)
        return await self.single.run(seen)

    async def _pass_over_parts(self, seen: Seen) -> Ending:
        outcome, ending, lingering = await self.parts.run(seen)
        if outcome.stale:
            return STALE
        await self.publisher.publish(seen, outcome, ending)
        for part in lingering:
            if part.plan is not None:
                await self.actor.transfers.jobs.remove(part.owner, part.plan)
        return Wait(Reason.CLEANING_UP, "", after=0.0) if outcome.finish is not None else ending

    def _seconds_left(self, key: Key) -> float:
        return self.deadline.seconds_left(self.cache.get(key))
