"""Small inputs that were read a while ago."""

from collections import OrderedDict
from dataclasses import dataclass, field

LARGEST_BYTES = 16 * 1024
MOST_BYTES = 4 * 1024 * 1024


@dataclass
class Inputs:
    """Remembers what was uploaded, for the order of the results: what is small need not be read again for that.

    Whoever uses it holds it against the digest in status, as anything else that is said to be the input.
    """

    _held: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    """By uid of the BatchJob, the oldest first."""
    _bytes: int = 0

    def keep(self, uid: str, content: bytes) -> None:
        """Remember a job's input, if it is small; what is oldest is forgotten for it."""
        self.take(uid)
        if len(content) > LARGEST_BYTES:
            return
        self._held[uid] = content
        self._bytes += len(content)
        while self._bytes > MOST_BYTES:
            self.take(next(iter(self._held)))

    def take(self, uid: str) -> bytes | None:
        """Give a job's input, and forget it: who comes again is to read it."""
        found = self._held.pop(uid, None)
        self._bytes -= len(found or b"")
        return found
