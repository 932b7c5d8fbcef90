"""Puts what was found out into a BatchJob's status."""

from datetime import datetime
from typing import Any

from llmbatch.api.batch_status import Batch, Submission
from llmbatch.api.batchjob_status import BatchJobStatus, OutputStatus
from llmbatch.api.counts import RequestCounts
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import lifecycle
from llmbatch.batch.pure.submission import last_refused
from llmbatch.provider.pure import words
from llmbatch.provider.pure.wire import RemoteBatch
from llmbatch.transfer.pure.destination import Destination
from llmbatch.transfer.pure.report import CollectReport, Problem, UploadReport

FULL_TEXT = (
    "the provider's own text may repeat the input, so it isn't shown here: read it there, in the errors of the batch"
    " (GET <url><batchesPath>/<the batch's id>)"
)


def batch_of(status: BatchJobStatus) -> Batch:
    """Give the job's batch, empty before there is one."""
    return status.batches[0] if status.batches else Batch()


def with_batch(status: BatchJobStatus, batch: Batch) -> BatchJobStatus:
    """Put the job's batch in place."""
    return status.model_copy(update={"batches": [batch, *status.batches[1:]]})


def bare(batch: Batch, **told: object) -> Batch:
    """Give an entry without what is known of its file and its batch: what it is for, and what was begun for it."""
    kept = (
        *("part", "attempt", "parts", "first_request", "requests", "bytes", "estimated_tokens"),
        *("sha256", "source", "refusal", "state", "create_calls"),
    )
    return Batch(**{name: getattr(batch, name) for name in kept}).model_copy(update=told)


def _told(status: BatchJobStatus, **told: object) -> BatchJobStatus:
    return with_batch(status, batch_of(status).model_copy(update=told))


def with_upload(status: BatchJobStatus, report: UploadReport, now: datetime | None = None) -> BatchJobStatus:
    """Record the uploaded file."""
    old, sent = batch_of(status), report.input
    file = bare(
        old,
        part=old.part or 0,
        attempt=old.attempt or 1,
        first_request=None if old.parts else old.first_request or 0,
        requests=sent.requests if sent is not None else old.requests,
        bytes=sent.bytes if sent is not None else old.bytes,
        input_file_id=report.file_id,
        uploaded_time=now,
    )
    update: dict[str, object] = {"input": report.input}
    if report.input is not None:
        update["request_counts"] = RequestCounts(total=report.input.requests, completed=0, failed=0)
    return with_batch(status, file).model_copy(update=update)


def upload_problem(report: UploadReport) -> Problem | None:
    """Give the problem of an upload, with the first bad lines named one by one."""
    problem = report.problem
    if problem is None and report.file_id is None and report.cuts is None:
        return Problem(reason=Reason.TRANSFER_FAILED, message="The upload ended without a file id.")
    if problem is None or not report.line_errors:
        return problem
    # The report's own message names the first ones already, for where there is room for one line; none is told twice.
    first = problem.message.find(report.line_errors[0].told)
    head = problem.message if first < 0 else problem.message[:first].rstrip(" :")
    lines = [item.in_a_list for item in report.line_errors]
    more = report.line_error_count - len(lines)
    told = "\n".join([head, *lines, *([f"… and {more} more"] if more > 0 else [])])
    return problem.model_copy(update={"message": told})


def with_intent(status: BatchJobStatus, attempt: int, now: datetime) -> BatchJobStatus:
    """Record that a create call is about to be made."""
    return _told(status, submission=Submission(attempt=attempt, intent_time=now), create_calls=attempt)


def with_doubt(
    status: BatchJobStatus, *, refusal: str | None = None, answer: str | None = None, foreign: bool = False
) -> BatchJobStatus:
    """Record what a create call was answered with that is no proof of what became of it."""
    submission = batch_of(status).submission
    if submission is None:
        return status
    told = {"refusal": refusal, "answer": answer, "foreign_answer": foreign or None}
    return _told(status, submission=submission.model_copy(update=told))


