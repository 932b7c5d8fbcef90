"""What to do next with a BatchJob: an ordered list of rules, of which the first that speaks wins."""

import math

from llmbatch.api.reasons import Reason
from llmbatch.core.decide_deletion import object_is_being_deleted
from llmbatch.core.decision import (
    AddFinalizer,
    BeginAnew,
    Collect,
    Decision,
    Done,
    FindDuplicates,
    Finish,
    GiveUpAttempt,
    LookUp,
    RemoveFinalizer,
    Stalled,
    Submit,
    Upload,
    Wait,
)
from llmbatch.core.observation import FileState, Observation, Stage
from llmbatch.core.submission import OF_NO_USE
from llmbatch.core.trouble import ending_for

RUNNING_REASONS = {
    "validating": (Reason.VALIDATING, "The provider is checking the input file."),
    "finalizing": (Reason.FINALIZING, "The provider is preparing the results."),
    "cancelling": (Reason.CANCELLING, "The batch is being cancelled at the provider."),
}
RUNNING = (Reason.IN_PROGRESS, "The provider is running the requests.")


def decide(seen: Observation) -> Decision:
    """Apply the first rule that has something to say."""
    for rule in (
        object_is_being_deleted,  # wins over everything: whoever deletes wants no more done
        job_has_ended,
        copy_is_at_its_beginning,
        finalizer_was_taken_away,  # before anything else is done at the provider
        generation_is_new,  # kstatus: say at once that the new spec was seen
        others_may_exist,  # before a batch of no use ends the job: another one may live
        news_is_unrecorded,  # a fact is stored before anything is done about it
        output_is_known_to_be_too_small,  # before trouble: looking again would download it all once more
        something_is_in_the_way,
        results_are_stored,
        batch_was_refused,
        batch_has_ended,
        batch_is_under_way,
        answer_is_owed,
        transfer_is_at_work,
        file_is_uploaded,
    ):
        if (decision := rule(seen)) is not None:
            return decision
    return input_is_to_be_uploaded(seen)


def job_has_ended(seen: Observation) -> Decision | None:
    if seen.stage is not Stage.ENDED:
        return None
    if seen.discards_files:
        # Its deletion takes the results out of the volume.
        return Decision(Done(), None if seen.finalizer else AddFinalizer())
    # Nothing is left to do for it, so that its deletion need not wait for us.
    return Decision(Done(), RemoveFinalizer() if seen.finalizer else None)


def copy_is_at_its_beginning(seen: Observation) -> Decision | None:
    """Have a copy of another object, for which nothing was ordered yet, run as a job of its own."""
    if not seen.restored or seen.stage not in (Stage.INPUT, Stage.FILE):
        return None
    return Decision(Wait(Reason.ACCEPTED, "The job is a copy of another one; it begins anew."), BeginAnew())


def finalizer_was_taken_away(seen: Observation) -> Decision | None:
    """Put it back, whoever took it: a deletion would else leave a batch that costs money, and nobody would know."""
    if seen.finalizer or seen.restored or (seen.stage is Stage.INPUT and seen.transferring is None):
        return None
    return Decision(Wait(Reason.ACCEPTED, "The finalizer was taken away; it is put back."), AddFinalizer())


def generation_is_new(seen: Observation) -> Decision | None:
    if seen.acknowledged:
        return None
    return Decision(Wait(Reason.ACCEPTED, "The job has been seen."))


NEWS = {
    Stage.FILE: Wait(Reason.SUBMITTING, "The input is uploaded; the batch is about to be created.", aspect="Submitted"),
    Stage.RESULTS: Wait(Reason.COLLECTING, "The batch has ended; its results are next.", aspect="ResultsStored"),
    Stage.CLEANUP: Wait(Reason.CLEANING_UP, "The results are stored; the remote files are next."),
}


