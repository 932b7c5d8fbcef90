"""The work queue: client-go's semantics on asyncio; namespaces take turns."""

import asyncio
import heapq
import random
import time
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from llmbatch.common import backoff
from llmbatch.common.turns import Turns

BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Seconds, of the buckets in which durations are told."""


class Key(NamedTuple):
    """An object to look at."""

    kind: str
    namespace: str
    name: str


class Durations:
    """How many durations were within each of BOUNDS, and how many beyond all; the seconds of all of them together."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        """Begin with none."""
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        """Add one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


@dataclass(slots=True)
class Traffic:
    """What client-go counts of a queue. Plain numbers, which cost next to nothing: they are read when Prometheus asks."""

    adds: int = 0
    """A key that is in line already is not added."""
    retries: int = 0
    """Looks that were asked for after a delay, be it planned or after a failure."""
    waited: Durations = field(default_factory=Durations)
    worked: Durations = field(default_factory=Durations)

    @property
    def depth(self) -> int:
        """Keys that were added and not taken: due, or to be looked at once more after the look that is under way."""
        return max(0, self.adds - sum(self.waited.counts))


class WorkQueue:
    """Keys to look at: each at most once in line, never worked on twice at the same time.

    Each namespace in turn has one looked at: whoever makes thousands waits for himself alone. For one event loop.
    """

    def __init__(self, kinds: Iterable[str] = ()) -> None:
        """Begin empty; of these kinds nothing is told as 0."""
        self.traffic: defaultdict[str, Traffic] = defaultdict(Traffic, {kind: Traffic() for kind in kinds})
        """By kind of the keys."""
        self._line: Turns[Key, float] = Turns()  # value: since when it is due
        self._again: dict[Key, float] = {}  # due once more, and being worked on
        self._processing: set[Key] = set()
        self._later: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}  # the earliest due time of each key in _later; others there are void
        self._failures: dict[Key, int] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def depth(self) -> int:
        """Keys that are due and wait."""
        return len(self._line)

    def planned(self, key: Key) -> float:
        """Give the seconds until a key's next planned look; 0 when there is none."""
        return max(0.0, self._due.get(key, 0.0) - time.monotonic())

    async def add(self, key: Key) -> None:
        """Look at a key as soon as possible; again afterwards if it is being looked at."""
        self._add(key, time.monotonic())

    async def add_after(self, key: Key, seconds: float) -> None:
        """Look at a key after a delay; an earlier time that was asked for before stays."""
        self.traffic[key.kind].retries += 1
        if seconds <= 0:
            await self.add(key)
            return
        due = time.monotonic() + seconds
        if key not in self._due or due < self._due[key]:
            self._due[key] = due
            heapq.heappush(self._later, (due, key))
            if self._later[0][0] == due:
                self._set_timer()

    async def add_failed(self, key: Key, at_least: float = 0.0) -> float:
        """Look at a key again with a delay that grows with every failure in a row; answers the seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = backoff.next_delay(self._failures[key], random.random())  # noqa: S311 - jitter, no secret
        delay = max(delay, at_least)
        await self.add_after(key, delay)
        return delay

    def failures(self, key: Key) -> int:
        """Count the failures of a key in a row."""
        return self._failures.get(key, 0)

    def forget(self, key: Key) -> None:
        """End a key's row of failures."""
        self._failures.pop(key, None)

    async def close(self) -> None:
        """Hand out no more keys; those being worked on are finished."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._waiters:
            self._wake()

    async def keys(self) -> AsyncIterator[Key]:
        """Give keys to work on; a key is done when the next one is asked for."""
        while (taken := await self._take()) is not None:
            try:
                yield taken
            finally:
                self._finish(taken)

    async def _take(self) -> Key | None:
        while not self._closed:
            self._move_due()
            if self._line:
                key, since = self._line.take()
                self._processing.add(key)
                # A planned look that is still to come is replaced by this one.
                self._due.pop(key, None)
                self.traffic[key.kind].waited.note(time.monotonic() - since)
                return key
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    # It was woken for a key that another one is to take now.
                    self._wake()
                raise
        return None

    def _add(self, key: Key, since: float) -> None:
        if key in self._processing:
            if key in self._again:
                return
            self._again[key] = since
        elif self._line.has(key.namespace, key):
            return
        else:
            self._put(key, since)
        self.traffic[key.kind].adds += 1

    def _put(self, key: Key, since: float) -> None:
        self._line.put(key.namespace, key, since)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _set_timer(self) -> None:
        """Wake somebody when the next planned look is due."""
        if self._timer is not None:
            self._timer.cancel()
        if self._later and not self._closed:
            wait = max(0.0, self._later[0][0] - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._move_due)

    def _move_due(self) -> None:
        """Put what is due in line."""
        now = time.monotonic()
        moved = False
        while self._later:
            due, key = self._later[0]
            void = self._due.get(key) != due
            if not void and due > now:
                break
            heapq.heappop(self._later)
            moved = True
            if not void:
                del self._due[key]
                self._add(key, due)
        if moved or self._timer is None or self._timer.when() <= asyncio.get_running_loop().time():
            self._set_timer()

    def _finish(self, key: Key) -> None:
        self._processing.discard(key)
        if (since := self._again.pop(key, None)) is not None:
            self._put(key, since)
