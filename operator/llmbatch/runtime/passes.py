"""Which looks at objects are under way, and that none of them holds a worker, or keeps others of other owners waiting."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from llmbatch.runtime.cache import BATCHGATEWAY, Cache
from llmbatch.runtime.queue import Key, WorkQueue
from llmbatch.runtime.shares import Groups, Shares

Look = Callable[[Key], Coroutine[Any, Any, None]]

MOMENT_SECONDS = 0.2
"""A look that takes longer goes on without its worker: how long a call takes is the gateway's choice."""


@dataclass
class Pass:
    """A look at an object that is under way."""

    task: asyncio.Task[None]
    leaving: bool
    """It knows that the object is being deleted, and has its limits by that."""
    again: bool = False
    """The object is to be looked at once more afterwards."""
    began: float = field(default_factory=time.monotonic)
    """By the monotonic clock."""

    @property
    def seconds(self) -> float:
        """Since its beginning."""
        return time.monotonic() - self.began


class Passes:
    """Runs looks, one of a key at a time."""

    def __init__(self, cache: Cache, queue: WorkQueue, most_per_gateway: int) -> None:
        """Say how many may go on over the jobs of one gateway; over those of a namespace it is eight times as many."""
        self._cache, self._queue = cache, queue
        limits = most_per_gateway, 8 * most_per_gateway, 32 * most_per_gateway
        # Those that are deleted have places of their own, and so their turn among the calls that are allowed in a minute:
        # behind polls that wait for theirs, their time would be over before anything is cancelled.
        self._jobs, self._leaving = Shares(limits), Shares(limits)
        self._gateways = Shares((8 * most_per_gateway, 32 * most_per_gateway))
        self._passes: dict[Key, Pass] = {}
        self._adding: set[asyncio.Task[None]] = set()

    async def run(self, key: Key, look: Look, *, at_once: bool) -> bool:
        """Look at an object, and wait for a moment for that to end; `at_once` even if there is no place for it.

        Answers False if there is none: the key then comes again by itself when there is one.
        """
        if (running := self._passes.get(key)) is not None:
            running.again = True
            if self._is_leaving(key) and not running.leaving:
                # What is under way for somebody who has gone is given up; a create call runs to its end all the same.
                running.leaving = True
                running.task.cancel()
            return True
        shares, groups = self._places(key)
        if not shares.take(key, groups, at_once=at_once):
            return False
        task = asyncio.create_task(look(key))
        self._passes[key] = Pass(task, leaving=self._is_leaving(key))
        # Not at the end of the task's own work: one that is cancelled before it has begun never comes to that, and its
        # object would be held to be looked at for ever.
        task.add_done_callback(lambda _: self._end(key, shares, groups))
        try:
            await asyncio.wait({task}, timeout=MOMENT_SECONDS)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        return True

    def leaves(self, key: Key) -> None:
        """Note that the look under way has seen for itself that its object is being deleted: it is not given up for that."""
        if (running := self._passes.get(key)) is not None:
            running.leaving = True

    def under_way(self) -> list[tuple[str, float]]:
        """Give kind and seconds of each look that goes on; for any thread."""
        # A copy first: no look ends in the middle of that.
        return [(key.kind, running.seconds) for key, running in self._passes.copy().items()]

    async def drain(self) -> None:
        """Wait for all that is under way."""
        while self._passes or self._adding:
            await asyncio.wait({running.task for running in self._passes.values()} | self._adding)
            # What is called at their ends has its turn now.
            await asyncio.sleep(0)

    def cancel(self) -> None:
        """Give up all that is under way."""
        for running in self._passes.values():
            running.task.cancel()

    def _end(self, key: Key, shares: Shares, groups: Groups) -> None:
        running = self._passes.pop(key)
        self._queue.traffic[key.kind].worked.note(running.seconds)
        following = shares.give(groups)
        besides = None
        if shares is not self._gateways:
            # Who waited for a place on one side was perhaps called to it from there, and has gone to the other since.
            besides = (self._jobs if shares is self._leaving else self._leaving).next()
        for again in (key if running.again else None, following, besides):
            if isinstance(again, Key):
                adding = asyncio.get_running_loop().create_task(self._queue.add(again))
                self._adding.add(adding)
                adding.add_done_callback(self._adding.discard)

    def _places(self, key: Key) -> tuple[Shares, Groups]:
        if key.kind == BATCHGATEWAY:
            return self._gateways, (key.namespace, "all")
        shares = self._leaving if self._is_leaving(key) else self._jobs
        return shares, (self._cache.gateway_of(key), key.namespace, "all")

    def _is_leaving(self, key: Key) -> bool:
        """Tell whether an object is being deleted, or gone already."""
        raw = self._cache.get(key)
        return raw is None or "deletionTimestamp" in raw["metadata"]
