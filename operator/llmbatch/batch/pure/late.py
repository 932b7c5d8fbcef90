"""Results that an ended batch still owes: how long they are waited for, how often looked at, and what is said meanwhile.

Providers name the files of a batch some time after it has ended, fill them later still, and tell counts that are of no
use until then. So what isn't all there is looked at again, with growing delays, before anybody judges by it; what can't be
had then needs a person, and is looked at ever more rarely. All times are in status, so that a restart begins nothing anew.
"""

from datetime import datetime

from llmbatch.api import ACCEPT_MISSING_ANNOTATION
from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.decision import Stalled, Wait
from llmbatch.batch.pure.facts import with_batch
from llmbatch.batch.pure.observation import Limits, Observation
from llmbatch.batch.pure.stage import Stage
from llmbatch.common.text import cut
from llmbatch.provider.pure.ids import is_safe_id
from llmbatch.transfer.pure.report import Problem

REASONS = frozenset({Reason.RESULTS_PENDING, Reason.RESULTS_UNREADABLE})
"""What is in the way of results at the provider, and may pass by itself."""
LONGEST_SECONDS = 86400.0

MOST_SAID = 512
"""Characters of what is said of one of several batches: there may be a hundred of them in a status."""
LEAST_SAID = 80
"""Of them, for what is the matter."""

_FIRST_SECONDS = 1.0
"""Moments in status are whole seconds: nothing shorter can be told from them."""


def noted(status: BatchJobStatus, now: datetime) -> BatchJobStatus:
    """Record a look that did not find all results."""
    batch = status.batches[0]
    seen = batch.model_copy(update={"late_since": batch.late_since or now, "looked_at": now})
    return with_batch(status, seen)


def with_news(status: BatchJobStatus) -> BatchJobStatus:
    """Record that there is something new to look at, so that no delay is waited out."""
    return with_batch(status, status.batches[0].model_copy(update={"looked_at": None}))


def due_in(seen: Observation) -> float:
    """Give the seconds until the results are to be looked at again."""
    batch = seen.batch
    if batch.late_since is None or batch.looked_at is None or seen.accepts_missing:
        return 0.0
    gone_by = max((seen.now - batch.looked_at).total_seconds(), seen.looked_seconds)
    return max(0.0, _delay(batch, seen.limits) - gone_by)


def is_over(seen: Observation) -> bool:
    """Tell whether results have been waited for long enough: a look now is followed by a verdict."""
    since = seen.batch.late_since
    return seen.accepts_missing or (
        since is not None and (seen.now - since).total_seconds() >= seen.limits.late_seconds
    )


def owed(batch: Batch) -> str:
    """Say which file an ended batch should name and doesn't, so far that a download is of no use; "" for none."""
    if batch.output_file_id is None and batch.error_file_id is None:
        return "The batch has ended, but names no file with results yet."
    if batch.output_file_id is None and batch.request_counts is not None and batch.request_counts.completed > 0:
        return "The provider says that requests succeeded, but names no file with their results yet."
    return ""


def names_more(batch: Batch) -> bool:
    """Tell whether a batch, of whose files nothing was deleted yet, will name one with results that it must have."""
    has_results = batch.status == "completed" or answered(batch) > 0
    return batch.id is not None and batch.input_file_id is not None and has_results and owed(batch) != ""


def is_misnamed(batch: Batch) -> bool:
    """Tell whether results are named by an id that no path can hold: the gateway may name them otherwise by now."""
    return any(not is_safe_id(named) for named in (batch.output_file_id, batch.error_file_id) if named)


def answered(batch: Batch) -> int:
    """Give the number of requests that the provider says it has answered, well or not."""
    counts = batch.request_counts
    return counts.completed + counts.failed if counts is not None else 0


def was_refused(batch: Batch) -> bool:
    """Tell whether the provider failed a batch as a whole, so that there is nothing to fetch."""
    return batch.status == "failed" and not batch.output_file_id and not batch.error_file_id


def left_out(batch: Batch) -> int | None:
    """Give the lines that are all there will be, though they are fewer than the requests; None: one for each request.

    Azure leaves out of a cancelled batch's files what had not been run; nothing but its counts tells that.
    """
    if batch.status != "cancelled" or batch.request_counts is None:
        return None
    if batch.never_run is not None:
        # One of several, whose counts have been replaced by those of its lines.
        return batch.request_counts.total - batch.never_run
    if batch.request_counts.total == 0 and (batch.output_file_id or batch.error_file_id):
        # There is a file, so there were requests: counts that say nothing.
        return None
    return answered(batch)


def before(seen: Observation, wait: float) -> Problem:
    """Say between two looks what the last one met."""
    told = seen.status.condition("ResultsStored")
    reasons = {str(reason): reason for reason in REASONS}
    if told is None or told.reason not in reasons:
        message = "The batch has ended, but not all of its results were there yet; they are looked at again."
        return Problem(reason=Reason.RESULTS_PENDING, message=message, retry_after_seconds=wait)
    return Problem(reason=reasons[told.reason], message=told.message, retry_after_seconds=wait)


def concerns(problem: Problem, stage: Stage) -> bool:
    """Tell whether a problem is one of results that are late."""
    return stage is Stage.RESULTS and problem.reason in REASONS


def ending(problem: Problem, status: BatchJobStatus, limits: Limits) -> Wait | Stalled:
    """Say how a pass ends that did not find all results."""
    batch = status.batches[0]
    after = problem.retry_after_seconds
    if after is None:
        after = _delay(batch, limits)
    after = max(0.05, after)
    if problem.reason is Reason.RESULTS_PENDING or _waited(batch) < limits.late_seconds:
        return Wait(problem.reason, problem.message, after=after, aspect="ResultsStored")
    return Stalled(problem.reason, with_remedy(problem.message, batch), after=after, aspect="ResultsStored")


def with_remedy(message: str, batch: Batch) -> str:
    """Say of results that can't be read what a person may do about them."""
    if ACCEPT_MISSING_ANNOTATION in message:
        return message
    # Of one of several batches little is said; what is to be done must not be what is cut off.
    remedy = _remedy(batch)
    said = cut(message, max(LEAST_SAID, MOST_SAID - len(remedy) - 2)) if batch.is_one_of_several else message
    return f"{said}. {remedy}"


def _remedy(batch: Batch) -> str:
    # All results of a job may be stored together, so that what was said of one batch must go on being said.
    among = ", added to other ids with a comma," if batch.is_one_of_several else ","
    return (
        "It is looked at again, ever more rarely. Bring the file back, or mend what stands in front of it; or set the"
        f" annotation {ACCEPT_MISSING_ANNOTATION}={batch.id} on this BatchJob{among} and what can be read is stored, the"
        " rest counted as missing; or delete the BatchJob and apply it again, which pays for every request anew."
    )


def _waited(batch: Batch) -> float:
    """Give how long the results had been waited for at the last look."""
    if batch.late_since is None or batch.looked_at is None:
        return 0.0
    return max(0.0, (batch.looked_at - batch.late_since).total_seconds())


def _delay(batch: Batch, limits: Limits) -> float:
    """Give the time between the last look and the next: as long again as was waited, so that the delays double."""
    waited = _waited(batch)
    first = max(_FIRST_SECONDS, limits.recheck_seconds / 3)
    delay = min(max(first, waited), LONGEST_SECONDS)
    left = limits.late_seconds - waited
    return max(_FIRST_SECONDS, min(delay, left)) if left > 0 else delay
