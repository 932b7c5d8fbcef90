"""Writes what a pass came to: status once and only if it changed, events on transitions, counters after the write."""

import logging
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from llmbatch import crash
from llmbatch.api import conditions as kinds
from llmbatch.api.base import timestamp
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import Json, Seen
from llmbatch.batch.edge.writing import EDITORS, MOST_CONFLICTS, read_again, write_unmoved
from llmbatch.batch.pure import remote_state, standing
from llmbatch.batch.pure.decision import Ending, Stalled
from llmbatch.batch.pure.stage import Stage, stage_of
from llmbatch.common.patch import merge_patch
from llmbatch.job.edge.passes.unhurried import Unhurried
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.events import Recorder, Subject
from llmbatch.kube.permissions import JOBS
from llmbatch.runtime.cache import BATCHJOB, Cache, active_batches
from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.queue import Key, WorkQueue
from llmbatch.runtime.watch import needs_a_look

log = logging.getLogger(__name__)

QUIET = frozenset({
    Reason.ACCEPTED,
    Reason.CLEANING_UP,
    Reason.COLLECTING,
    Reason.FINALIZING,
    Reason.IN_PROGRESS,
    Reason.SUBMITTING,
})  # fmt: skip
"""Reasons on the way of each job; an event for each would be noise: status tells. How it ended is told."""
COUNT_SECONDS = 5.0
"""A gateway's status tells of its active batches so much later, and not of each."""


@dataclass
class Unjudged:
    """Says of an object that it can't be judged; its other status stays as it is."""

    cluster: Cluster
    cache: Cache
    queue: WorkQueue

    async def unreadable(self, key: Key, raw: Json, ending: Stalled) -> None:
        """Say that an object can't be read; its other status stays as it is."""
        await self._say(key, raw, status="False", kind=kinds.STALLED, reason=ending.reason, message=ending.message)

    async def internal_error(self, key: Key, error: Exception) -> None:
        """Say that a pass failed in a way nobody foresaw."""
        raw = self.cache.get(key)
        if raw is None:
            return
        words = str(error) if isinstance(error, ClusterError) else type(error).__name__
        message = f"The operator met an error and tries again: {words}. Its log has the details."
        try:
            await self._say(
                key, raw, status="Unknown", kind=kinds.RECONCILING, reason=Reason.INTERNAL_ERROR, message=message
            )
        except ClusterError as refused:
            log.warning(
                "the error could not be told in status", extra={"object": "/".join(key), "detail": str(refused)}
            )

    async def _say(self, key: Key, raw: Json, *, status: str, kind: str, reason: Reason, message: str) -> None:
        if remote_state.is_ended(raw):
            # The verdict stays, whatever happens on the way out.
            return
        found = raw.get("status") or {}
        try:
            old = BatchJobStatus.parse(found)
        except ValidationError:
            old = BatchJobStatus()
        kept = [item for item in old.conditions if item.type not in (kinds.READY, kinds.STALLED, kinds.RECONCILING)]
        now, generation = timestamp(self.cluster.now()), raw["metadata"].get("generation")
        said = [
            {"type": name, "status": value, "observedGeneration": generation, "reason": str(reason), "message": message}
            for name, value in ((kinds.READY, status), (kind, "True"))
        ]
        for item in said:
            before = old.condition(str(item["type"]))
            same = before is not None and before.status == item["status"]
            item["lastTransitionTime"] = timestamp(before.last_transition_time) if before and same else now
        patch = {"observedGeneration": generation, "conditions": [*said, *(item.dump() for item in kept)]}
        if merge_patch(found, {**found, **patch}):
            # On another state, of an object that was made anew under its name, say, or has ended, it would say what isn't so.
            version = raw["metadata"]["resourceVersion"]
            written = await self.cluster.patch_status(JOBS, key.namespace, key.name, patch, resource_version=version)
            self.cache.answered(key, written)
            if needs_a_look(raw, written):
                await self.queue.add(key)