def others_may_exist(seen: Observation) -> Decision | None:
    """Have the gateway's list searched once for batches that somebody's retry on the way made of the same call.

    Results never wait for it: while the batch runs a failed look is tried again at the next poll, and the end waits for
    it only as long as it waits for the deletion of remote files.
    """
    if not seen.unchecked or seen.trouble is not None:
        return None
    match seen.stage:
        case Stage.BATCH if seen.settled:
            return Decision(_under_way(seen), FindDuplicates())
        case Stage.RESULTS if seen.unrecorded and seen.batch.status in OF_NO_USE:
            return Decision(NEWS[Stage.RESULTS], FindDuplicates())
        case Stage.RESULTS if not seen.unrecorded and _was_refused(seen) and not seen.cleanup_overdue:
            return Decision(NEWS[Stage.RESULTS], FindDuplicates())
        case Stage.CLEANUP if not seen.unrecorded and not seen.cleanup_overdue:
            message = "The results are stored; other batches of the job are looked for."
            return Decision(Wait(Reason.CLEANING_UP, message), FindDuplicates())
    return None


def _was_refused(seen: Observation) -> bool:
    batch = seen.batch
    return batch.status == "failed" and not batch.output_file_id and not batch.error_file_id


def news_is_unrecorded(seen: Observation) -> Decision | None:
    if not seen.unrecorded or seen.trouble is not None or seen.stage not in NEWS:
        return None
    return Decision(NEWS[seen.stage])


def output_is_known_to_be_too_small(seen: Observation) -> Decision | None:
    stalled = seen.status.condition("Stalled")
    if seen.stage is not Stage.RESULTS or stalled is None or stalled.reason != Reason.OUTPUT_TOO_LARGE:
        return None
    if stalled.observed_generation != seen.generation:
        return None
    return Decision(Stalled(Reason.OUTPUT_TOO_LARGE, stalled.message, after=math.inf, aspect="ResultsStored"))


def something_is_in_the_way(seen: Observation) -> Decision | None:
    if seen.trouble is None:
        return None
    if seen.trouble.final:
        finish = Finish(seen.trouble.reason, seen.trouble.message, complete=False, delete_file_ids=seen.own_file_ids)
        return Decision(Done(), finish)
    if seen.stage is Stage.CLEANUP and seen.cleanup_overdue:
        return None
    return Decision(ending_for(seen.trouble, seen.stage, seen.limits, costly=seen.costly))


def results_are_stored(seen: Observation) -> Decision | None:
    if seen.stage is not Stage.CLEANUP:
        return None
    files = seen.own_file_ids if seen.spec.remote_files == "Delete" and not doubtful(seen) else ()
    reason, message = verdict(seen)
    finish = Finish(reason, message, complete=reason in COMPLETE, delete_file_ids=files)
    return Decision(Wait(Reason.CLEANING_UP, "The results are stored; the remote files are being deleted."), finish)


def doubtful(seen: Observation) -> bool:
    """Tell whether a completed batch has fewer readable results than requests: its files are then not deleted."""
    output = seen.status.output
    return output is not None and bool(output.missing_requests) and seen.batch.status == "completed"


COMPLETE = frozenset({Reason.SUCCEEDED, Reason.COMPLETED_WITH_FAILURES})


def verdict(seen: Observation) -> tuple[Reason, str]:
    """Judge a job whose results are stored, by the lines and by how its batch ended."""
    counts, output = seen.status.request_counts, seen.status.output
    total, completed = (counts.total, counts.completed) if counts is not None else (0, 0)
    told = f"{completed} of {total} requests succeeded"
    if output is not None and output.errors_location is not None:
        told += f"; the failed ones are in {output.errors_location}"
    if doubtful(seen) and output is not None:
        told += f"; {output.missing_requests} have no readable result line, and the provider's files are kept"
    if seen.batch.status == "expired":
        return Reason.BATCH_EXPIRED, f"The batch was not done within its completion window: {told}."
    if seen.batch.status == "cancelled":
        return Reason.BATCH_CANCELLED, f"The batch was cancelled at the provider: {told}."
    if seen.batch.status == "failed":
        return Reason.BATCH_FAILED, f"The provider ended the batch as failed: {told}."
    if completed == 0:
        return Reason.ALL_REQUESTS_FAILED, f"No request succeeded: {told}."
    if completed < total:
        return Reason.COMPLETED_WITH_FAILURES, f"{told}."
    return Reason.SUCCEEDED, f"All {total} requests succeeded."


