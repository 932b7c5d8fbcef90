"""What to do next with a BatchJob: an ordered list of rules, of which the first that speaks wins."""

from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import late
from llmbatch.batch.pure.decide_submission import (
    answer_is_owed,
    file_is_uploaded,
    input_is_to_be_uploaded,
    transfer_is_at_work,
)
from llmbatch.batch.pure.decision import (
    AddFinalizer,
    BeginAnew,
    Cancel,
    Decision,
    Done,
    FindDuplicates,
    Finish,
    RemoveFinalizer,
    Wait,
)
from llmbatch.batch.pure.observation import Observation
from llmbatch.batch.pure.stage import Stage
from llmbatch.batch.pure.submission import OF_NO_USE
from llmbatch.job.pure.decide_deletion import object_is_being_deleted
from llmbatch.job.pure.decide_results import (
    CLEANING,
    batch_has_ended,
    batch_was_refused,
    output_is_known_to_be_of_no_use,
    part_came_to_nothing,
    results_are_late,
    results_are_stored,
    results_of_parts_are_elsewhere,
)
from llmbatch.job.pure.trouble import ending_of
from llmbatch.provider.pure import words

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
        job_is_stopped,  # before anything more is begun
        part_came_to_nothing,  # whatever else is the matter with it
        others_may_exist,  # before a batch of no use ends the job: another one may live
        news_is_unrecorded,  # a fact is stored before anything is done about it
        output_is_known_to_be_of_no_use,  # before trouble: looking again would download it all once more
        results_are_late,  # as much trouble as any other, but with an end
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


def decide_whole(seen: Observation) -> Decision | None:
    """Decide for a job with several batches what is true of the job alone; None: its batches are next."""
    if seen.deleted_at is not None:
        return object_is_being_deleted(seen) if not seen.finalizer else None
    for rule in (
        job_has_ended,
        copy_is_at_its_beginning,
        finalizer_was_taken_away,
        generation_is_new,
        results_of_parts_are_elsewhere,  # before anything is read, sent or put together by where they are not
    ):
        if (decision := rule(seen)) is not None:
            return decision
    return None


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


def job_is_stopped(seen: Observation) -> Decision | None:
    """Cancel what is under way and begin nothing more, once a request has failed so that the whole job is to fail."""
    if seen.status.stopped is None or seen.restored:
        return None
    why = f"Request {seen.status.stopped.custom_id} failed with {seen.status.stopped.code}, for which a rule of spec.requestFailurePolicy says FailJob"
    match seen.stage:
        case Stage.INPUT | Stage.FILE if seen.transferring is None:
            message = f"{why}; these requests were not sent."
            return Decision(Done(), Finish(Reason.REQUEST_FAILURE_POLICY, message, complete=False))
        case Stage.BATCH if seen.trouble is None and seen.batch.id is not None and seen.batch.status != "cancelling":
            return Decision(Wait(Reason.CANCELLING, f"{why}; the batch is being cancelled."), Cancel(seen.batch.id))
    return None


NEWS = {
    Stage.FILE: Wait(Reason.SUBMITTING, "The input is uploaded; the batch is about to be created.", aspect="Submitted"),
    Stage.RESULTS: Wait(Reason.COLLECTING, "The batch has ended; its results are next.", aspect="ResultsStored"),
    Stage.CLEANUP: CLEANING,
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
        case Stage.RESULTS if not seen.unrecorded and late.was_refused(seen.batch) and not seen.cleanup_overdue:
            return Decision(NEWS[Stage.RESULTS], FindDuplicates())
        case Stage.CLEANUP if not seen.unrecorded and not seen.cleanup_overdue:
            return Decision(CLEANING, FindDuplicates())
    return None


def news_is_unrecorded(seen: Observation) -> Decision | None:
    if not seen.unrecorded or seen.trouble is not None or seen.stage not in NEWS:
        return None
    return Decision(NEWS[seen.stage])


def something_is_in_the_way(seen: Observation) -> Decision | None:
    if seen.trouble is None:
        return None
    if seen.trouble.final:
        finish = Finish(seen.trouble.reason, seen.trouble.message, complete=False, delete_file_ids=seen.own_file_ids)
        return Decision(Done(), finish)
    if seen.stage is Stage.CLEANUP and seen.cleanup_overdue:
        return None
    return Decision(ending_of(seen.trouble, seen, costly=seen.costly))


def batch_is_under_way(seen: Observation) -> Decision | None:
    return Decision(_under_way(seen)) if seen.stage is Stage.BATCH else None


def _under_way(seen: Observation) -> Wait:
    status = seen.batch.status or "validating"
    reason, message = RUNNING_REASONS.get(status, RUNNING)
    if status not in (*RUNNING_REASONS, "in_progress"):
        message = (
            f"The gateway tells a status of the batch that is not known ({words.code_of(status)}), so that it counts as"
            " running. If it is over, cancel it there, or have the gateway tell how it has ended."
        )
    return Wait(reason, message, after=max(0.05, seen.poll_in))
