"""How long a gateway asks to be left in peace, for each operation apart: who may not create may still poll and cancel."""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from llmbatch.api.base import timestamp
from llmbatch.api.reasons import Reason
from llmbatch.provider.pure.refusal import LONGEST_WAIT_SECONDS
from llmbatch.transfer.pure.report import Problem

TOLD_SECONDS = 60.0
"""A longer wait is told with the moment of its end."""


class Operation(StrEnum):
    """What a gateway limits, in words for a message."""

    UPLOAD = "no file be uploaded"
    CREATE = "no batch be created"
    READ = "no batch be asked for"
    RESULTS = "no results be fetched"
    CLEANUP = "nothing be cancelled or deleted"


LONGEST = {
    Operation.UPLOAD: LONGEST_WAIT_SECONDS,
    Operation.CREATE: LONGEST_WAIT_SECONDS,
    # Nobody's batch should run on, and nobody's results be out of reach, for a header that was meant for something else.
    Operation.READ: 300.0,
    Operation.RESULTS: 300.0,
    # A deletion has 300 s in all by default.
    Operation.CLEANUP: 60.0,
}
"""Seconds for which an operation is held back at most, whatever is asked."""


@dataclass
class Pace:
    """Remembers what a gateway has asked for; for everybody who uses it."""

    name: str
    _until: dict[Operation, float] = field(default_factory=dict)
    """By the monotonic clock."""

    def slow_down(self, operation: Operation, seconds: float | None) -> float | None:
        """Honour a Retry-After; answers for how long it holds."""
        if seconds is None:
            return None
        bounded = min(max(0.0, seconds), LONGEST[operation])
        self._until[operation] = max(self._until.get(operation, 0.0), time.monotonic() + bounded)
        return bounded

    def held(self, operation: Operation, now: datetime) -> Problem | None:
        """Say that an operation is not to be tried yet."""
        left = self._until.get(operation, 0.0) - time.monotonic()
        if left <= 0:
            return None
        message = f"BatchGateway {self.name} asked (Retry-After) that {operation} for a while; everything else goes on."
        return Problem(reason=Reason.RATE_LIMITED, message=with_moment(message, left, now), retry_after_seconds=left)


def with_moment(message: str, seconds: float | None, now: datetime) -> str:
    """Add when it is tried again, to the minute, if that is not soon."""
    if seconds is None or seconds < TOLD_SECONDS:
        return message
    moment = (now + timedelta(seconds=seconds + 59)).replace(second=0, microsecond=0)
    return f"{message.rstrip('.')}. It is tried again at {timestamp(moment)}."
