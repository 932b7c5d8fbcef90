"""Since when this process has known what is waited for, by its own eyes and its own clock."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.edge.seen import Json
from llmbatch.batch.pure.stage import stage_of


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


@dataclass
class Known:
    """Remembers for how long this process has known of what jobs and their batches wait for; in seconds, 0 when there is none."""

    _owed: FirstSeen = field(default_factory=FirstSeen)
    _over: FirstSeen = field(default_factory=FirstSeen)
    _deleted: FirstSeen = field(default_factory=FirstSeen)
    _looked: FirstSeen = field(default_factory=FirstSeen)

    def owed(self, memory: str, batch: Batch) -> float:
        """Say how long it has known of the intent whose answer is owed."""
        return self._owed.seconds(memory, batch.submission)

    def over(self, memory: str, stored: BatchJobStatus) -> float:
        """Say how long it has known of the stage, once there is a batch."""
        return self._over.seconds(memory, stage_of(stored) if stored.batches else None)

    def looked(self, memory: str, batch: Batch) -> float:
        """Say how long it has known of the last look at late results."""
        return self._looked.seconds(memory, batch.looked_at)

    def deleted(self, metadata: Json) -> float:
        """Say how long it has known that an object is deleted."""
        return self._deleted.seconds(metadata["uid"], metadata.get("deletionTimestamp"))

    def forget(self, uid: str, memories: Iterable[str]) -> None:
        """Forget a job, and its batches."""
        self._deleted.forget(uid)
        for memory in memories:
            for first_seen in (self._owed, self._over, self._looked):
                first_seen.forget(memory)
