"""Creating a batch exactly once: intent, call, fact."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from llmbatch import crash
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.late_batches import LateBatches
from llmbatch.batch.edge.listing import Found, list_ours
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.polls import Polls
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.edge.tries import Tries
from llmbatch.batch.edge.writing import write_unmoved
from llmbatch.batch.pure import facts, standing
from llmbatch.batch.pure.stage import Stage, stage_of
from llmbatch.batch.pure.submission import came_too_late, horizon
from llmbatch.common.backoff import next_delay
from llmbatch.common.patch import merge_patch
from llmbatch.gateway.clients import Client, Gateways
from llmbatch.gateway.pace import Operation, with_moment
from llmbatch.kube.client import Cluster, ClusterError, StatusRefusedError
from llmbatch.kube.clock import Stopwatch
from llmbatch.kube.permissions import JOBS
from llmbatch.provider.edge.client import Made, NotMade, TooLate, UnknownOutcome
from llmbatch.provider.pure import about
from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.refusals import Refusals
from llmbatch.transfer.pure import naming
from llmbatch.transfer.pure.report import Problem

log = logging.getLogger(__name__)

FENCE_SECONDS = 10.0
"""The call begins so soon after the intent was written, or the intent is written anew: whoever finds an old intent
may then rely on no call being under way that began later."""
CONNECT_SECONDS = 15.0
"""How long connecting may take after that; see Gateway."""
USED_UP = frozenset({Reason.QUOTA_EXCEEDED, Reason.BILLING_LIMIT})
"""What the very batch may have used up that a proxy's first try has made."""
LONGEST_SECONDS = 30.0
"""Longest delay between two tries to write a fact."""


