"""One reading of a gateway's list, of batches or of files: its pages, how long they have taken, and what memory they hold."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from llmbatch.provider.edge.bodies import BodyError, Room
from llmbatch.provider.edge.client import Gateway
from llmbatch.provider.edge.outcome import Answered, Failure
from llmbatch.provider.pure.pages import Listed

P = TypeVar("P", bound=Listed)

Read = Callable[[Gateway, str | None], Awaitable[Answered[P] | Failure]]
"""Reads the page after an entry; None: the first."""

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