def without_intent(status: BatchJobStatus, *, made_none: bool) -> BatchJobStatus:
    """Record that no answer is owed any more.

    Args:
        status: The status with the intent.
        made_none: The call is known not to have been made: its number is used again.
    """
    batch = batch_of(status)
    calls = batch.create_calls or 0
    if made_none and batch.submission is not None:
        calls = batch.submission.attempt - 1
    return _told(status, submission=None, create_calls=calls or None)


def with_unusable_answer(status: BatchJobStatus) -> BatchJobStatus:
    """Record that the call has made a batch, though under an id by which it can't be followed."""
    submission = batch_of(status).submission
    return status if submission is None else _told(status, submission=submission.model_copy(update={"unusable": True}))


def with_lost_answer(status: BatchJobStatus, made: datetime, now: datetime) -> BatchJobStatus:
    """Record that an answer may be owed: the status is gone that told of a call made since the object was."""
    return _told(status, submission=Submission(attempt=1, intent_time=now, since=made), create_calls=1)


def without_batch(status: BatchJobStatus, *, restored: bool) -> BatchJobStatus:
    """Record that the call whose answer is owed has made no batch, as far as anybody can tell.

    The next attempt is made of the same file, but for a copy, whose file is the original's, and where no file is known.
    """
    if restored:
        return BatchJobStatus()
    batch = batch_of(status)
    if batch.submission is not None and batch.submission.since is not None:
        return BatchJobStatus(batches=[Batch(create_calls=batch.create_calls)])
    return without_intent(status, made_none=False)


def with_remote(status: BatchJobStatus, remote: RemoteBatch, now: datetime) -> BatchJobStatus:
    """Record what the provider tells of the batch; what it leaves out stays as it was."""
    old = batch_of(status)
    counts = _counts(remote, old.request_counts)
    ended = remote.status in lifecycle.ENDED
    told = {
        "submission_time": old.submission_time or remote.created_at or now,
        "id": remote.id,
        "input_file_id": old.input_file_id or remote.input_file_id,
        "output_file_id": remote.output_file_id,
        "error_file_id": remote.error_file_id,
        "status": remote.status,
        "request_counts": counts,
        "created_at": remote.created_at,
        "in_progress_at": remote.in_progress_at,
        "finalizing_at": remote.finalizing_at,
        "completed_at": (remote.ended_at or now) if ended else None,
        "expires_at": remote.expires_at,
    }
    known = {key: value for key, value in told.items() if value is not None}
    found = with_batch(status, old.model_copy(update={**known, "submission": None}))
    return found.model_copy(update={"request_counts": counts}) if counts is not None and counts.total > 0 else found


def without_refused_batch(status: BatchJobStatus) -> BatchJobStatus:
    """Record that the batch came to nothing for a reason that passes: the same file gets another one, by the same number."""
    old = status.batches[0]
    refused = last_refused([*old.refused_ids, *([old.id] if old.id else [])])
    file = bare(
        old,
        create_calls=max(0, (old.create_calls or 0) - 1) or None,
        input_file_id=old.input_file_id,
        uploaded_time=old.uploaded_time,
        refused_ids=refused,
    )
    counts = status.request_counts
    none = counts and RequestCounts(total=counts.total, completed=0, failed=0)
    return with_batch(status, file).model_copy(update={"request_counts": none})


def with_other(status: BatchJobStatus, remote: RemoteBatch, now: datetime) -> BatchJobStatus:
    """Record that another batch, made of the same file, takes the place of the one in status."""
    old = batch_of(status)
    file = bare(
        old,
        duplicates_checked_time=old.duplicates_checked_time,
        input_file_id=old.input_file_id,
        uploaded_time=old.uploaded_time,
        refused_ids=old.refused_ids,
    )
    return with_remote(with_batch(status, file), remote, now)


