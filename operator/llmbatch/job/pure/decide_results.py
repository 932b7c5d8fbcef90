"""What to do with the results of a batch that has ended: the rules from its end to the job's verdict."""

import math

from llmbatch.api.batchjob_status import OutputStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import late
from llmbatch.batch.pure.decision import Collect, Decision, Done, Finish, Stalled, SubmitAgain, Wait, waits_for
from llmbatch.batch.pure.observation import Observation
from llmbatch.batch.pure.stage import Stage
from llmbatch.job.pure.success import shortfall
from llmbatch.transfer.pure.plan import parts_location
from llmbatch.transfer.pure.report import Problem

NEVER_TAKES_THEM = frozenset({Reason.OUTPUT_TOO_LARGE, Reason.OUTPUT_UNSUPPORTED})
"""The destination will never take the results, until another one is named."""

CLEANING = Wait(
    Reason.CLEANING_UP, "The results are stored; what the job has left over at the provider is looked for and removed."
)
"""One sentence for all steps of it: most last a moment, and each other sentence would be a write."""


def results_of_parts_are_elsewhere(seen: Observation) -> Decision | None:
    """Have a person put spec.output back, once results of some batches are where it no longer says.

    Their files at the provider are deleted: nothing else is left of what was paid for.
    """
    status, volume = seen.status, seen.spec.output.persistent_volume_claim
    count = sum(batch.results is not None for batch in status.batches)
    if status.output is not None or not count:
        return None
    there = status.parts_location
    if volume is not None and there in (None, parts_location(volume.claim_name, volume.path, seen.status_uid)):
        return None
    message = (
        f"spec.output was changed when the results of {count} batches were stored already, in"
        f" {there or 'the volume that it named'}, where those of all are put together. Put its claim and folder back as they"
        " were (the file may get another name), and the job goes on."
    )
    return Decision(Stalled(Reason.OUTPUT_INVALID, message, after=math.inf, aspect="ResultsStored"))


def output_is_known_to_be_of_no_use(seen: Observation) -> Decision | None:
    """Spare the download of results that are known not to get where they are to go."""
    stalled = seen.status.condition("Stalled")
    if seen.stage is not Stage.RESULTS or stalled is None or stalled.reason not in NEVER_TAKES_THEM:
        return None
    if stalled.observed_generation != seen.generation:
        return None
    return Decision(Stalled(Reason(stalled.reason), stalled.message, after=math.inf, aspect="ResultsStored"))


def results_are_late(seen: Observation) -> Decision | None:
    """Look again at results that are not all there, for a while; then have a person look."""
    if seen.trouble is None or not late.concerns(seen.trouble, seen.stage):
        return None
    return Decision(late.ending(seen.trouble, seen.status, seen.limits))


def results_are_stored(seen: Observation) -> Decision | None:
    """End the job, with its verdict."""
    if seen.stage is not Stage.CLEANUP:
        return None
    files = seen.own_file_ids if seen.spec.remote_files == "Delete" and not doubtful(seen) else ()
    reason, message = verdict(seen)
    finish = Finish(reason, message, complete=reason in COMPLETE, delete_file_ids=files)
    return Decision(CLEANING, finish)


def doubtful(seen: Observation) -> bool:
    """Tell whether the files may hold answers that no request was given: they are then not deleted.

    There are fewer readable results than requests, or lines that fit none. What a cancelled batch never ran is no such
    doubt, where its counts say that every answer was read.
    """
    output, counts = seen.status.output, seen.status.request_counts
    if output is None or seen.batch.refusal is not None:
        return False
    if output.foreign_requests:
        return True
    missing = output.missing_requests or 0
    return missing > 0 and (counts is None or late.left_out(seen.batch) != counts.total - missing)