def batch_was_refused(seen: Observation) -> Decision | None:
    if seen.stage is not Stage.RESULTS or not _was_refused(seen):
        return None
    why = seen.batch_errors or "it gives no reason"
    files = seen.own_file_ids if seen.spec.remote_files == "Delete" else ()
    finish = Finish(
        Reason.BATCH_FAILED, f"The provider refused the batch: {why}", complete=False, delete_file_ids=files
    )
    return Decision(Done(), finish)


def batch_has_ended(seen: Observation) -> Decision | None:
    if seen.stage is not Stage.RESULTS:
        return None
    if seen.transferring is not None:
        return Decision(Wait(seen.transferring.reason, seen.transferring.message, after=1.0, aspect="ResultsStored"))
    message = "The results are being downloaded, joined and written."
    return Decision(Wait(Reason.COLLECTING, message, aspect="ResultsStored"), Collect())


def batch_is_under_way(seen: Observation) -> Decision | None:
    return Decision(_under_way(seen)) if seen.stage is Stage.BATCH else None


def _under_way(seen: Observation) -> Wait:
    reason, message = RUNNING_REASONS.get(seen.batch.status or "validating", RUNNING)
    return Wait(reason, message, after=max(0.05, seen.poll_in))


def answer_is_owed(seen: Observation) -> Decision | None:
    if seen.stage is not Stage.ANSWER:
        return None
    stalled = seen.status.condition("Stalled")
    asked = stalled is not None and stalled.reason == Reason.SUBMISSION_UNKNOWN
    if asked and seen.resubmit == str(seen.next_attempt):
        # A person was asked, has looked, and says that the attempt made no batch. One that was left over from another
        # job says nothing, and a call that may still be under way is waited for all the same.
        wait = seen.limits.settle_seconds - seen.owed_for
        if wait > 0 and stalled is not None:
            return Decision(Stalled(Reason.SUBMISSION_UNKNOWN, stalled.message, after=wait, aspect="Submitted"))
        return Decision(
            Wait(Reason.SUBMITTING, "The unknown attempt is given up, as the annotation says."), GiveUpAttempt()
        )
    lost = _what_was_lost(seen)
    if not seen.lists_batches:
        message = (
            f"{lost}, and this gateway does not list batches, so that it can't be found out"
            " whether the batch exists. Look it up at the provider. If there is none, set the annotation"
            f" llmbatch.io/resubmit={seen.next_attempt} on this BatchJob and it is submitted again."
        )
        return Decision(Stalled(Reason.SUBMISSION_UNKNOWN, message, after=math.inf, aspect="Submitted"))
    message = f"{lost}; the gateway is asked whether the batch exists."
    return Decision(Wait(Reason.SUBMISSION_PENDING, message, aspect="Submitted"), LookUp())


def _what_was_lost(seen: Observation) -> str:
    submission = seen.status.submission
    if submission is not None and submission.since is not None:
        return "The status of this job was lost"
    return "The answer to the create call was lost"


def transfer_is_at_work(seen: Observation) -> Decision | None:
    if seen.transferring is None:
        return None
    return Decision(Wait(seen.transferring.reason, seen.transferring.message, after=1.0, aspect="InputReady"))


def file_is_uploaded(seen: Observation) -> Decision | None:
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
    if not seen.slot_free:
        message = "The gateway's maxActiveBatches is reached; the job goes on when another one ends."
        return Decision(Wait(Reason.WAITING_FOR_SLOT, message, after=seen.limits.recheck_seconds, aspect="Submitted"))
    return Decision(
        Wait(Reason.SUBMITTING, "The batch is being created.", aspect="Submitted"), Submit(seen.next_attempt)
    )


def input_is_to_be_uploaded(seen: Observation) -> Decision:
    ending = Wait(Reason.UPLOADING, "The input is being checked and uploaded.", aspect="InputReady")
    if not seen.finalizer:
        return Decision(ending, AddFinalizer())
    return Decision(ending, Upload(seen.next_attempt))
