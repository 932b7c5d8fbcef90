"""One batch of a job with several, in a pass: what was seen of it, decided, done, and what it waits for."""

import math
from dataclasses import dataclass, replace

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob_status import BatchJobStatus, Queue
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.outcome import Note, Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure.decision import (
    Collect,
    Decision,
    Effect,
    Ending,
    RemoveFinalizer,
    Stalled,
    Upload,
    Wait,
)
from llmbatch.batch.pure.stage import Queued
from llmbatch.job.edge.admission import queue_of
from llmbatch.job.edge.passes.ending import ending_of_pass
from llmbatch.job.pure import parts
from llmbatch.job.pure.decide import decide

WAITING = Wait(Reason.WAITING_FOR_SLOT, "Other batches of this job go first (spec.parallelism).", after=math.inf)
UPLOADS_WAIT = Wait(Reason.UPLOADING, "Another transfer of this job goes first.", after=math.inf)
COLLECTS_WAIT = Wait(Reason.COLLECTING, "Another transfer of this job goes first.", after=math.inf)
ENDED = Wait(Reason.COLLECTING, "The batch has ended; the results of all are collected together.", after=math.inf)
OF_A_COPY = Stalled(
    Reason.RESTORED,
    "This is a copy of another BatchJob, which may order this part itself: only what was ordered when it was copied is"
    " collected. Delete the copy, and apply the BatchJob anew if the original is gone.",
)
HELD = (OF_A_COPY, WAITING, UPLOADS_WAIT, COLLECTS_WAIT, ENDED)


@dataclass
class Part:
    """One batch in a pass."""

    seen: Seen
    decision: Decision
    ending: Ending
    outcome: Outcome | None = None
    rests: bool = False
    """Its step has failed, and is tried again after a pause."""

    @property
    def batch(self) -> Batch:
        """Its entry."""
        return self.seen.observation.batch

    @property
    def index(self) -> int:
        """Its place among the job's batches."""
        return self.seen.index

    @property
    def effect(self) -> Effect | None:
        """What is to be done for it."""
        return self.decision.effect

    def see(self, seen: Seen) -> None:
        """Take what is known of it by now, and decide anew."""
        self.seen, self.decision = seen, decide(seen.observation)

    def take(self, outcome: Outcome) -> None:
        """Take what became of the effect, and say how that ends the pass."""
        ending = self.decision.ending
        if outcome.moved:
            ending = decide(replace(self.seen.observation, status=outcome.status, unrecorded=False)).ending
        self.outcome = outcome
        self.ending = ending_of_pass(self.seen, ending, outcome, uses_pod=isinstance(self.effect, Upload | Collect))

    def rest(self) -> None:
        """Have it wait for its turn with growing delays, unless the job is looked at sooner for something else."""
        self.rests = True
        if isinstance(self.ending, Wait):
            self.ending = replace(self.ending, after=None)

    def closed(self, status: BatchJobStatus) -> BatchJobStatus:
        """Put into the job's status what has become of this batch."""
        seen, outcome, observation = self.seen, self.outcome, self.seen.observation
        if seen.view is None:
            return status
        closed = seen.closed(
            outcome.status if outcome is not None else observation.status,
            self.ending,
            finish=outcome.finish if outcome is not None else None,
        )
        return seen.view.put(status, closed)


def told(job: Seen, found: list[Part]) -> tuple[Outcome, Ending]:
    """Put what was found out of each batch into the job's status, and say how the pass ends."""
    outcome = Outcome(job.stored)
    # A part that has not begun says nothing of where the job is, while others are at work; and one that waits for another
    # one of its job never says that it wants a place, which nobody after it in the gateway's line would then be given.
    behind = [part for part in found if part.ending in (WAITING, UPLOADS_WAIT)]
    idle = [*behind, *(part for part in found if _is_in_line(part))]
    speaking = [part for part in found if part not in idle] or [part for part in idle if part not in behind] or found
    # By what a batch is said to lack it is called when it is there: who stands in line for tokens no longer lacks anything else.
    moved = [part for part in idle if part not in speaking and _is_said_to_lack_more(part)]
    for part in (*speaking, *moved):
        done = part.outcome or Outcome(job.stored)
        if done.stale or done.gone:
            return replace(done, status=job.stored), part.ending
        named = parts.name(job.stored, part.batch)
        notes: tuple[Note, ...] = tuple(
            (kind, reason, f"{named}: {message}" if named else message) for kind, reason, message in done.notes
        )
        outcome = replace(
            outcome,
            status=part.closed(outcome.status),
            notes=(*outcome.notes, *notes),
            version=done.version or outcome.version,
            duplicates=outcome.duplicates + done.duplicates,
        )
    outcome = replace(outcome, status=outcome.status.model_copy(update={"queue": _queue(found)}))
    ending = parts.ending(job.stored, [(part.batch, part.ending) for part in speaking])
    return outcome, replace(ending, after=0.0) if _goes_on(found) else ending


def _queue(found: list[Part]) -> Queue | None:
    """Say where the next batch of the job stands in line, if one waits for tokens."""
    in_line = [(part.seen, part.seen.observation.queued) for part in found if _is_in_line(part)]
    told = [queue_of(seen, queued) for seen, queued in in_line if queued is not None]
    told += [_ahead_of_all(part.seen) for part in found if _tries_first(part)]
    return min(told, key=lambda item: item.position, default=None)


def _ahead_of_all(seen: Seen) -> Queue:
    """Say of a batch that it is the next: the provider has refused it, and is asked again after a while."""
    return queue_of(seen, Queued(1, 0, seen.tokens, seen.observation.spec.gateway_ref.name, behind=True))


def _tries_first(part: Part) -> bool:
    client, ending = part.seen.client, part.ending
    limited = client is not None and client.spec.limits.max_enqueued_tokens > 0
    refused = isinstance(ending, Wait | Stalled) and ending.reason == Reason.QUOTA_EXCEEDED
    return limited and refused and not _is_in_line(part)


def _is_in_line(part: Part) -> bool:
    return part.seen.observation.queued is not None and part.outcome is None


def _is_said_to_lack_more(part: Part) -> bool:
    state, ending = part.batch.state, part.ending
    return _is_in_line(part) and state is not None and isinstance(ending, Wait) and state.reason != ending.reason


def _goes_on(found: list[Part]) -> bool:
    """Tell whether there is something to do at once: the next step of the batch that was acted on, or for another one."""
    done = [part.outcome for part in found if part.outcome is not None]
    if any(outcome.problem is None and not outcome.after for outcome in done):
        return True
    idle = (part for part in found if part.outcome is None and not part.rests)
    # A deleted job is let go when nothing is left to do for any of them.
    steps = (part for part in idle if part.effect is not None and not isinstance(part.effect, RemoveFinalizer))
    return any(part.ending not in HELD for part in steps)
