"""What a pass has found that may wait to be written: other words for the same, while all goes well."""

import time
from dataclasses import dataclass, field

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.job.pure import steady

WORDS_SECONDS = 5.0
"""For so long other words wait for something else to be written with; most often that comes first."""


@dataclass
class Unhurried:
    """Holds back status writes that say nothing new."""

    _since: dict[str, float] = field(default_factory=dict)
    """By uid: since when words wait, by the monotonic clock."""

    def wait(self, uid: str, before: BatchJobStatus, after: BatchJobStatus) -> float:
        """Say for how many seconds a write may wait; 0: it is to be made now."""
        if not steady.in_other_words(before, after):
            return 0.0
        now = time.monotonic()
        return max(0.0, self._since.setdefault(uid, now) + WORDS_SECONDS - now)

    def written(self, uid: str) -> None:
        """Note that nothing waits any more."""
        self._since.pop(uid, None)
