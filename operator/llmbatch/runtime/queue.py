"""The work queue: client-go's semantics on asyncio."""

import asyncio
import contextlib
import heapq
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import NamedTuple

from llmbatch.common import backoff


class Key(NamedTuple):
    """An object to look at."""

    kind: str
    namespace: str
    name: str


class WorkQueue:
    """Keys to look at: each at most once in line, never worked on twice at the same time."""

    def __init__(self) -> None:
        """Begin empty."""
        self._dirty: OrderedDict[Key, float] = OrderedDict()  # value: since when it is due
        self._processing: set[Key] = set()
        self._later: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}  # the earliest due time of each key in _later; others there are void
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Condition()
        self._closed = False

    @property
    def depth(self) -> int:
        """Keys that are due and wait."""
        return sum(key not in self._processing for key in self._dirty)

    def planned(self, key: Key) -> float:
        """Give the seconds until a key's next planned look; 0 when there is none."""
        return max(0.0, self._due.get(key, 0.0) - time.monotonic())

    async def add(self, key: Key) -> None:
        """Look at a key as soon as possible; again afterwards if it is being looked at."""
        async with self._changed:
            self._dirty.setdefault(key, time.monotonic())
            self._changed.notify_all()

    async def add_after(self, key: Key, seconds: float) -> None:
        """Look at a key after a delay; an earlier time that was asked for before stays."""
        if seconds <= 0:
            await self.add(key)
            return
        due = time.monotonic() + seconds
        async with self._changed:
            if key not in self._due or due < self._due[key]:
                self._due[key] = due
                heapq.heappush(self._later, (due, key))
                self._changed.notify_all()

    async def add_failed(self, key: Key, at_least: float = 0.0) -> float:
        """Look at a key again with a delay that grows with every failure in a row; answers the seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = backoff.next_delay(self._failures[key], random.random())  # noqa: S311 - jitter, no secret
        delay = max(delay, at_least)
        await self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """End a key's row of failures."""
        self._failures.pop(key, None)

    async def close(self) -> None:
        """Hand out no more keys; those being worked on are finished."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def keys(self) -> AsyncIterator[tuple[Key, float]]:
        """Give keys to work on, with the seconds each has waited; a key is done when the next one is asked for."""
        while (taken := await self._take()) is not None:
            try:
                yield taken
            finally:
                await self._finish(taken[0])

    async def _take(self) -> tuple[Key, float] | None:
        async with self._changed:
            while not self._closed:
                wait = self._move_due()
                for key, since in self._dirty.items():
                    if key not in self._processing:
                        del self._dirty[key]
                        self._processing.add(key)
                        # A planned look that is still to come is replaced by this one.
                        self._due.pop(key, None)
                        return key, time.monotonic() - since
                # Not by wait_for, which waits in a task of its own: cancelled at the wrong moment it would leave that task
                # alone with the lock, for ever.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
            return None

    def _move_due(self) -> float | None:
        """Put what is due in line; answers the seconds until the next one is, None when there is none."""
        now = time.monotonic()
        while self._later:
            due, key = self._later[0]
            if self._due.get(key) != due:
                heapq.heappop(self._later)
                continue
            if due > now:
                return due - now
            heapq.heappop(self._later)
            del self._due[key]
            self._dirty.setdefault(key, due)
        return None

    async def _finish(self, key: Key) -> None:
        async with self._changed:
            self._processing.discard(key)
            self._changed.notify_all()
