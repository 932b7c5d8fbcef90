"""Readings of gateways' lists, of batches or of files, each shared by everybody whose question is older than it."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from llmbatch.gateway.clients import Client
from llmbatch.provider.edge.bodies import BodyError, Room
from llmbatch.provider.edge.client import Gateway
from llmbatch.provider.edge.outcome import Answered, Failure
from llmbatch.provider.pure.pages import Listed
from llmbatch.runtime.queue import Key

P = TypeVar("P", bound=Listed)
Read = Callable[[Gateway, str | None], Awaitable[Answered[P] | Failure]]
"""Reads the page after an entry; None: the first."""

LEAST_SECONDS = 0.05
AFTER_FAILURE_SECONDS = 1.0
SHARE = 10.0
"""A gateway is left in peace for so many times as long as the last reading of its list has taken."""
PAGE_SECONDS = 0.5
"""And for so long at least for each page but the first."""
KEPT_SECONDS = 60.0
"""So long pages are kept for others who ask; then they are read again, should anybody still be at it."""
SHARED_BYTES, SHARE_BYTES = 64 * 1024 * 1024, 16 * 1024 * 1024
"""Size of the pages that are kept in all, and of those of one namespace."""


@dataclass(eq=False)
class Reading(Generic[P]):
    """One reading of a list: a page is read when it is asked for first, and is the same for all who ask."""

    gateway: Gateway
    read: Read[P]
    room: Room = field(default_factory=lambda: Room(SHARED_BYTES, SHARE_BYTES))
    holder: str = ""
    """Whose part of the room it takes."""
    began: float = field(default_factory=time.monotonic)
    """No page was asked for before that, by the monotonic clock: what was made by then is in the list, if it doesn't lag."""
    failed: bool = False
    _seconds: float = 0.0
    _since: float | None = None
    """Since when a page is being read."""
    _pages: dict[str | None, asyncio.Task[Answered[P] | Failure]] = field(default_factory=dict)
    _asked: int = 0
    _taken: int = 0
    """Of the room."""
    _dropped: bool = False

    @property
    def age(self) -> float:
        """Give the seconds since it began."""
        return time.monotonic() - self.began

    @property
    def seconds(self) -> float:
        """Give what its pages have taken together, so far."""
        return self._seconds + (time.monotonic() - self._since if self._since is not None else 0.0)

    @property
    def pages(self) -> int:
        """Give how many pages were asked for."""
        return self._asked

    async def page(self, after: str | None) -> Answered[P] | Failure:
        """Give the page after an entry; None: the first."""
        page = self._pages.get(after)
        if page is None:
            self._asked += 1
            page = self._pages[after] = asyncio.create_task(self._take(after))
        # Whoever is cancelled while waiting doesn't take the page from the others.
        return await asyncio.shield(page)

    def drop(self) -> None:
        """Keep no page any more."""
        self._dropped = True
        self._pages.clear()
        if self._taken:
            self.room.give(self.holder, self._taken)
        self._taken = 0

    async def _take(self, after: str | None) -> Answered[P] | Failure:
        self._since = self._since or time.monotonic()
        answer = await self.read(self.gateway, after)
        self._seconds, self._since = self.seconds, None
        self.failed = self.failed or not isinstance(answer, Answered)
        if isinstance(answer, Answered) and not self._keeps(answer.value.size):
            # Who waits for it has it; the next one reads it again.
            self._pages.pop(after, None)
        return answer

    def _keeps(self, size: int) -> bool:
        """Take room for a page; answers whether there was some."""
        if self._dropped:
            return False
        try:
            self.room.take(self.holder, size)
        except BodyError:
            return False
        self._taken += size
        return True


@dataclass
class Readings(Generic[P]):
    """The last reading of each gateway's list, and since when who waits for the next one.

    A question about something that happened before it was asked is answered by a reading that began after it was asked.
    """

    read: Read[P]
    _last: dict[Key, Reading[P]] = field(default_factory=dict)
    _asked: dict[Hashable, tuple[Hashable, float]] = field(default_factory=dict)
    """By who asks: what about, and since when, by the monotonic clock."""
    _kept: deque[Reading[P]] = field(default_factory=deque)
    """Those whose pages are kept, the oldest first."""
    room: Room = field(default_factory=lambda: Room(SHARED_BYTES, SHARE_BYTES))
    """Memory for pages, of which a list that has no end takes no more than a part."""

    def ask(self, client: Client, asker: Hashable, question: Hashable = None) -> Reading[P] | float:
        """Give a reading that began after this was asked first, or the seconds until there may be one.

        Args:
            client: The gateway's.
            asker: Who asks.
            question: What about; once it is answered, or the same asker has asked another one, it is a new one.
        """
        wait = self.due_in(client, asker, question)
        if wait > 0:
            return wait
        self.forget(asker)
        return self._last[client.key]

    def due_in(self, client: Client, asker: Hashable, question: Hashable = None) -> float:
        """Give the seconds until a question may be answered, and note since when it is asked; 0: now, and for a while.

        Of a reading that begins nothing is read before somebody asks for a page.
        """
        known = self._asked.get(asker)
        since = known[1] if known is not None and known[0] == question else time.monotonic()
        self._asked[asker] = question, since
        last = self._last.get(client.key)
        if last is not None and last.gateway is client.gateway:
            if last.began >= since and not last.failed:
                return 0.0
            if (wait := self._apart(client, last) - last.age) > 0:
                return wait
        while self._kept and self._kept[0].age > KEPT_SECONDS:
            self._kept.popleft().drop()
        begun = self._last[client.key] = Reading(client.gateway, self.read, self.room, client.key.namespace)
        self._kept.append(begun)
        return 0.0

    async def wait(self, client: Client) -> Reading[P]:
        """Give a reading that began after this was asked; waits for it."""
        asker = object()
        while True:
            found = self.ask(client, asker)
            if isinstance(found, Reading):
                return found
            await asyncio.sleep(found)

    def forget(self, asker: Hashable) -> None:
        """Drop a question that nobody waits for any more."""
        self._asked.pop(asker, None)

    @staticmethod
    def _apart(client: Client, last: Reading[P]) -> float:
        """Give the seconds between the beginnings of two readings: the longer the list, the rarer."""
        if last.failed:
            return AFTER_FAILURE_SECONDS
        costs = max(LEAST_SECONDS, SHARE * last.seconds, PAGE_SECONDS * (last.pages - 1))
        return min(float(client.spec.poll_interval_seconds), costs)