@dataclass
class Submitter:
    """Creates batches, and writes down that they exist."""

    cluster: Cluster
    gateways: Gateways
    polls: Polls
    tries: Tries
    refusals: Refusals
    leads: Callable[[], bool]
    """Whether this process is still the one that works."""
    metrics: Metrics
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    closing: bool = False
    """The process is about to end: no call is begun any more."""
    _calls: set[asyncio.Task[Outcome]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Make what cancels batches that come too late."""
        self._late = LateBatches(self.cluster, self.refusals.recorder, self.metrics, self._pause)

    async def submit(self, seen: Seen, client: Client, attempt: int) -> Outcome:
        """Create the batch; runs to its end even if whoever waits for it is cancelled."""
        call = asyncio.create_task(self._submit(seen, client, attempt))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await asyncio.shield(call)

    async def drain(self) -> None:
        """Wait for the calls under way and for their facts to be written."""
        self.closing = True
        if self._calls:
            # Not by gather, which would cancel them when whoever waits here gives up.
            await asyncio.wait(self._calls)

    async def _submit(self, seen: Seen, client: Client, attempt: int) -> Outcome:
        if self.closing:
            return Outcome(seen.stored, stale=True)
        observation = seen.observation
        intent = facts.with_intent(seen.stored, attempt, self.cluster.now())
        began = self.stopwatch.mark()
        try:
            # Compare-and-swap: somebody who acts on an older state, or a second operator, stops here.
            with crash.around(crash.Effect.WRITE_INTENT):
                version = await self._write(
                    seen, seen.stored, intent, resource_version=seen.raw["metadata"]["resourceVersion"]
                )
        except ClusterError as error:
            if error.status == 409:
                return Outcome(seen.stored, stale=True)
            raise
        if self.stopwatch.since(began) > FENCE_SECONDS or not self.leads():
            # Too late to call under this intent. It made no batch, and the next pass, or the next leader, writes a new one.
            return await self._withdraw(seen, intent, version, None)
        answer = await client.gateway.create_batch(
            observation.batch.input_file_id or "",
            observation.spec.endpoint,
            observation.spec.completion_window,
            naming.batch_metadata(
                observation.uid, observation.batch.label, attempt, observation.spec.metadata, parts=seen.whole.parts
            ),
            lambda: self.stopwatch.since(began) <= FENCE_SECONDS + CONNECT_SECONDS and self.leads(),
        )
        if isinstance(answer, NotMade) and answer.lacks_file and observation.file_overdue:
            told = (
                f"{answer.message}; it was uploaded long enough ago to be known. Was it deleted? Make the BatchJob anew"
            )
            answer = replace(answer, reason=Reason.REQUEST_REFUSED, message=told, retryable=False)
        match answer:
            case Made(batch) if about.is_anothers(batch, observation.batch.input_file_id, observation.uid):
                log.warning(
                    "a create call was answered with another batch", extra={"object": str(seen.key), "batch": batch.id}
                )
                return Outcome(facts.with_doubt(intent, foreign=True), after=0.0, version=version)
            case Made(batch):
                status = facts.recorded(facts.with_remote(intent, batch, self.cluster.now()), self.cluster.now())
                outcome = await self.record(seen, intent, status, version=version)
                if outcome.stale or outcome.gone:
                    await self._late.cancel(seen, client, batch, gone=outcome.gone)
                return outcome
            case TooLate():
                return await self._withdraw(seen, intent, version, None)
            case NotMade():
                return await self._not_made(seen, client, answer, intent, version)
            case UnknownOutcome(message, unusable=True):
                log.warning(
                    "a batch was made whose id can't be used", extra={"object": str(seen.key), "detail": message}
                )
                return await self.record(seen, intent, facts.with_unusable_answer(intent), version=version)
            case UnknownOutcome(message):
                log.warning("the answer to a create call was lost", extra={"object": str(seen.key), "detail": message})
                return Outcome(intent, after=0.0, version=version)

    async def _not_made(
        self, seen: Seen, client: Client, answer: NotMade, intent: BatchJobStatus, version: str
    ) -> Outcome:
        retry_after = client.pace.slow_down(Operation.CREATE, answer.retry_after)
        final = not answer.retryable and answer.reason is Reason.REQUEST_REFUSED
        if final and self.gateways.lists_batches(client.key):
            # A proxy may have sent the call before, and hidden that answer. Nothing is let go until the list has had time
            # to show what came of it; see Finder.look_up.
            return Outcome(facts.with_doubt(intent, refusal=answer.message), after=0.0, version=version)
        if (answer.lacks_file or answer.reason in USED_UP) and await self._was_made(seen, client, intent):
            return Outcome(intent, after=0.0, version=version)
        await self.gateways.suspect(client.key)
        told = with_moment(answer.message, retry_after, self.cluster.now())
        problem = Problem(reason=answer.reason, message=told, final=final, retry_after_seconds=retry_after)
        problem = self.tries.create_failed(seen, problem)
        return await self._withdraw(seen, intent, version, problem)

    async def _was_made(self, seen: Seen, client: Client, intent: BatchJobStatus) -> bool:
        """Look once for a batch before the same call is made again: this answer too may be about a proxy's second try."""
        submission = facts.batch_of(intent).submission
        if submission is None or not self.gateways.lists_batches(client.key):
            return False
        found = await list_ours(client.gateway, seen, horizon(submission.intent_time))
        attempt = submission.attempt
        return isinstance(found, Found) and (
            found.unusable or any(not came_too_late(batch, attempt) for batch in found.batches)
        )

    async def _withdraw(self, seen: Seen, intent: BatchJobStatus, version: str, problem: Problem | None) -> Outcome:
        """Record that an intent made no batch, unless there is another one in its place by now."""
        status = facts.without_intent(intent, made_none=True)
        with crash.around(crash.Effect.WITHDRAW_INTENT):
            stored = await self._withdraw_until_it_lands(seen, intent, status, version)
        if stored is None:
            return Outcome(seen.stored, stale=True)
        return Outcome(status, problem, after=0.0 if problem is None else None, version=stored or None)

    async def record(
        self, seen: Seen, before: BatchJobStatus, status: BatchJobStatus, *, version: str | None = None
    ) -> Outcome:
        """Record which batch is the job's, and try until it is stored; stale when another batch or intent stands there.

        It stands against any editor of the object, but a process that was frozen may come too late with it. The outcome
        is gone when there is no object any more.
        """
        with crash.around(crash.Effect.WRITE_FACT):
            found = version or seen.raw["metadata"]["resourceVersion"]
            stored = await self._record(seen, before, status, found)
        if stored is None:
            return Outcome(seen.stored, stale=True)
        if stored == "":
            return Outcome(status, gone=True)
        if seen.client is not None and stage_of(status) is not Stage.ANSWER:
            self.polls.polled(seen.observation.memory, seen.client.spec.poll_interval_seconds)
        # The next pass says at once that the batch runs; it polls when its time has come.
        return Outcome(status, after=0.0, version=stored)

    async def _record(self, seen: Seen, before: BatchJobStatus, after: BatchJobStatus, version: str) -> str | None:
        """Write a fact again and again; answers the resourceVersion then, "" without an object, None when it may not be."""
        failures, patch = 0, merge_patch(seen.widened(before).dump(), seen.widened(after).dump())
        while True:
            try:
                written = await write_unmoved(self.cluster, seen, patch, before=before, after=after, version=version)
                if written is None:
                    return None
                if seen.view is not None and not seen.view.others_are_as_in(written.get("status") or {}, seen.whole):
                    # More is known of other batches than this pass has seen: what it writes next is to be compared.
                    return version
                return str(written["metadata"]["resourceVersion"])
            except ClusterError as error:
                if error.status == 404:
                    return ""
                failures += 1
                await self._not_yet(seen, error, failures)

    async def _write(
        self, seen: Seen, before: BatchJobStatus, after: BatchJobStatus, *, resource_version: str | None = None
    ) -> str:
        """Write what has changed; answers the resourceVersion that the object then has."""
        patch = merge_patch(seen.widened(before).dump(), seen.widened(after).dump())
        written = await self.cluster.patch_status(
            JOBS, seen.key.namespace, seen.key.name, patch, resource_version=resource_version
        )
        return str(written["metadata"]["resourceVersion"])

    async def _withdraw_until_it_lands(
        self, seen: Seen, before: BatchJobStatus, after: BatchJobStatus, version: str
    ) -> str | None:
        """Write again and again for as long as the intent in status is `before`'s own.

        Answers the resourceVersion then, "" when nothing may be written after it, None when this may not be written.
        """
        failures, moved = 0, False
        while True:
            try:
                written = await self._write(seen, before, after, resource_version=version)
                # Of the other batches more may be known by now than this pass has seen.
                return "" if moved and seen.view is not None else written
            except ClusterError as error:
                if error.status == 409:
                    # Somebody has edited the object meanwhile; or another leader has an intent of its own there.
                    try:
                        found = await self._with_intent(seen, before)
                    except ClusterError as unread:
                        failures += 1
                        await self._not_yet(seen, unread, failures)
                        continue
                    if found is None:
                        return None
                    if found.raw["metadata"]["resourceVersion"] != version:
                        seen, version, moved = found, str(found.raw["metadata"]["resourceVersion"]), True
                        continue
                if error.status == 404:
                    return ""
                failures += 1
                await self._not_yet(seen, error, failures)

    async def _not_yet(self, seen: Seen, error: ClusterError, failures: int) -> None:
        """Tell of a fact that could not be written, and wait a little."""
        log.warning("a fact could not be written yet", extra={"object": str(seen.key), "detail": str(error)})
        if isinstance(error, StatusRefusedError):
            self.refusals.tell(seen.key, seen.owner.uid, error)
        await self._pause(next_delay(failures, 0.5, first=0.2, longest=LONGEST_SECONDS))

    async def _with_intent(self, seen: Seen, intent: BatchJobStatus) -> Seen | None:
        """Read the object again, with what other batches have come to meanwhile, if its intent is still this one."""
        found = await self.cluster.get(JOBS, seen.key.namespace, seen.key.name)
        if found is None or found["metadata"]["uid"] != seen.owner.uid:
            return None
        stored = found.get("status") or {}
        if seen.view is None:
            return replace(seen, raw=found) if standing.holds_intent(stored, intent) else None
        whole = BatchJobStatus.parse(stored)
        is_there = seen.view.index < len(whole.batches) and standing.holds_intent(seen.view.of(whole).dump(), intent)
        return replace(seen, raw=found, whole=whole) if is_there else None

    async def _pause(self, seconds: float) -> None:
        """Wait, but not for long any more once the process is about to end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.5))
            if self.closing:
                return
