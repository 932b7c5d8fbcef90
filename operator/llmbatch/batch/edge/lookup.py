"""Finding a job's batches in the gateway's list: that of a lost answer, and those that a retry on the way made besides."""

from dataclasses import dataclass, replace
from datetime import timedelta

from llmbatch.api import RESUBMIT_ANNOTATION
from llmbatch.api.batch_status import Batch, Submission
from llmbatch.api.reasons import Reason
from llmbatch.batch.directory.reading import Reading
from llmbatch.batch.directory.readings import Readings
from llmbatch.batch.edge.duplicates import Duplicates
from llmbatch.batch.edge.listing import Found, Looks, list_ours
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.polls import Polls
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.edge.writing import FactWriter
from llmbatch.batch.pure import facts, remote_state
from llmbatch.batch.pure.decide_submission import answer_settles
from llmbatch.batch.pure.stage import Stage
from llmbatch.batch.pure.submission import by_use, came_too_late, horizon, is_of_another_attempt, is_of_several
from llmbatch.gateway.clients import Client, Gateways
from llmbatch.gateway.pace import Operation
from llmbatch.provider.edge.outcome import Failure, NotFound, Refused
from llmbatch.provider.pure.wire import Page, RemoteBatch
from llmbatch.runtime.metrics import Metrics
from llmbatch.transfer.pure.report import Problem

LOOK_AGAIN_SECONDS = 10.0
UNLISTED = frozenset({400, 405, 422, 501})
"""Refusals of the list by which it is never to be had."""
LASTS = 5
"""Settle periods for which a list that can't be read is no passing trouble."""
LOOKS = 12
"""Looks at the list in a settle period that has grown long."""
PASSING_CALLS = 3
"""So many calls in a row whose answers are lost may be a passing trouble."""