def recorded(status: BatchJobStatus, now: datetime) -> BatchJobStatus:
    """Record when a batch's id came to be known, by our clock; of a job with one batch, its condition tells."""
    batch = batch_of(status)
    return _told(status, recorded_time=batch.recorded_time or now) if batch.is_one_of_several else status


def checked(status: BatchJobStatus, moment: datetime | None) -> BatchJobStatus:
    """Record a search for other batches of the same submission; None: it is to be made again."""
    return _told(status, duplicates_checked_time=moment)


def _counts(remote: RemoteBatch, old: RequestCounts | None) -> RequestCounts | None:
    told = remote.counts
    if told.total is None and told.completed is None and told.failed is None:
        return old
    return RequestCounts(total=told.total or 0, completed=told.completed or 0, failed=told.failed or 0)


def stored(report: CollectReport, now: datetime) -> dict[str, Any]:
    """Give what a status says of stored results, wherever they are; nothing of what there isn't."""
    return {
        "bytes": report.bytes,
        "requests": report.requests,
        "sha256": report.sha256,
        "errors_bytes": report.errors_bytes or None,
        "errors_sha256": (report.errors_sha256 or None) if report.errors_bytes else None,
        "foreign_bytes": report.foreign_bytes or None,
        "foreign_sha256": report.foreign_sha256 if report.foreign_bytes else None,
        "stored_time": now,
    }


def with_results(status: BatchJobStatus, report: CollectReport, where: Destination, *, now: datetime) -> BatchJobStatus:
    """Record that the results are durably stored; the lines' own counts replace the provider's."""
    output = OutputStatus(
        location=where.location,
        # Requests that failed and have no line, of a part whose file never was at the provider, make no file.
        errors_location=where.errors_location if report.errors_bytes else None,
        missing_requests=report.missing or None,
        foreign_requests=report.foreign_requests or None,
        foreign_location=where.foreign_location if report.foreign_bytes else None,
        **stored(report, now),
    )
    waited = {"late_since": None, "looked_at": None}
    batches = [batch.model_copy(update=waited) for batch in status.batches]
    return status.model_copy(
        update={
            "batches": batches,
            "output": output,
            "request_counts": report.request_counts or status.request_counts,
            "usage": report.usage,
            "failures": report.failures,
        }
    )


def without_files(status: BatchJobStatus, file_ids: tuple[str, ...]) -> BatchJobStatus:
    """Record that remote files are gone."""
    if not status.batches:
        return status
    batch = status.batches[0]
    gone = {
        name: None for name in ("input_file_id", "output_file_id", "error_file_id") if getattr(batch, name) in file_ids
    }
    left = batch.model_copy(update=gone)
    if not (left.id or left.input_file_id or left.output_file_id or left.error_file_id or left.submission):
        return status.model_copy(update={"batches": status.batches[1:]})
    return with_batch(status, left)


def progress(status: BatchJobStatus) -> str | None:
    """Say how many requests are answered, in percent; never 100% before all are."""
    counts = status.request_counts
    if counts is None or counts.total <= 0:
        return None
    return f"{min(100, 100 * (counts.completed + counts.failed) // counts.total)}%"


def told_errors(remote: RemoteBatch) -> str:
    """Put the provider's reasons for refusing a batch into one line, the first ten of them."""
    told = []
    hidden = False
    for error in remote.errors[:10]:
        code, param, said = words.code_of(error.code), words.param_of(error.param), words.sentence(error.message)
        hidden = hidden or (said is None and bool(error.message))
        place = ", ".join([*([f"line {error.line}"] if error.line else []), *([param] if param else [])])
        meaning = said or words.explanation(code) or words.NOT_SHOWN
        told.append(f"{code}{f' ({place})' if place else ''}: {meaning}")
    more = len(remote.errors) - len(told)
    rest = [f"and {more} more"] if more > 0 else []
    return "; ".join([*told, *rest, *([FULL_TEXT] if hidden else [])])
