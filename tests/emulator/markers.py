"""What a line asks of the emulator, by a marker anywhere in its custom_id, e.g. `order-17--status-429`."""

from __future__ import annotations

import dataclasses
import re

_MARKER = re.compile(
    r"--(?:status-(?P<status>\d+)|large-(?P<large>\d+)"
    r"|(?P<word>content-filter|filtered-completion|missing|duplicate|malformed|expired|cancelled|echo"
    r"|stranger|trimmed|twice))(?:-times-(?P<times>\d+))?"
)


@dataclasses.dataclass(frozen=True)
class Marker:
    status: int | None = None
    large_bytes: int | None = None
    word: str | None = None
    times: int | None = None  # so often, in one batch after the other; then it succeeds

    @property
    def fails(self) -> bool:
        """Counted as failed. A status of 0 is not: services have reported such lines as completed."""
        return self.word in ("content-filter", "expired", "cancelled", "echo") or self.status not in (None, 0, 200)


PLAIN = Marker()


def of(custom_id: object) -> Marker:
    if not isinstance(custom_id, str) or (found := _MARKER.search(custom_id)) is None:
        return PLAIN
    status, large, word, times = found.group("status", "large", "word", "times")
    return Marker(
        status=None if status is None else int(status),
        large_bytes=None if large is None else int(large),
        word=word,
        times=None if times is None else int(times),
    )
