"""How the end of a pass shows in a BatchJob's conditions; kstatus's rules are kept here and nowhere else."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, assert_never

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.conditions import (
    COMPLETE,
    FAILED,
    INPUT_READY,
    READY,
    RECONCILING,
    RESULTS_STORED,
    STALLED,
    SUBMITTED,
    Condition,
)
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.decision import Done, Ending, Finish, Stalled, Wait
from llmbatch.batch.pure.stage import is_full
from llmbatch.common.text import cut
from llmbatch.job.pure import parts, steady

Status = Literal["True", "False", "Unknown"]
Stated = tuple[Status, str, str]

MESSAGE_LIMIT = 2048
HELD_BACK = frozenset({Reason.WAITING_FOR_SLOT, Reason.QUOTA_EXCEEDED})
"""Reasons of a batch that is not to be submitted yet, though nothing is the matter with it."""


def derive(
    before: BatchJobStatus,
    after: BatchJobStatus,
    *,
    ending: Ending,
    finish: Finish | None,
    generation: int,
    ready_early: bool = False,
    now: datetime,
) -> list[Condition]:
    """Give the conditions after a pass.

    Args:
        before: The stored status, whose transition times are kept where nothing changed.
        after: The status with the facts of this pass.
        ending: How the pass ended.
        finish: The verdict, in the pass that ends the job.
        generation: Generation of the spec that the pass looked at.
        ready_early: It counts as ready though it has not ended; see is_ready_early.
        now: The moment of the pass.
    """
    stated: dict[str, Stated] = {}
    verdict = _verdict(before, finish)
    match ending:
        case _ if verdict is not None:
            complete, reason, message = verdict
            stated[READY] = ("True" if complete else "False", reason, message)
            stated[COMPLETE if complete else FAILED] = ("True", reason, message)
            if not complete:
                stated[STALLED] = ("True", reason, message)
        case Wait() if ready_early:
            # Not Reconciling: who waits for the job by kstatus's rules is to wait no longer.
            stated[READY] = ("True", Reason.SUBMITTED, f"{ending.reason}: {ending.message}")
        case Wait():
            stated[READY] = ("Unknown", ending.reason, ending.message)
            stated[RECONCILING] = ("True", ending.reason, ending.message)
        case Stalled():
            stated[READY] = ("False", ending.reason, ending.message)
            stated[STALLED] = ("True", ending.reason, ending.message)
        case Done():
            # Nothing is left for us to do, as at a deleted object that others hold on to: what was said stays true.
            stated |= _kept(before, (READY, RECONCILING, STALLED))
            if READY not in stated:
                stated[READY] = ("Unknown", Reason.ACCEPTED, "The job has been seen.")
                stated[RECONCILING] = ("True", Reason.ACCEPTED, "The job has been seen.")
        case _:
            assert_never(ending)
    stated |= _milestones(before, after, ending, finish)
    return [_condition(before, kind, said, generation, now) for kind, said in stated.items()]


def _verdict(before: BatchJobStatus, finish: Finish | None) -> tuple[bool, str, str] | None:
    """Give (complete, reason, message) of a job that has ended; an end once written stays."""
    for kind in (COMPLETE, FAILED):
        found = before.condition(kind)
        if found is not None and found.status == "True":
            return kind == COMPLETE, found.reason, found.message
    return None if finish is None else (finish.complete, finish.reason, finish.message)


def _milestones(
    before: BatchJobStatus, after: BatchJobStatus, ending: Ending, finish: Finish | None
) -> dict[str, Stated]:
    """Say which steps are done, and of the one that is next why it isn't."""
    stated: dict[str, Stated] = {}
    if after.input is not None:
        came_of_it = f"cut into {after.parts} parts" if (after.parts or 0) > 1 else "uploaded"
        message = f"{after.input.requests} requests were checked and {came_of_it}."
        stated[INPUT_READY] = ("True", Reason.INPUT_VALID, message)
    if (made := _made(after)) is not None:
        stated[SUBMITTED] = ("True", Reason.SUBMITTED, made)
    if after.output is not None:
        stated[RESULTS_STORED] = ("True", Reason.RESULTS_STORED, f"The results are in {after.output.location}.")
    said = finish if finish is not None and not finish.complete else None
    # A batch that was found again after the status was lost has an input that nobody tells of any more.
    done = {*stated, INPUT_READY} if SUBMITTED in stated else set(stated)
    next_step = next((kind for kind in (INPUT_READY, SUBMITTED, RESULTS_STORED) if kind not in done), None)
    if said is not None and next_step is not None:
        stated[next_step] = ("False", said.reason, said.message)
    elif isinstance(ending, (Wait, Stalled)) and ending.aspect and ending.aspect not in stated:
        stated[ending.aspect] = ("False", ending.reason, ending.message)
    else:
        stated |= _kept(before, {INPUT_READY, SUBMITTED, RESULTS_STORED} - stated.keys())
        if SUBMITTED in stated and (so_far := _made_so_far(after)) is not None:
            # What kept one of them is no longer in its way, and nothing is said to be in that of the others.
            stated[SUBMITTED] = ("False", Reason.SUBMITTING, so_far)
    return stated