@dataclass
class Finder:
    """Adopts batches whose answer was lost, and has those cancelled that are one too many."""

    gateways: Gateways
    polls: Polls
    readings: Readings[Page]
    writer: FactWriter
    metrics: Metrics

    def __post_init__(self) -> None:
        """Make what cancels batches."""
        self.duplicates = Duplicates(self.metrics)
        self.looks = Looks(self.readings, self.polls.unlisted)

    async def look_up(self, seen: Seen, client: Client) -> Outcome:
        """Find the batch of an intent: adopt it, wait, or make room for the next attempt."""
        submission = seen.observation.batch.submission
        if submission is None:
            return Outcome(seen.stored)
        reading = self.looks.ask(seen, client)
        if not isinstance(reading, Reading):
            return self.looks.not_yet(seen, seen.stored, reading)
        return self.looks.met(seen, await self._look_up(seen, client, submission, reading))

    async def _look_up(self, seen: Seen, client: Client, submission: Submission, reading: Reading[Page]) -> Outcome:
        observation = seen.observation
        found = await list_ours(reading, seen, horizon(submission.since or submission.intent_time))
        if not isinstance(found, Found):
            problem = await self._unlisted(seen, client, found)
            if submission.refusal is not None and problem.reason is Reason.SUBMISSION_UNKNOWN:
                return _early(seen, reading.age) or _refused(seen, submission.refusal)
            return Outcome(seen.stored, problem)
        if found.unusable or (submission.unusable and not found.batches):
            return Outcome(seen.stored, _unusable())
        if not found.batches:
            return _none_found(seen, submission, reading, whole=found.whole)
        ours = found.batches
        if seen.view is None and (several := [batch.id for batch in ours if is_of_several(batch)]):
            if observation.deleted_at is not None and not observation.restored:
                # Nothing more is ordered, so that it doesn't matter which are missing.
                return Outcome(
                    remote_state.found_again(seen.stored, ours, observation.now, whole=found.whole), after=0.0
                )
            return Outcome(seen.stored, _of_several(several))
        if len(ours) > 1 or any(is_of_another_attempt(batch, submission.attempt) for batch in ours):
            fresh = await self.duplicates.fresh(seen, client, ours)
            if not isinstance(fresh, tuple):
                return Outcome(seen.stored, await self.polls.problem(client, fresh))
            ours = fresh or ours
        ours = tuple(batch for batch in ours if not came_too_late(batch, submission.attempt))
        if not ours:
            return _none_found(seen, submission, reading, whole=found.whole)
        kept, *others = by_use(ours, recorded=None, unknown=submission.intent_time)
        # A copy has no say about the original's batches.
        cancelled = await self.duplicates.cancel(seen, client, kept, [] if observation.restored else others)
        if cancelled.failed is not None and cancelled.passes:
            # The intent stays, so that the next pass finds them all again. One that can't be cancelled is tried again when others
            # are looked for.
            problem = await self.polls.problem(client, cancelled.failed, Operation.CLEANUP)
            return Outcome(seen.stored, problem, notes=cancelled.notes)
        now = self.writer.cluster.now()
        known = facts.recorded(facts.with_remote(seen.stored, kept, now), now)
        outcome = await self.writer.record(seen, seen.stored, known)
        if outcome.stale or outcome.gone:
            return outcome
        self.metrics.adoptions.inc()
        told = f"Batch {kept.id}, made by a create call whose answer was lost, was taken over."
        return replace(outcome, notes=(("Normal", Reason.ADOPTED, told), *cancelled.notes))

    async def find_duplicates(self, seen: Seen, client: Client) -> Outcome:
        """Find further batches of a job that has one: keep the one that is of most use, cancel the others."""
        # What was just found out decides whether there is to be a search, and is not stored: now or never.
        at_once = seen.observation.unrecorded
        reading = await self.looks.readings.wait(client) if at_once else self.looks.ask(seen, client)
        if not isinstance(reading, Reading):
            return self.looks.not_yet(seen, seen.observation.status, reading)
        return self.looks.met(seen, await self._find_duplicates(seen, client, reading))

    async def _find_duplicates(self, seen: Seen, client: Client, reading: Reading[Page]) -> Outcome:
        observation = seen.observation
        status, now = observation.status, observation.now
        found = await list_ours(reading, seen, horizon(status.start_time or now))
        if not isinstance(found, Found):
            return _later(seen, Outcome(status), await self._unlisted(seen, client, found))
        own = _as_listed(observation.batch)
        others = await self.duplicates.fresh(
            seen, client, tuple(batch for batch in found.batches if batch.id != own.id)
        )
        if not isinstance(others, tuple):
            return _later(seen, Outcome(status), await self.polls.problem(client, others))
        ours = by_use([own, *others], recorded=own.id, unknown=now)
        # What is stored or about to be is not given up for another batch, nor is anything begun in a deletion.
        settled = status.output is not None or own.status == "completed" or observation.deleted_at is not None
        kept = own if settled else ours[0]
        outcome = Outcome(status)
        if kept is not own:
            # Recorded before anything is cancelled: a crash in between must not leave us with a cancelled batch.
            outcome = await self.writer.record(seen, seen.stored, facts.with_other(status, kept, now))
            if outcome.stale or outcome.gone:
                return outcome
            self.metrics.adoptions.inc()
            told = f"Batch {kept.id}, made by somebody's retry of the create call, was taken over in place of {own.id}."
            outcome = replace(outcome, notes=(("Normal", Reason.ADOPTED, told),))
        cancelled = await self.duplicates.cancel(seen, client, kept, [batch for batch in ours if batch is not kept])
        outcome = replace(outcome, notes=(*outcome.notes, *cancelled.notes))
        if cancelled.failed is not None:
            return _later(seen, outcome, await self.polls.problem(client, cancelled.failed))
        if found.failed is not None:
            return _later(seen, outcome, await self._unlisted(seen, client, found.failed))
        if observation.stage is Stage.RESULTS and observation.unrecorded and observation.deleted_at is None:
            # Looked for before its time, since the batch is of no use; once more when the list had time to settle.
            return outcome
        notes = list(outcome.notes)
        notes += [
            (
                "Warning",
                Reason.DUPLICATE_CANCELLED,
                f"Batch {other.id} was a duplicate of {kept.id}; it is {other.status}.",
            )
            for other in cancelled.ended
        ]
        if not found.whole or found.unusable:
            told = "The gateway's list of batches can't be made sense of to its end; look there for further batches of this job."
            notes.append(("Warning", Reason.DUPLICATES_UNCHECKED, told))
        # After what it is compared with, should another API server's clock have told the time of that.
        ends = [status.output.stored_time if status.output is not None else None, observation.deleted_at]
        moment = max(
            [now - timedelta(seconds=reading.age), *(end + timedelta(seconds=1) for end in ends if end is not None)]
        )
        status = facts.checked(outcome.status, moment)
        return replace(outcome, status=status, notes=tuple(notes), duplicates=len(cancelled.ended))

    async def _unlisted(self, seen: Seen, client: Client, failure: Failure) -> Problem:
        """Translate a call for the list that failed; where an answer is owed, a person may decide if that lasts."""
        observation = seen.observation
        owes = observation.stage is Stage.ANSWER
        if isinstance(failure, NotFound) or (isinstance(failure, Refused) and failure.status in UNLISTED):
            await self.gateways.suspect(client.key)
            told = f"The gateway does not list batches: {failure.message.rstrip('.')}."
        else:
            problem = await self.polls.problem(client, failure)
            lasts = observation.owed_for > LASTS * observation.limits.settle_seconds
            passes = problem.reason is not Reason.GATEWAY_UNREACHABLE or not lasts
            if not owes or passes or self.gateways.readiness(client.key) is not None:
                return problem
            told = f"The gateway's list of batches can't be read, though all else works: {problem.message.rstrip('.')}."
        return Problem(
            reason=Reason.SUBMISSION_UNKNOWN,
            message=f"{told} It is read again. {_ask(observation.next_call)}" if owes else told,
        )


