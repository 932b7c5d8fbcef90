"""Creating a batch exactly once: intent, call, fact; and finding it again when the answer was lost."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.controller.gateways import Client
from llmbatch.controller.observe import Observer
from llmbatch.controller.outcome import Note, Outcome
from llmbatch.controller.seen import Seen
from llmbatch.core import facts, naming
from llmbatch.core.backoff import next_delay
from llmbatch.core.patch import merge_patch
from llmbatch.core.plan import Problem
from llmbatch.core.submission import horizon, is_newest_first, matches
from llmbatch.core.wire import RemoteBatch
from llmbatch.edges.cluster import Cluster, ClusterError
from llmbatch.edges.gateway import Made, NotMade, UnknownOutcome
from llmbatch.edges.metrics import Metrics
from llmbatch.edges.outcome import Answered, NotFound, Refused
from llmbatch.edges.permissions import JOBS

log = logging.getLogger(__name__)

FENCE_SECONDS = 10.0
"""The call begins so soon after the intent was written, or the intent is written anew: whoever finds an old intent
may then rely on no call being under way that began later."""
LOOK_AGAIN_SECONDS = 10.0
MOST_PAGES = 500


@dataclass
class Submitter:
    """Creates batches and adopts those whose answer was lost."""

    cluster: Cluster
    observer: Observer
    metrics: Metrics
    closing: bool = False
    """The process is about to end: no call is begun any more."""
    _calls: set[asyncio.Task[Outcome]] = field(default_factory=set)

    async def submit(self, seen: Seen, client: Client, attempt: int) -> Outcome:
        """Create the batch; runs to its end even if whoever waits for it is cancelled."""
        call = asyncio.create_task(self._submit(seen, client, attempt))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        try:
            return await asyncio.shield(call)
        finally:
            self.observer.release(seen.key)

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
        intent = facts.with_intent(seen.stored, attempt, datetime.now(UTC))
        began = time.monotonic()
        try:
            # Compare-and-swap: somebody who acts on an older state, or a second operator, stops here.
            await self._write(seen, seen.stored, intent, resource_version=seen.raw["metadata"]["resourceVersion"])
        except ClusterError as error:
            if error.status == 409:
                return Outcome(seen.stored, stale=True)
            raise
        if time.monotonic() - began > FENCE_SECONDS:
            # Too late to call under this intent. It made no batch, and the next pass writes a new one.
            return await self._withdraw(seen, intent, None)
        answer = await client.gateway.create_batch(
            observation.batch.input_file_id or "",
            observation.spec.endpoint,
            observation.spec.completion_window,
            naming.batch_metadata(observation.uid, 0, attempt, observation.spec.metadata),
        )
        match answer:
            case Made(batch):
                return await self._record(seen, intent, batch)
            case NotMade(reason, message, retry_after, retryable):
                client.slow_down(retry_after)
                await self.observer.gateways.suspect(client.key)
                final = not retryable and reason is Reason.REQUEST_REFUSED
                problem = Problem(reason=reason, message=message, final=final, retry_after_seconds=retry_after)
                return await self._withdraw(seen, intent, problem)
            case UnknownOutcome(message):
                log.warning("the answer to a create call was lost", extra={"object": str(seen.key), "detail": message})
                return Outcome(intent, after=0.0)

    async def _withdraw(self, seen: Seen, intent: BatchJobStatus, problem: Problem | None) -> Outcome:
        """Record that an intent made no batch."""
        status = facts.without_intent(intent, made_none=True)
        await self._write_until_it_lands(seen, intent, status)
        return Outcome(status, problem, after=0.0 if problem is None else None)

    async def _record(self, seen: Seen, intent: BatchJobStatus, batch: RemoteBatch) -> Outcome:
        """Record a batch that exists: unconditionally, and until it is stored."""
        status = facts.with_remote(intent, batch, datetime.now(UTC))
        # Whatever the provider says of its input, this batch was made of our file.
        await self._write_until_it_lands(seen, intent, status)
        if seen.client is not None:
            self.observer.polled(seen.owner.uid, seen.client.spec.poll_interval_seconds)
        # The next pass says at once that the batch runs; it polls when its time has come.
        return Outcome(status, after=0.0)

    async def _write(
        self, seen: Seen, before: BatchJobStatus, after: BatchJobStatus, *, resource_version: str | None = None
    ) -> None:
        patch = merge_patch(before.dump(), after.dump())
        await self.cluster.patch_status(
            JOBS, seen.key.namespace, seen.key.name, patch, resource_version=resource_version
        )

    async def _write_until_it_lands(self, seen: Seen, before: BatchJobStatus, after: BatchJobStatus) -> None:
        failures = 0
        while True:
            try:
                await self._write(seen, before, after)
                return
            except ClusterError as error:
                if error.status == 404:
                    # The object is gone, finalizer and all: somebody removed it by force. Tell who can read logs.
                    batch = after.batches[0].id if after.batches else None
                    log.exception(
                        "a BatchJob vanished while its batch was made", extra={"object": str(seen.key), "batch": batch}
                    )
                    return
                failures += 1
                log.warning("a fact could not be written yet", extra={"object": str(seen.key), "detail": str(error)})
                await asyncio.sleep(next_delay(failures, 0.5, first=0.2, longest=5.0))

    # --- lost answers ------------------------------------------------------------------------------------------------

    async def look_up(self, seen: Seen, client: Client) -> Outcome:
        """Find the batch of an intent: adopt it, wait, or make room for the next attempt."""
        observation = seen.observation
        submission = observation.status.submission
        if submission is None:
            return Outcome(seen.stored)
        # Before the list is asked for: a batch made while it was read may not be in it.
        waited = (datetime.now(UTC) - submission.intent_time).total_seconds()
        found = await self._find(seen, client, submission.intent_time)
        if isinstance(found, Problem):
            return Outcome(seen.stored, found)
        if not found:
            left = observation.limits.settle_seconds - waited
            if left > 0:
                return Outcome(seen.stored, after=min(left + 0.1, LOOK_AGAIN_SECONDS))
            status = facts.without_intent(seen.stored, made_none=False)
            return Outcome(status, after=0.0)
        # The oldest that is of use; one that has failed is none while another lives.
        kept, *others = sorted(
            found,
            key=lambda batch: (
                batch.status in ("failed", "cancelled"),
                batch.created_at or submission.intent_time,
                batch.id,
            ),
        )
        notes: list[Note] = [
            ("Normal", Reason.ADOPTED, f"Batch {kept.id}, made by a create call whose answer was lost, was taken over.")
        ]
        for other in others:
            if not other.is_terminal:
                answer = await client.gateway.cancel_batch(other.id)
                ended = isinstance(answer, Refused) and answer.status in (400, 409)
                if not ended and not isinstance(answer, Answered | NotFound):
                    # The intent stays, so that the next pass finds them all again.
                    return Outcome(seen.stored, await self.observer.problem(client, answer))
            told = f"Batch {other.id} was a duplicate of {kept.id}; it is cancelled."
            notes.append(("Warning", Reason.DUPLICATE_CANCELLED, told))
        self.metrics.adoptions.inc()
        self.metrics.duplicates.inc(len(others))
        outcome = await self._record(seen, seen.stored, kept)
        return Outcome(outcome.status, after=0.0, notes=tuple(notes))

    async def _find(self, seen: Seen, client: Client, intent_time: datetime) -> list[RemoteBatch] | Problem:
        oldest = horizon(intent_time)
        found: dict[str, RemoteBatch] = {}
        after: str | None = None
        for _ in range(MOST_PAGES):
            answer = await client.gateway.list_batches(after)
            if isinstance(answer, NotFound) or (isinstance(answer, Refused) and answer.status in (405, 501)):
                return Problem(
                    reason=Reason.SUBMISSION_UNKNOWN, message=f"The gateway does not list batches: {answer.message}"
                )
            if not isinstance(answer, Answered):
                return await self.observer.problem(client, answer)
            page = answer.value
            observation = seen.observation
            found |= {
                batch.id: batch
                for batch in page.batches
                if matches(batch, observation.batch.input_file_id, observation.uid, oldest)
            }
            if any(matches(batch, observation.batch.input_file_id, observation.uid, oldest) for batch in page.unusable):
                message = (
                    "The gateway lists this job's batch with an id that is empty, too long or has characters that no id"
                    " may have, so that it can't be followed. Look it up at the provider; it is not submitted again."
                )
                return Problem(reason=Reason.SUBMISSION_UNKNOWN, message=message)
            if not page.has_more or not (page.batches or page.unusable):
                return list(found.values())
            last = page.batches[-1].created_at if page.batches else None
            if is_newest_first(page) and last is not None and last < oldest - timedelta(seconds=1):
                return list(found.values())
            if page.last_id is None or page.last_id == after:
                break
            after = page.last_id
        if found:
            return list(found.values())
        message = (
            "The gateway's list of batches can't be read to its end, so that it can't be found out whether the batch exists."
            " Look it up at the provider. If there is none, set the annotation"
            f" llmbatch.io/resubmit={seen.observation.next_attempt} on this BatchJob and it is submitted again."
        )
        return Problem(reason=Reason.SUBMISSION_UNKNOWN, message=message)
