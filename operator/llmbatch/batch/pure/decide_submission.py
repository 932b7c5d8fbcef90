"""How a job gets its batch: the rules from the input to the create call whose answer is owed."""

import math

from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.decision import (
    AddFinalizer,
    Decision,
    Done,
    Finish,
    GiveUpAttempt,
    LookUp,
    Stalled,
    Submit,
    Upload,
    Wait,
    waits_for,
)
from llmbatch.batch.pure.observation import FileState, Observation
from llmbatch.batch.pure.stage import Queued, Stage

MOST_DOUBLINGS = 9
"""Of the settle period: 17 hours by default."""


def answer_is_owed(seen: Observation) -> Decision | None:
    """Find out what became of a create call."""
    if seen.stage is not Stage.ANSWER:
        return None
    stalled = seen.status.condition("Stalled")
    asked = stalled is not None and stalled.reason == Reason.SUBMISSION_UNKNOWN
    if asked and seen.resubmit == seen.next_call:
        # A person was asked, has looked, and says that the attempt made no batch. One that was left over from another
        # job says nothing, and a call that may still be under way is waited for all the same.
        wait = seen.limits.settle_seconds - seen.owed_for
        if wait > 0 and stalled is not None:
            return Decision(Stalled(Reason.SUBMISSION_UNKNOWN, stalled.message, after=wait, aspect="Submitted"))
        return Decision(
            Wait(Reason.SUBMITTING, "The unknown attempt is given up, as the annotation says."), GiveUpAttempt()
        )
    refusal = seen.batch.submission.refusal if seen.batch.submission is not None else None
    if refusal is not None:
        message = (
            f"The create call was refused: {refusal.rstrip('.')}. Before that is believed, the gateway's list of batches is"
            f" looked at until {seen.limits.settle_seconds:g} s are over: a proxy on the way may have sent the call twice."
        )
        return Decision(Wait(Reason.SUBMISSION_PENDING, message, aspect="Submitted"), LookUp())
    lost = _what_was_lost(seen)
    if not seen.lists_batches:
        message = (
            f"{lost}, and this gateway does not list batches, so that it can't be found out"
            " whether the batch exists. Look it up at the provider. If there is none, set the annotation"
            f" llmbatch.io/resubmit={seen.next_call} on this BatchJob and it is submitted again."
        )
        return Decision(Stalled(Reason.SUBMISSION_UNKNOWN, message, after=math.inf, aspect="Submitted"))
    message = f"{lost}; the gateway is asked whether the batch exists."
    return Decision(Wait(Reason.SUBMISSION_PENDING, message, aspect="Submitted"), LookUp())


def answer_settles(seen: Observation) -> float:
    """Give the seconds after which a list that shows no batch is believed.

    They double with each call in a row whose answer is lost: where the list doesn't show what the calls make, each makes a
    batch that is paid. A refusal is no lost answer, and a deletion orders nothing more.
    """
    settle, submission = seen.limits.settle_seconds, seen.batch.submission
    if submission is None or submission.refusal is not None or seen.deleted_at is not None:
        return settle
    return settle * 2.0 ** min(submission.attempt - 1, MOST_DOUBLINGS)


def _what_was_lost(seen: Observation) -> str:
    submission = seen.batch.submission
    if submission is not None and submission.unusable:
        return "The batch was made under an id that is empty, too long or has characters that no id may have"
    if submission is not None and submission.since is not None:
        return "The status of this job was lost"
    if submission is not None and submission.foreign_answer:
        return "The create call was answered with a batch of another file or job"
    answer = submission.answer if submission is not None else None
    return "The answer to the create call was lost" + (f" ({answer.rstrip('.')})" if answer else "")


def transfer_is_at_work(seen: Observation) -> Decision | None:
    """Wait for the transfer Job."""
    if seen.transferring is None:
        return None
    return Decision(waits_for(seen.transferring, "InputReady"))


def file_is_uploaded(seen: Observation) -> Decision | None:
    """Create the batch once the provider is done with its file."""
    if seen.stage is not Stage.FILE:
        return None
    if seen.file_state is FileState.FAILED:
        message = f"The provider could not process the uploaded file: {seen.file_details or 'it gives no reason'}"
        return Decision(
            Done(), Finish(Reason.REMOTE_FILE_FAILED, message, complete=False, delete_file_ids=seen.file_ids)
        )
    if seen.file_state is FileState.PENDING:
        message = "The provider is still processing the uploaded file."
        return Decision(Wait(Reason.FILE_PENDING, message, after=max(0.05, seen.poll_in), aspect="Submitted"))
    if seen.queued is not None:
        return Decision(_in_line(seen.queued))
    if not seen.slot_free:
        message = "The gateway's maxActiveBatches is reached; the job goes on when another one ends."
        return Decision(Wait(Reason.WAITING_FOR_SLOT, message, after=math.inf, aspect="Submitted"))
    return Decision(
        Wait(Reason.SUBMITTING, "The batch is being created.", aspect="Submitted"), Submit(seen.next_attempt)
    )


def input_is_to_be_uploaded(seen: Observation) -> Decision:
    """Upload the input, after the finalizer is on."""
    ending = Wait(Reason.UPLOADING, "The input is being checked and uploaded.", aspect="InputReady")
    if not seen.finalizer:
        return Decision(ending, AddFinalizer())
    if seen.queued is not None:
        return Decision(_in_line(seen.queued))
    return Decision(ending, Upload(seen.next_attempt))


def _in_line(queued: Queued) -> Wait:
    return Wait(Reason.QUOTA_EXCEEDED, queued.message, after=queued.after, aspect="Submitted")