def _kept(before: BatchJobStatus, kinds: Iterable[str]) -> dict[str, Stated]:
    found = [item for item in before.conditions if item.type in kinds]
    return {item.type: (item.status, item.reason, item.message) for item in found}


def _made(status: BatchJobStatus) -> str | None:
    """Say which batches there are; None while one is still to be made, and where there is none at all."""
    if parts.is_split(status):
        made, lost, wanted = _count_made(status)
        if wanted != 1:
            if not made or made + lost < wanted:
                return None
            return f"The batches of {status.parts} parts were made." if not lost else _some(made, lost, wanted)
    batch = next(iter(status.batches), Batch())
    return None if batch.id is None else f"The batch is {batch.id}."


def _made_so_far(status: BatchJobStatus) -> str | None:
    """Say how many batches there are, where some of several are still to be made; None otherwise."""
    made, lost, wanted = _count_made(status)
    return _some(made, lost, wanted) if made and made + lost < wanted else None


def _some(made: int, lost: int, wanted: int) -> str:
    return f"{made} of {wanted} batches were made{f'; {lost} came to nothing' if lost else ''}."


def _count_made(status: BatchJobStatus) -> tuple[int, int, int]:
    """Count the batches that were made, those that never will be, and all; what is sent again takes nothing of that back."""
    first = [batch for batch in status.batches if not batch.parts]
    made = sum(batch.id is not None for batch in first)
    return made, sum(batch.id is None and _never_made(batch) for batch in first), len(first)


def _never_made(batch: Batch) -> bool:
    """Tell whether a batch without an id stays without one."""
    return batch.refusal is not None or parts.has_ended(batch)


def is_ready_early(before: BatchJobStatus, after: BatchJobStatus, spec: BatchJobSpec) -> bool:
    """Tell whether a job that has not ended counts as ready (spec.readyWhen: Submitted).

    It does once every batch that can be submitted at once is at the provider; what waits for a place or for tokens then comes
    later, and takes nothing of that back.
    """
    if spec.ready_when != "Submitted" or not any(batch.id is not None for batch in after.batches):
        return False
    known = before.condition(READY)
    if _made(after) is not None or (known is not None and (known.status, known.reason) == ("True", Reason.SUBMITTED)):
        return True
    rest = [batch for batch in after.batches if batch.id is None and not _never_made(batch)]
    begun = [batch for batch in rest if batch.input_file_id or batch.submission or batch.state is not None]
    held_back = [batch for batch in rest if batch.state is not None and batch.state.reason in HELD_BACK]
    has_no_room = held_back != [] or after.queue is not None or is_full(after, spec.parallelism)
    return has_no_room and all(batch in held_back for batch in begun)


def _condition(before: BatchJobStatus, kind: str, said: Stated, generation: int, now: datetime) -> Condition:
    status, reason, message = said
    old = before.condition(kind)
    changed = old is None or old.status != status
    message = steady.message_of(old, status, str(reason), message)
    return Condition(
        type=kind,
        status=status,
        observed_generation=generation,
        last_transition_time=now if changed or old is None else old.last_transition_time,
        reason=str(reason),
        message=cut(message, MESSAGE_LIMIT),
    )