def why_doubtful(output: OutputStatus | None) -> str:
    """Say which lines are in doubt."""
    told: list[str] = []
    if output is None:
        return ""
    if output.missing_requests:
        told.append(f"{output.missing_requests} have no readable result line")
    if output.foreign_requests:
        where = f" and are in {output.foreign_location}" if output.foreign_location else ""
        told.append(f"{output.foreign_requests} of the provider's lines fit no request (custom_id){where}")
    return "; ".join(told)


def part_came_to_nothing(seen: Observation) -> Decision | None:
    """Have the requests of a part that was refused named among the failed ones."""
    refusal = seen.batch.refusal
    if seen.stage is not Stage.RESULTS or refusal is None:
        return None
    if not seen.batch.parts:
        return batch_has_ended(seen)
    if seen.trouble is not None:
        return None
    # Its requests have their lines from the attempt before.
    files = seen.own_file_ids if seen.spec.remote_files == "Delete" else ()
    return Decision(Done(), Finish(Reason(refusal.reason), refusal.message, complete=False, delete_file_ids=files))


COMPLETE = frozenset({Reason.SUCCEEDED, Reason.COMPLETED_WITH_FAILURES})


def verdict(seen: Observation) -> tuple[Reason, str]:
    """Judge a job whose results are stored, by the lines and by how its batch ended."""
    if seen.batch.refusal is not None:
        return Reason(seen.batch.refusal.reason), seen.batch.refusal.message
    counts, output = seen.status.request_counts, seen.status.output
    total, completed = (counts.total, counts.completed) if counts is not None else (0, 0)
    told = f"{completed} of {total} requests succeeded"
    if output is not None and output.errors_location is not None:
        told += f"; the failed ones are in {output.errors_location}"
    if doubtful(seen):
        told += f"; {why_doubtful(output)}; the provider's files are kept"
    if seen.spec.success_policy is not None and counts is not None:
        if (short := shortfall(seen.spec, counts)) is not None:
            ended = "" if seen.batch.status == "completed" else f"; the provider ended the batch as {seen.batch.status}"
            return Reason.SUCCESS_POLICY_NOT_MET, f"{short}: {told}{ended}."
        # However the batch has ended: what was asked for is there.
        return (Reason.COMPLETED_WITH_FAILURES if completed < total else Reason.SUCCEEDED), f"{told}."
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
    return Reason.SUCCEEDED, f"{told}." if doubtful(seen) else f"All {total} requests succeeded."


REMEDIES = {
    Reason.FILE_PENDING: "the file was uploaded only minutes ago, so another batch is made of it",
    Reason.QUOTA_EXCEEDED: "another batch is made of the same file, when others have ended; a higher quota helps",
    Reason.BILLING_LIMIT: (
        "see to the account's billing or its limit at the provider; another batch is then made of the same file"
    ),
}


def batch_was_refused(seen: Observation) -> Decision | None:
    """End a job whose batch the provider failed as a whole."""
    if seen.stage is not Stage.RESULTS or not late.was_refused(seen.batch):
        return None
    why = seen.batch_errors or "it gives no reason"
    reason = seen.batch_short_of
    if reason is not None and not seen.restored and not (reason is Reason.FILE_PENDING and seen.file_overdue):
        message = f"The provider refused the batch: {why}; {REMEDIES[reason]}"
        submitting = Wait(Reason.SUBMITTING, "The batch was refused; another one is made of the same file.")
        return Decision(submitting, SubmitAgain(Problem(reason=reason, message=message)))
    files = seen.own_file_ids if seen.spec.remote_files == "Delete" else ()
    finish = Finish(
        Reason.BATCH_FAILED, f"The provider refused the batch: {why}", complete=False, delete_file_ids=files
    )
    return Decision(Done(), finish)


def batch_has_ended(seen: Observation) -> Decision | None:
    """Have the results collected."""
    if seen.stage is not Stage.RESULTS:
        return None
    if seen.transferring is not None:
        return Decision(waits_for(seen.transferring, "ResultsStored"))
    message = "The results are being downloaded, joined and written."
    return Decision(Wait(Reason.COLLECTING, message, aspect="ResultsStored"), Collect())
