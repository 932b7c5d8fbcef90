"""Whether two messages say the same, but for what changes each time that a gateway says it.

Numbers of requests, moments, counters and seconds to wait are news to nobody. A message that differs in nothing else is
not written again, told again, or looked at again.
"""

import re

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.conditions import Condition
from llmbatch.api.reasons import Reason

_CALL = re.compile(r"\b(?:create|get|cancel|list|delete|upload|download) (?:batch|batches|files?): \S+ ")
"""Where the words about an answer begin: what stands before are names of ours, which count as they are."""
_CHANGING = re.compile(
    r"""
    [^\s"'`(),;]*[0-9][^\s"'`(),;]*     # whatever has a digit: numbers, addresses, moments, most ids
    | \b[0-9a-f]{8,}\b | \b[0-9A-F]{8,}\b
    | [A-Za-z_+/=-]*[a-z][A-Z]+[a-z]+[A-Z][A-Za-z_+/=-]{8,}  # an id that has no digit by chance
    | \b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b
    """,
    re.VERBOSE,
)
_UNIT = re.compile(r"#[ -]?(?:milliseconds?|seconds?|secs?|minutes?|mins?|hours?|days?|ms|m|s|h|d)\b", re.IGNORECASE)

GOES_WELL = frozenset({
    Reason.CLEANING_UP,
    Reason.COLLECTING,
    Reason.SUBMITTING,
    Reason.UPLOADING,
    Reason.VALIDATING,
    Reason.IN_PROGRESS,
    Reason.FINALIZING,
})  # fmt: skip
"""Reasons whose words tell where a job is on its way, and of nothing that is in the way."""


def same(one: str, other: str) -> bool:
    """Tell whether two messages differ at most in what changes each time."""
    return one == other or _kept(one) == _kept(other)


def message_of(old: Condition | None, status: str, reason: str, message: str) -> str:
    """Give the message of a condition: the old one while nothing but what changes each time is new in it."""
    if old is None or (old.status, old.reason) != (status, reason):
        return message
    # Between two calls that are refused the job waits as it was asked to, which is said in other words.
    return old.message if reason == Reason.RATE_LIMITED or same(old.message, message) else message


def in_other_words(before: BatchJobStatus, after: BatchJobStatus) -> bool:
    """Tell whether two statuses differ in nothing but the words for where a job, or one of its batches, is on its way."""
    return _wordless(before) == _wordless(after)


def _wordless(status: BatchJobStatus) -> BatchJobStatus:
    conditions = [
        item.model_copy(update={"message": ""}) if item.reason in GOES_WELL else item for item in status.conditions
    ]
    batches = [
        batch.model_copy(update={"state": batch.state.model_copy(update={"message": ""})})
        if batch.state is not None and batch.state.reason in GOES_WELL
        else batch
        for batch in status.batches
    ]
    return status.model_copy(update={"conditions": conditions, "batches": batches})


def _kept(message: str) -> str:
    call = _CALL.search(message)
    if call is None:
        return message
    said = _UNIT.sub("#", _CHANGING.sub("#", message[call.end() :]))
    return message[: call.end()] + re.sub(r"#(?:[\s,.:/-]*#)+", "#", said)
