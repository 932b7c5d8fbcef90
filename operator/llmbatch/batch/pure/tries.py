"""Uploads that fail: after what delay the next is due, and when a person should hear of it."""

from datetime import datetime

from llmbatch.api.batch_status import UploadTries
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.facts import batch_of
from llmbatch.common import backoff
from llmbatch.transfer.pure.report import Problem

FIRST = 0.2
"""Of recheck_seconds: 3 s with the default of 15."""
LONGEST = 1440
"""Times recheck_seconds: 6 h."""
MOST_LISTED = 5
"""So many uploads without an answer, of which the list of files shows none, are no passing trouble."""
MOST_UNLISTED = 2
"""So many where no list can tell: each may have left a whole copy."""


def failed(status: BatchJobStatus, generation: int, now: datetime, *, unanswered: bool) -> UploadTries:
    """Count an upload that has failed."""
    old = batch_of(status).upload_tries
    if old is None or old.generation != generation:
        old = UploadTries(failures=0, last_time=now, generation=generation)
    return old.model_copy(
        update={"failures": old.failures + 1, "unanswered": old.unanswered + unanswered, "last_time": now}
    )


def is_blind(tries: UploadTries, *, listed: bool) -> bool:
    """Tell whether another upload might only leave another copy."""
    return not listed and tries.unanswered >= MOST_UNLISTED


def delay(tries: UploadTries, recheck_seconds: float, spread: float, *, listed: bool) -> float:
    """Give the seconds from the last failure to the next try: growing without a low limit, since each may leave a copy."""
    longest = LONGEST * recheck_seconds
    if is_blind(tries, listed=listed):
        return longest
    return backoff.next_delay(tries.failures, spread, first=FIRST * recheck_seconds, longest=longest)


def told(problem: Problem, tries: UploadTries, *, unanswered: bool, listed: bool) -> Problem:
    """Say what keeps the input from being uploaded; to a person, once waiting alone doesn't seem to help."""
    if not unanswered or tries.unanswered < (MOST_LISTED if listed else MOST_UNLISTED):
        return problem
    where = (
        "the gateway's list of files does not show it"
        if listed
        else "this gateway has no list of files that tells to its end whether it is there, so that each may have left a copy"
    )
    message = (
        f"The input was sent {tries.unanswered} times without a usable answer, and {where}. Last: {problem.message}. Raise"
        " the gateway's time limits for uploads (Kong: read_timeout and write_timeout of the Service) or make the input"
        " smaller. It is sent again after hours only, or at once when the BatchJob or the BatchGateway is changed."
    )
    return problem.model_copy(update={"reason": Reason.UPLOAD_UNANSWERED, "message": message})
