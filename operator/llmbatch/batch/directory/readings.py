"""Readings of gateways' lists, of batches or of files, each shared by everybody whose question is older than it."""

import asyncio
import time
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic

from llmbatch.batch.directory.reading import SHARE_BYTES, SHARED_BYTES, P, Read, Reading
from llmbatch.gateway.clients import Client
from llmbatch.provider.edge.bodies import Room
from llmbatch.runtime.queue import Key

LEAST_SECONDS = 0.05
AFTER_FAILURE_SECONDS = 1.0
SHARE = 10.0
"""A gateway is left in peace for so many times as long as the last reading of its list has taken."""
PAGE_SECONDS = 0.5
"""And for so long at least for each page but the first."""
KEPT_SECONDS = 60.0
"""So long pages are kept for others who ask; then they are read again, should anybody still be at it."""


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

    def leave(self, gateway: Key) -> None:
        """Keep nothing of a gateway that is gone: its readings hold its client."""
        if (last := self._last.pop(gateway, None)) is None:
            return
        for reading in [reading for reading in self._kept if reading.gateway is last.gateway]:
            self._kept.remove(reading)
            reading.drop()

    @staticmethod
    def _apart(client: Client, last: Reading[P]) -> float:
        """Give the seconds between the beginnings of two readings: the longer the list, the rarer."""
        if last.failed:
            return AFTER_FAILURE_SECONDS
        costs = max(LEAST_SECONDS, SHARE * last.seconds, PAGE_SECONDS * (last.pages - 1))
        return min(float(client.spec.poll_interval_seconds), costs)