def _later(seen: Seen, outcome: Outcome, problem: Problem) -> Outcome:
    """Leave the search for duplicates to a later pass; results never wait for it."""
    observation = seen.observation
    if observation.deleted_at is not None:
        return replace(outcome, problem=problem, after=min(5.0, observation.limits.recheck_seconds))
    if outcome.moved or observation.unrecorded or observation.stage is Stage.BATCH:
        return outcome
    told = f"Other batches of this job can't be looked for yet: {problem.message}"
    problem = problem.model_copy(update={"reason": Reason.CLEANING_UP, "message": told})
    return replace(outcome, problem=problem)


def _as_listed(batch: Batch) -> RemoteBatch:
    """Show the batch in status as the list would; the list may lag behind it."""
    return RemoteBatch(id=batch.id or "", status=batch.status or "validating", created_at=batch.created_at, metadata={})


def _none_found(seen: Seen, submission: Submission, reading: Reading[Page], *, whole: bool) -> Outcome:
    """Say what follows from a list that shows no batch: nothing before the settle period is over, or if it proves nothing."""
    observation = seen.observation
    if (whole or submission.refusal is not None) and (early := _early(seen, reading.age)) is not None:
        return early
    if not whole:
        return Outcome(seen.stored, _unreadable(observation.next_call, submission.refusal))
    if submission.refusal is not None and not observation.restored:
        return _refused(seen, submission.refusal)
    if submission.foreign_answer:
        return Outcome(seen.stored, _foreign(observation.next_call))
    return Outcome(facts.without_batch(seen.stored, restored=observation.restored), after=0.0)


def _early(seen: Seen, age: float) -> Outcome | None:
    """Have the list looked at again while the settle period is not over; `age` is that of the reading, in seconds."""
    # By the moment before the list was asked for: a batch made while it was read may not be in it.
    left = answer_settles(seen.observation) - (seen.observation.owed_for - age)
    if left <= 0:
        return None
    after = min(left + 0.1, max(LOOK_AGAIN_SECONDS, left / LOOKS))
    submission = seen.observation.batch.submission
    if submission is None or submission.attempt <= PASSING_CALLS or submission.refusal is not None:
        return Outcome(seen.stored, after=after)
    return Outcome(seen.stored, _unseen(submission, seen.observation.next_call, after))


def _refused(seen: Seen, refusal: str) -> Outcome:
    """Believe a refusal: it made no batch, and ends the job."""
    status = facts.without_intent(seen.stored, made_none=True)
    if seen.observation.deleted_at is not None:
        return Outcome(status, after=0.0)
    return Outcome(status, Problem(reason=Reason.REQUEST_REFUSED, message=refusal, final=True))


def _unseen(submission: Submission, next_call: str, after: float) -> Problem:
    """Have a person hear of it when one call after the other is lost: each may have made a batch that the list doesn't show."""
    message = (
        f"{submission.attempt} create calls came to nothing that can be told, and the gateway's list shows no batch of this"
        f" job. Last: {(submission.answer or 'the answer was lost').rstrip('.')}. See that POST <batchesPath> works, and that"
        " the list shows what it makes. The next call is made when as much time again has gone by as was waited before it;"
        f" at once with the annotation {RESUBMIT_ANNOTATION}={next_call} on this BatchJob: each call may cost a batch."
    )
    return Problem(reason=Reason.SUBMISSION_UNKNOWN, message=message, retry_after_seconds=after)


def _of_several(ids: list[str]) -> Problem:
    message = (
        "The status of this job was lost, which has several batches: without it nobody can tell which of them are missing."
        f" Those that the gateway lists are {', '.join(ids[:10])}{' and more' if len(ids) > 10 else ''}. Bring the status back"
        " from a backup; or delete the BatchJob, which cancels them, and apply it again."
    )
    return Problem(reason=Reason.SUBMISSION_UNKNOWN, message=message)


def _unusable() -> Problem:
    message = (
        "The gateway names this job's batch by an id that is empty, too long or has characters that no id"
        " may have, so that it can't be followed. Look it up at the provider; it is not submitted again."
    )
    return Problem(reason=Reason.SUBMISSION_UNKNOWN, message=message)


def _unreadable(next_call: str, refusal: str | None) -> Problem:
    refused = f" The call was refused: {refusal.rstrip('.')}." if refusal else ""
    message = (
        "The gateway's list of batches can't be read to its end: it says that it goes on and can't be followed, doesn't say"
        " that it is over, or has entries that can't be read. So it can't be found out whether the batch exists."
        f"{refused} {_ask(next_call)}"
    )
    return Problem(reason=Reason.SUBMISSION_UNKNOWN, message=message)


def _foreign(next_call: str) -> Problem:
    message = (
        "The create call was answered with a batch of another file or job, and the gateway lists none of this job's."
        f" {_ask(next_call)}"
    )
    return Problem(reason=Reason.SUBMISSION_UNKNOWN, message=message)


def _ask(next_call: str) -> str:
    return (
        f"Look it up at the provider. If there is none, set the annotation {RESUBMIT_ANNOTATION}={next_call}"
        " on this BatchJob and it is submitted again."
    )
