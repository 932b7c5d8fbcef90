"""Uploads whose outcome is not known: their file may show at the provider after it was looked for.

A pod or an operator that was killed has perhaps sent its whole request, and a proxy delivers it a little later. So the
deletion of a job that may have such an upload waits for the settle period before it looks for strays for the last time.
"""

import time
from dataclasses import dataclass, field


@dataclass
class Uploads:
    """Remembers, in this process alone; of what an earlier one did, nothing is known."""

    settle_seconds: float
    _own: set[str] = field(default_factory=set)
    """uids of jobs of which this process knows every upload."""
    _begun: set[str] = field(default_factory=set)
    """uids of jobs of which it has begun an upload."""
    _open: dict[str, set[str]] = field(default_factory=dict)
    """By uid: the batches (Observation.memory) with an upload under way."""
    _processed: dict[str, str] = field(default_factory=dict)
    """By batch (Observation.memory): the file that the provider was done with at once."""
    _doubtful: dict[str, set[str]] = field(default_factory=dict)
    """By uid: the batches whose last upload has ended without an answer, as was noted."""
    _until: dict[str, float] = field(default_factory=dict)
    """By uid: when the last doubtful upload must have shown, by the monotonic clock."""

    def first(self, uid: str) -> None:
        """Note that nothing was uploaded for a job before."""
        self._own.add(uid)

    def begun(self, uid: str, batch: str) -> None:
        """Note that the upload for a batch begins."""
        self._open.setdefault(uid, set()).add(batch)
        self._doubtful.get(uid, set()).discard(batch)
        self._begun.add(uid)

    def may_be_there(self, uid: str) -> bool:
        """Tell whether an earlier upload may have left the file at the provider."""
        return uid in self._begun or uid not in self._own

    def ended(self, uid: str, batch: str, *, known: bool) -> None:
        """Note that the upload for a batch has ended; with an answer, or without one.

        Of a deleted job the same end is seen at each look: its file is waited for from the first one on.
        """
        self._open.get(uid, set()).discard(batch)
        doubtful = self._doubtful.setdefault(uid, set())
        if not known and batch not in doubtful:
            doubtful.add(batch)
            self._until[uid] = time.monotonic() + self.settle_seconds

    def answered(self, batch: str, file_id: str | None) -> None:
        """Note the file of an upload, if the provider has answered that it is done with it."""
        if file_id is not None:
            self._processed[batch] = file_id

    def was_processed(self, batch: str, file_id: str | None) -> bool:
        """Tell whether it has, without having it asked for later."""
        return file_id is not None and self._processed.get(batch) == file_id

    def is_processed(self, batch: str, file_id: str) -> bool:
        """Tell whether it has, once: whoever asks again has met something since."""
        return self._processed.pop(batch, None) == file_id

    def doubt(self, uid: str, *, uploaded: bool) -> float:
        """Give the seconds until no file of an upload without an answer can show any more.

        Args:
            uid: The job's.
            uploaded: Its file's id is known, so that an earlier process has left no upload unanswered but long ago.
        """
        if self._open.pop(uid, None) or (not uploaded and uid not in self._own):
            self._until[uid] = time.monotonic() + self.settle_seconds
            self._own.add(uid)
        return max(0.0, self._until.get(uid, 0.0) - time.monotonic())

    def is_unanswered(self, uid: str) -> bool:
        """Tell whether this process has begun an upload of a job whose answer it has not had."""
        return bool(self._open.get(uid)) or uid in self._until

    def lost(self, uid: str) -> bool:
        """Tell whether a job may have an upload without an answer, as far as this process knows."""
        return uid in self._until or uid not in self._own

    def forget(self, uid: str) -> None:
        """Forget a job that is gone or has ended."""
        self._own.discard(uid)
        self._begun.discard(uid)
        for batch in [batch for batch in self._processed if batch.split("/", 1)[0] == uid]:
            del self._processed[batch]
        self._open.pop(uid, None)
        self._doubtful.pop(uid, None)
        self._until.pop(uid, None)
