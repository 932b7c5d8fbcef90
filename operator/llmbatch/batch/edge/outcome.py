"""What an effect came to."""

from dataclasses import dataclass, field
from typing import Any

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure.decision import Finish
from llmbatch.job.pure.retained import Note
from llmbatch.transfer.pure.report import Problem

Json = dict[str, Any]

__all__ = ["Note", "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """Facts for the status, and what was in the way."""

    status: BatchJobStatus
    problem: Problem | None = None
    after: float | None = None
    """Seconds until the next look, when the effect knows better than the decision."""
    finish: Finish | None = None
    """The verdict, when the job has ended."""
    notes: tuple[Note, ...] = field(default=())
    """Events beyond those that conditions tell of."""
    moved: bool = False
    """What the decision was about is past (another batch has taken its place, its results are stored): how the pass ends is
    decided anew."""
    duplicates: int = 0
    """Batches to be counted as duplicates once the status is written."""
    gone: bool = False
    """The object has been let go; there is no status to write."""
    stale: bool = False
    """The object has changed since it was read: look again."""
    version: str | None = None
    """The object's resourceVersion after what the effect itself has written."""
    raw: Json | None = field(default=None, repr=False)
    """The object after that, if nothing but our own writes has changed it: what is in it need not be written again."""

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing but its status: nothing in the way, to be told or waited for, and the object is as it was."""
        changed = self.moved or self.stale or self.gone
        return not changed and self.problem is None and self.after is None and not self.notes and not self.duplicates
