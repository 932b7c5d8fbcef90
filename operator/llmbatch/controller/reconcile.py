"""One pass over a BatchJob: observe, decide, act, publish."""

import logging
import math
import time
from dataclasses import dataclass, replace

from pydantic import ValidationError

from llmbatch.api import FINALIZER
from llmbatch.api.reasons import Reason
from llmbatch.controller.act import Actor
from llmbatch.controller.cache import BATCHGATEWAY, BATCHJOB, Cache, is_settled
from llmbatch.controller.gateways import Gateways
from llmbatch.controller.observe import Json, Observer, Seen
from llmbatch.controller.outcome import Outcome
from llmbatch.controller.publish import Publisher
from llmbatch.controller.queue import Key, WorkQueue
from llmbatch.core.decide import decide
from llmbatch.core.decision import Collect, Done, Ending, RemoveFinalizer, Stalled, Upload, Wait
from llmbatch.core.trouble import ending_for
from llmbatch.edges.cluster import Cluster, ClusterError
from llmbatch.edges.metrics import Metrics
from llmbatch.edges.permissions import JOBS

log = logging.getLogger(__name__)


@dataclass
class Reconciler:
    """Works on one key at a time."""

    cluster: Cluster
    cache: Cache
    queue: WorkQueue
    gateways: Gateways
    observer: Observer
    actor: Actor
    publisher: Publisher
    metrics: Metrics

    async def work(self, key: Key) -> None:
        """Look at an object once, and plan the next look."""
        began, ending = time.monotonic(), "error"
        try:
            if key.kind == BATCHGATEWAY:
                after = await self.gateways.reconcile(key)
                ending = "gateway"
                self.queue.forget(key)
                if after is not None:
                    await self.queue.add_after(key, after)
                return
            found = await self._job(key)
            ending = type(found).__name__.lower()
            await self._plan(key, found)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other jobs must go on, and this one is tried again
            await self._failed(key, error)
        finally:
            self.metrics.reconciles.labels(ending).observe(time.monotonic() - began)

    async def _plan(self, key: Key, ending: Ending) -> None:
        match ending:
            case Done():
                self.queue.forget(key)
            case Wait(after=None) | Stalled(after=None):
                await self.queue.add_failed(key)
            case Wait(after=seconds) | Stalled(after=seconds):
                self.queue.forget(key)
                if seconds is not None and seconds != math.inf:
                    await self.queue.add_after(key, seconds)

    async def _failed(self, key: Key, error: Exception) -> None:
        if isinstance(error, ClusterError) and error.status in (0, 404, 409):
            # The API server is away for a moment, or the object has moved on.
            log.warning("a pass was given up", extra={"object": "/".join(key), "detail": str(error)})
        else:
            log.error("a pass failed", extra={"object": "/".join(key)}, exc_info=error)
            if key.kind == BATCHJOB:
                await self.publisher.internal_error(key, error)
        await self.queue.add_failed(key)

    async def _job(self, key: Key) -> Ending:
        cached = self.cache.get(key)
        if cached is not None and is_settled(cached):
            return Done()
        # The API server's own word, not the watch's: deciding on an older state could submit twice.
        raw = await self.cluster.get(JOBS, key.namespace, key.name)
        if raw is None:
            self.cache.drop(key)
            return Done()
        self.cache.put(key, raw)
        if is_settled(raw):
            return Done()
        try:
            seen = await self.observer.observe(key, raw)
        except ValidationError as error:
            return await self._unreadable(key, raw, error)
        return await self._pass(seen)

    async def _pass(self, seen: Seen) -> Ending:
        decision = decide(seen.observation)
        ending = decision.ending
        outcome = Outcome(seen.observation.status)
        if decision.effect is not None:
            outcome = await self.actor.act(seen, decision.effect)
        if outcome.problem is not None and outcome.problem.final and seen.observation.deleted_at is None:
            # Judged by the same rules as a final problem that was met while observing: it ends the job.
            seen = replace(seen, observation=replace(seen.observation, status=outcome.status, trouble=outcome.problem))
            decision = decide(seen.observation)
            if decision.effect is not None:
                outcome = await self.actor.act(seen, decision.effect)
        if seen.spent and seen.plan is not None and seen.observation.deleted_at is None:
            await self.actor.transfers.remove(seen.owner, seen.plan)
        ending = self._ending(seen, ending, outcome, uses_pod=isinstance(decision.effect, Upload | Collect))
        if outcome.stale:
            return replace(ending, after=0.0) if isinstance(ending, Wait) else Wait(Reason.ACCEPTED, "", after=0.0)
        await self.publisher.publish(seen, outcome, ending)
        if isinstance(decision.effect, RemoveFinalizer) or outcome.gone:
            return Done()
        if outcome.finish is not None:
            return Wait(Reason.CLEANING_UP, "", after=0.0)
        return ending

    def _ending(self, seen: Seen, ending: Ending, outcome: Outcome, *, uses_pod: bool) -> Ending:
        """Say how the pass ends: as decided, unless the effect met a problem or knows a better time."""
        observation = seen.observation
        if outcome.finish is not None:
            return Done()
        if outcome.problem is not None:
            if observation.deleted_at is not None:
                told = f"Can't clean up yet: {outcome.problem.message}"
                return Wait(Reason.DELETING, told, after=outcome.after or 5.0)
            in_pod = uses_pod and seen.data is None and observation.spec.output.persistent_volume_claim is not None
            return ending_for(outcome.problem, observation.stage, observation.limits, costly=in_pod)
        if outcome.after is not None and isinstance(ending, Wait):
            return replace(ending, after=outcome.after)
        return ending

    async def _unreadable(self, key: Key, raw: Json, error: ValidationError) -> Ending:
        """Say that an object can't be read, and touch nothing else of it."""
        if raw["metadata"].get("deletionTimestamp") and FINALIZER in (raw["metadata"].get("finalizers") or []):
            log.error("a deleted BatchJob can't be read", extra={"object": "/".join(key)})
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = (
            f"This version of the operator can't read the object: {where}: {first['msg']}. Were its CRDs upgraded?"
        )
        ending = Stalled(Reason.INVALID_SPEC, message, after=math.inf)
        await self.publisher.unreadable(key, raw, ending)
        return ending