@dataclass
class Publisher:
    """Writes status, events and counters."""

    cluster: Cluster
    cache: Cache
    queue: WorkQueue
    recorder: Recorder
    metrics: Metrics
    _copies: set[str] = field(default_factory=set)
    """uids of the copies that were told of."""
    _unhurried: Unhurried = field(default_factory=Unhurried)

    def __post_init__(self) -> None:
        """Make what speaks of objects that can't be judged."""
        self.unjudged = Unjudged(self.cluster, self.cache, self.queue)

    async def publish(self, seen: Seen, outcome: Outcome, ending: Ending, *, goes_on: bool = False) -> Seen:
        """Publish a pass; answers the job with what is stored then.

        One that goes on goes by what was seen: nothing is written over what has changed since (ClusterError, 409).
        """
        subject = Subject(BATCHJOB, seen.key.namespace, seen.key.name, seen.owner.uid)
        for kind, reason, message in outcome.notes:
            self.recorder.record(subject, kind, reason, message)
        self._tell_of_copy(subject, seen)
        if outcome.gone:
            self._unhurried.written(seen.owner.uid)
            return seen
        before, written = seen.stored, outcome.raw or seen.raw
        known = before if written is seen.raw else BatchJobStatus.parse(written.get("status") or {})
        after = seen.closed(outcome.status, ending, before=known, finish=outcome.finish)
        patch = merge_patch(written.get("status") or {}, after.dump())
        if written is seen.raw and (not patch or await self._may_wait(seen, outcome, after, goes_on=goes_on)):
            return seen
        try:
            if patch:
                with crash.around(crash.Effect.WRITE_STATUS):
                    written = await self._write(seen, patch, outcome.version, after, goes_on=goes_on)
        except ClusterError as error:
            if error.status == 404:
                # The watch tells of that, unless it has missed it.
                self.cache.unsure(seen.key)
                await self.queue.add(seen.key)
                return seen
            raise
        self._unhurried.written(seen.owner.uid)
        self.cache.answered(seen.key, written)
        if needs_a_look(seen.raw, written):
            # Somebody changed the object during this pass. The watch's event will be no news to the cache any more.
            await self.queue.add(seen.key)
        gateway = Key("BatchGateway", seen.key.namespace, seen.observation.spec.gateway_ref.name)
        self.metrics.recorded(before, after, (gateway.namespace, gateway.name))
        self.metrics.duplicates.inc(outcome.duplicates)
        self._tell(subject, before, after)
        if active_batches(seen.raw) != active_batches(written) or (before.queue is None) != (after.queue is None):
            # The gateway's status shows how many batches are active; soon, since a job of many parts changes it with each.
            await self.queue.add_after(gateway, COUNT_SECONDS)
        return replace(seen, raw=written, stored=after)

    def forget(self, uid: str) -> None:
        """Forget a job that is gone."""
        self._copies.discard(uid)
        self._unhurried.written(uid)

    async def _may_wait(self, seen: Seen, outcome: Outcome, after: BatchJobStatus, *, goes_on: bool) -> bool:
        """Put a write off that would say nothing new: most often the next step's is soon to come."""
        if goes_on or outcome.version is not None or outcome.duplicates or outcome.finish is not None:
            return False
        wait = self._unhurried.wait(seen.owner.uid, seen.stored, after)
        if wait > 0:
            await self.queue.add_after(seen.key, wait)
        return wait > 0

    async def _write(
        self, seen: Seen, patch: Json, version: str | None, after: BatchJobStatus, *, goes_on: bool
    ) -> Json:
        """Write a status; what is about the batch only while nobody else's batch or intent stands there.

        An old leader that was frozen just here must not take away the intent of the next one, under which a call may be
        under way, nor put its own batch in the place of another.
        """
        known = version or seen.raw["metadata"]["resourceVersion"]
        if goes_on:
            key = seen.key
            return await self.cluster.patch_status(JOBS, key.namespace, key.name, patch, resource_version=known)
        if "batches" not in patch:
            return await write_about(self.cluster, seen, patch, after, version=known)
        written = await write_unmoved(self.cluster, seen, patch, before=seen.stored, after=after, version=known)
        if written is None:
            raise ClusterError(409, "Conflict", "another batch or intent stands in the status by now")
        return written

    def _tell_of_copy(self, subject: Subject, seen: Seen) -> None:
        """Say once that an object has come back from somewhere, and what that means for it."""
        observation = seen.observation
        if observation.stage is Stage.ENDED or subject.uid in self._copies:
            return
        if observation.restored:
            told = f"This is a copy of the BatchJob with uid {observation.status_uid}. " + (
                "It begins anew, as a job of its own."
                if observation.stage in (Stage.INPUT, Stage.FILE)
                else "It follows the original's batch and collects its results; at the provider it removes nothing."
            )
        elif observation.stage is Stage.ANSWER and stage_of(seen.stored) is Stage.INPUT:
            told = "The status of this job was lost; before anything is submitted, the gateway is asked for its batch."
        else:
            return
        self._copies.add(subject.uid)
        self.recorder.record(subject, "Warning", Reason.RESTORED, told)

    def _tell(self, subject: Subject, before: BatchJobStatus, after: BatchJobStatus) -> None:
        """Record an event when the job's reason has changed; a poll that finds nothing new tells nothing."""
        old, new = before.condition(kinds.READY), after.condition(kinds.READY)
        if (
            new is None
            or (old is not None and (old.status, old.reason) == (new.status, new.reason))
            or new.reason in QUIET
            # That the batch was made is told where something was told before, which kept it from being made.
            or (new.reason == Reason.VALIDATING and (old is None or old.reason in QUIET))
        ):
            return
        warns = new.status == "False" or any(
            item.reason == new.reason and item.status == "False"
            for item in after.conditions
            if item.type in (kinds.SUBMITTED, kinds.RESULTS_STORED, kinds.INPUT_READY)
            if new.reason not in PROGRESS
        )
        self.recorder.record(subject, "Warning" if warns else "Normal", Reason(new.reason), new.message)


PROGRESS = frozenset({
    Reason.UPLOADING,
    Reason.FILE_PENDING,
    Reason.TRANSFER_PENDING,
    Reason.WAITING_FOR_SLOT,
})  # fmt: skip


async def write_about(cluster: Cluster, seen: Seen, patch: Json, after: BatchJobStatus, *, version: str) -> Json:
    """Write what is said of the job, whoever edits it meanwhile; not over another status, nor to another object of its name.

    Raises:
        ClusterError: The API server didn't take it; 404 when the object is gone, 409 when another status stands there.
    """
    key, before = seen.key, seen.raw.get("status") or {}
    for conflicts in range(MOST_CONFLICTS):
        try:
            return await cluster.patch_status(JOBS, key.namespace, key.name, patch, resource_version=version)
        except ClusterError as error:
            found = await read_again(cluster, seen) if error.status == 409 else {}
            stored = found.get("status") or {}
            if error.status != 409 or stored != before or conflicts + 1 == MOST_CONFLICTS:
                # Another leader may have given a verdict meanwhile.
                raise
        version = found["metadata"]["resourceVersion"]
        if stored and conflicts + 1 >= EDITORS:
            tests = [{"op": "test", "path": "/status", "value": stored}]
            steps = standing.steps(patch, after.dump(), stored)
            return await cluster.patch_status_where(JOBS, key.namespace, key.name, tests, steps)
    raise AssertionError("the last conflict is raised")
