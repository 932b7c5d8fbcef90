"""Readings of gateways' lists, of batches or of files, each shared by everybody whose question is older than it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from llmbatch.gateway.clients import Client
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


@dataclass(eq=False)
class Reading(Generic[P]):
    """One reading of a list: a page is read when it is asked for first, and is the same for all who ask."""

    gateway: Gateway
    read: Read[P]
    began: float = field(default_factory=time.monotonic)
    """No page was asked for before that, by the monotonic clock: what was made by then is in the list, if it doesn't lag."""
    failed: bool = False
    _seconds: float = 0.0
    _since: float | None = None
    """Since when a page is being read."""
    _pages: dict[str | None, asyncio.Task[Answered[P] | Failure]] = field(default_factory=dict)

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
        return len(self._pages)

    async def page(self, after: str | None) -> Answered[P] | Failure:
        """Give the page after an entry; None: the first."""
        if after not in self._pages:
            self._pages[after] = asyncio.create_task(self._take(after))
        # Whoever is cancelled while waiting doesn't take the page from the others.
        return await asyncio.shield(self._pages[after])

    async def _take(self, after: str | None) -> Answered[P] | Failure:
        self._since = self._since or time.monotonic()
        answer = await self.read(self.gateway, after)
        self._seconds, self._since = self.seconds, None
        self.failed = self.failed or not isinstance(answer, Answered)
        return answer


@dataclass
class Readings(Generic[P]):
    """The last reading of each gateway's list, and since when who waits for the next one.

    A question about something that happened before it was asked is answered by a reading that began after it was asked.
    """

    read: Read[P]
    _last: dict[Key, Reading[P]] = field(default_factory=dict)
    _asked: dict[Hashable, tuple[Hashable, float]] = field(default_factory=dict)
    """By who asks: what about, and since when, by the monotonic clock."""

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
        self._last[client.key] = Reading(client.gateway, self.read)
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
