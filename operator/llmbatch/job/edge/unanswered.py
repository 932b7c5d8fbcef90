"""Answers that are owed: for how long, and those of which the status can't tell any more."""

import time
from dataclasses import dataclass, field
from datetime import datetime

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.edge.seen import Json
from llmbatch.batch.pure import facts
from llmbatch.batch.pure.stage import Stage, stage_of


@dataclass
class FirstSeen:
    """Remembers when an intent, or anything else that is waited for, was first seen, by the monotonic clock.

    An intent tells its own age by the clock of the API server that was asked then. Another one may be minutes ahead or
    behind, and a restored intent may lie in the future: what this process has seen with its own eyes counts.
    """

    _known: dict[str, tuple[object, float]] = field(default_factory=dict)

    def seconds(self, uid: str, seen: object | None) -> float:
        """Give the seconds since a job's intent (or the like) was first seen; 0 when there is none."""
        if seen is None:
            self.forget(uid)
            return 0.0
        known = self._known.get(uid)
        if known is None or known[0] != seen:
            known = self._known[uid] = (seen, time.monotonic())
        return time.monotonic() - known[1]

    def forget(self, uid: str) -> None:
        """Forget a job."""
        self._known.pop(uid, None)


def is_lost(stored: BatchJobStatus, *, finalizer: bool) -> bool:
    """Tell whether a job has lost its status, and perhaps a batch's id with it.

    The finalizer is put on after the first status, in which startTime is; so the one without the other can't be.
    """
    return finalizer and stored.start_time is None and stage_of(stored) is Stage.INPUT


def with_lost_answer(raw: Json, stored: BatchJobStatus, now: datetime) -> BatchJobStatus:
    """Give the status of a job that may have been submitted at any time since it was made."""
    made = raw["metadata"].get("creationTimestamp")
    return facts.with_lost_answer(stored, datetime.fromisoformat(made) if made else now, now)
