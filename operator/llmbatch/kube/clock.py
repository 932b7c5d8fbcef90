"""The API server's clock: the one by which everything is timed that is stored, or compared with what is stored.

Timestamps in objects come from the API server and from whichever operator was at work then. Each of them may run on a
machine whose clock is minutes off; only the API server is the same for all.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

NOTHING = timedelta(0)
JITTER_SECONDS = 2.0
"""Offsets are told no closer than this: the Date header has whole seconds, and a call takes its time."""


class Clock:
    """Learns how far the API server's clock is off ours, from the Date header of its answers."""

    def __init__(self) -> None:
        """Begin with our own clock."""
        self._offset = NOTHING

    def now(self) -> datetime:
        """Give the moment by the API server's clock."""
        return datetime.now(UTC) + self._offset

    def learn(self, date: str | None, seconds: float) -> None:
        """Learn from an answer that has just come.

        Args:
            date: Its Date header; without one there is nothing to learn.
            seconds: How long the call took: the header tells of a moment within that time.
        """
        try:
            told = parsedate_to_datetime(date or "").replace(tzinfo=UTC)
        except ValueError:
            return
        # The header leaves out the fraction of its second: half of one on average.
        offset = told + timedelta(seconds=0.5) - (datetime.now(UTC) - timedelta(seconds=seconds / 2))
        margin = timedelta(seconds=JITTER_SECONDS + seconds / 2)
        if abs(offset - self._offset) >= margin:
            self._offset = offset if abs(offset) >= margin else NOTHING


def boot_seconds() -> float:
    """Give the seconds since this machine was started, those among them in which it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Mark:
    """A moment by both clocks of a Stopwatch."""

    boot: float
    wall: float


class Stopwatch:
    """Measures how long ago something was, also when this machine stood still meanwhile.

    The monotonic clock doesn't count a suspension, and none of a virtual machine's own clocks counts a pause by its host;
    the wall clock is put right after one, sooner or later. So the longest time that any of them tells is believed.
    """

    def __init__(self, boot: Callable[[], float] = boot_seconds, wall: Callable[[], float] = time.time) -> None:
        """Use clocks; a test moves its own."""
        self._boot, self._wall = boot, wall

    def mark(self) -> Mark:
        """Note this moment."""
        return Mark(self._boot(), self._wall())

    def since(self, mark: Mark) -> float:
        """Give the seconds since a moment."""
        return max(self._boot() - mark.boot, self._wall() - mark.wall)
