"""Creating a batch exactly once: intent, call, fact."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from llmbatch import crash
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.directory.readings import Readings
from llmbatch.batch.edge.duplicates import LateBatches
from llmbatch.batch.edge.listing import Found, list_ours
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.edge.tries import Tries
from llmbatch.batch.edge.writing import FactWriter
from llmbatch.batch.pure import facts
from llmbatch.batch.pure.submission import came_too_late, horizon
from llmbatch.gateway.clients import Client, Gateways
from llmbatch.gateway.pace import Operation, with_moment
from llmbatch.job.pure.decide import decide
from llmbatch.kube.client import ClusterError
from llmbatch.kube.clock import Stopwatch
from llmbatch.provider.edge.client import Made, NotMade, TooLate, UnknownOutcome
from llmbatch.provider.pure import about
from llmbatch.provider.pure.wire import Page
from llmbatch.runtime.metrics import Metrics
from llmbatch.transfer.pure import naming
from llmbatch.transfer.pure.report import Problem

log = logging.getLogger(__name__)

FENCE_SECONDS = 10.0
"""The call begins so soon after the intent was written, or the intent is written anew: whoever finds an old intent
may then rely on no call being under way that began later."""
CONNECT_SECONDS = 15.0
"""How long connecting may take after that; see Gateway."""
HIDING = frozenset({
    Reason.QUOTA_EXCEEDED, Reason.BILLING_LIMIT, Reason.RATE_LIMITED, Reason.GATEWAY_UNAUTHORIZED, Reason.REQUEST_REFUSED
})  # fmt: skip
"""Refusals that pass, behind which the very batch may be: a proxy's first try has made it and used up what the second one lacked,
or a filter has put its own page in place of the answer."""


@dataclass
class Submitter:
    """Creates batches, and has it written down that they exist."""

    gateways: Gateways
    tries: Tries
    readings: Readings[Page]
    writer: FactWriter
    leads: Callable[[], bool]
    """Whether this process is still the one that works."""
    metrics: Metrics
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    _calls: set[asyncio.Task[Outcome]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Make what cancels batches that come too late."""
        self.cluster = self.writer.cluster
        self._late = LateBatches(self.cluster, self.writer.refusals.recorder, self.metrics, self.writer.pause)

    async def submit(self, seen: Seen, client: Client, attempt: int) -> Outcome:
        """Create the batch; runs to its end even if whoever waits for it is cancelled."""
        call = asyncio.create_task(self._submit(seen, client, attempt))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await asyncio.shield(call)

    def close(self) -> None:
        """Begin no call any more: the process is about to end."""
        self.writer.closing = True

    async def drain(self) -> None:
        """Wait for the calls under way and for their facts to be written."""
        self.close()
        if self._calls:
            # Not by gather, which would cancel them when whoever waits here gives up.
            await asyncio.wait(self._calls)

    async def _submit(self, seen: Seen, client: Client, attempt: int) -> Outcome:
        # A file that was uploaded just now is not lost, whatever keeps its batch from being ordered.
        not_yet = Outcome(seen.observation.status, stale=seen.observation.status == seen.stored, after=0.0)
        if self.writer.closing:
            return not_yet
        # Before the intent, under which the call has to begin soon.
        await client.budget.take("create batch")
        observation = seen.observation
        intent = self._intent(seen, attempt)
        began = self.stopwatch.mark()
        try:
            # Compare-and-swap: somebody who acts on an older state, or a second operator, stops here.
            with crash.around(crash.Effect.WRITE_INTENT):
                version = await self.writer.write(
                    seen, seen.stored, intent, version=seen.raw["metadata"]["resourceVersion"]
                )
        except ClusterError as error:
            if error.status == 409:
                return not_yet
            raise
        if self.stopwatch.since(began) > FENCE_SECONDS or not self.leads():
            # Too late to call under this intent. It made no batch, and the next pass, or the next leader, writes a new one.
            return await self.writer.withdraw(seen, intent, version, None)
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
                return Outcome(facts.with_doubt(intent, foreign=True), after=0.0, version=version, moved=True)
            case Made(batch):
                status = facts.recorded(facts.with_remote(intent, batch, self.cluster.now()), self.cluster.now())
                outcome = await self.writer.record(seen, intent, status, version=version)
                if outcome.stale or outcome.gone:
                    await self._late.cancel(seen, client, batch, gone=outcome.gone)
                return outcome
            case TooLate():
                return await self.writer.withdraw(seen, intent, version, None)
            case NotMade():
                return await self._not_made(seen, client, answer, intent, version)
            case UnknownOutcome(message, unusable=True):
                log.warning(
                    "a batch was made whose id can't be used", extra={"object": str(seen.key), "detail": message}
                )
                return await self.writer.record(seen, intent, facts.with_unusable_answer(intent), version=version)
            case UnknownOutcome(message):
                log.warning("the answer to a create call was lost", extra={"object": str(seen.key), "detail": message})
                return Outcome(facts.with_doubt(intent, answer=message), after=0.0, version=version, moved=True)

    def _intent(self, seen: Seen, attempt: int) -> BatchJobStatus:
        """Give the status with an intent to create the batch, and with the file if it was uploaded just now."""
        found = seen.observation
        intent = facts.with_intent(found.status, attempt, self.cluster.now())
        return intent if found.status == seen.stored else seen.closed(intent, decide(found).ending)

    async def _not_made(
        self, seen: Seen, client: Client, answer: NotMade, intent: BatchJobStatus, version: str
    ) -> Outcome:
        retry_after = client.pace.slow_down(Operation.CREATE, answer.retry_after)
        final = not answer.retryable and answer.reason is Reason.REQUEST_REFUSED
        if final and self.gateways.lists_batches(client.key):
            # A proxy may have sent the call before, and hidden that answer. Nothing is let go until the list has had time
            # to show what came of it; see Finder.look_up.
            return Outcome(facts.with_doubt(intent, refusal=answer.message), after=0.0, version=version, moved=True)
        hides = answer.lacks_file or (answer.reason in HIDING and not final)
        if hides and await self._was_made(seen, client, intent):
            return Outcome(intent, after=0.0, version=version)
        await self.gateways.suspect(client.key)
        told = with_moment(answer.message, retry_after, self.cluster.now())
        problem = Problem(reason=answer.reason, message=told, final=final, retry_after_seconds=retry_after)
        problem = self.tries.create_failed(seen, problem)
        return await self.writer.withdraw(seen, intent, version, problem)

    async def _was_made(self, seen: Seen, client: Client, intent: BatchJobStatus) -> bool:
        """Look once for a batch before the same call is made again: this answer too may be about a proxy's second try."""
        submission = facts.batch_of(intent).submission
        if submission is None or not self.gateways.lists_batches(client.key):
            return False
        found = await list_ours(await self.readings.wait(client), seen, horizon(submission.intent_time))
        attempt = submission.attempt
        return isinstance(found, Found) and (
            found.unusable or any(not came_too_late(batch, attempt) for batch in found.batches)
        )
