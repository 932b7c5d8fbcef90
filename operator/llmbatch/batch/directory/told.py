"""What is known of a batch under way, and what a list adds to it, takes back, or leaves as it was."""

from dataclasses import dataclass
from typing import Self

from llmbatch.api.batch_status import Batch
from llmbatch.provider.pure.wire import RemoteBatch

_ORDER = {"validating": 0, "in_progress": 1, "finalizing": 2, "cancelling": 3}
_ENDED = 4


@dataclass(frozen=True)
class Told:
    """As much of a batch's state as moves its job on."""

    status: str
    answered: int | None = None
    """Requests, well or not; None: not told."""
    failed: int | None = None
    files: tuple[str | None, str | None] = (None, None)
    """With results, and with errors."""
    ended: bool = False

    @classmethod
    def by(cls, remote: RemoteBatch) -> Self:
        """Take it from what the provider has answered."""
        counts = remote.counts
        done, failed = counts.completed, counts.failed
        answered = None if done is None and failed is None else (done or 0) + (failed or 0)
        files = (remote.output_file_id, remote.error_file_id)
        return cls(remote.status, answered, failed, files, remote.is_terminal)

    @classmethod
    def stored(cls, batch: Batch) -> Self:
        """Take it from what is stored of a batch under way."""
        counts, files = batch.request_counts, (batch.output_file_id, batch.error_file_id)
        if counts is None:
            return cls(batch.status or "validating", files=files)
        return cls(batch.status or "validating", counts.completed + counts.failed, counts.failed, files)

    def is_behind(self, known: Self) -> bool:
        """Tell whether this is older than what is known: batches don't go back."""
        fewer = self.answered is not None and known.answered is not None and self.answered < known.answered
        return self._rank < known._rank or (self._rank == known._rank and fewer)

    def is_news(self, known: Self) -> bool:
        """Tell whether this says more than what is known."""
        mine = (self.status, self.answered, self.failed, *self.files)
        theirs = (known.status, known.answered, known.failed, *known.files)
        return any(said not in (None, held) for said, held in zip(mine, theirs, strict=True))

    @property
    def _rank(self) -> int:
        # A status that nobody knows stands for one of a batch that runs.
        return _ENDED if self.ended else _ORDER.get(self.status, 1)
