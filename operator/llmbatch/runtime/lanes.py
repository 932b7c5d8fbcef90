"""Threads for the transfers that need no pod: each gateway has some of them at most, and a slow one makes way."""

import asyncio
import contextlib
import contextvars
import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from llmbatch.runtime.queue import Key
from llmbatch.runtime.shares import Groups, Shares

T = TypeVar("T")

QUICK = 4
"""Transfers at work at the same time that have just begun; a transfer of a megabyte takes a second."""
SLOW_SECONDS = 3.0
"""One that has taken so long makes way, and goes on beside the quick ones."""
GATEWAY, NAMESPACE, ALL = 2, 8, 32
"""Most threads of a gateway, of a namespace, at all."""


class Lanes:
    """Runs functions that block in threads."""

    def __init__(self) -> None:
        """Begin without a thread; each lives for one transfer."""
        self._shares = Shares((GATEWAY, NAMESPACE, ALL))
        self._quick = asyncio.Semaphore(QUICK)
        self._waiting: dict[object, asyncio.Future[None]] = {}
        self._closed = False

    async def run(self, gateway: Key, function: Callable[..., T], *given: Any) -> T:  # noqa: ANN401 - the function's
        """Run a function in a thread once there is one for its gateway.

        Whoever is cancelled leaves a thread behind that has begun; it keeps its place until it has ended.
        """
        groups: Groups = (gateway, gateway.namespace, "all")
        who = object()
        while not self._shares.take(who, groups):
            await self._wait(who, groups)
        try:
            await self._quick.acquire()
        except BaseException:
            self._leave(groups)
            raise
        if self._closed:
            self._leave(groups)
            raise asyncio.CancelledError
        return await self._begin(groups, function, *given)

    def close(self) -> None:
        """Begin no more; what waits is given up."""
        self._closed = True
        for waiting in self._waiting.values():
            waiting.cancel()

    def _begin(self, groups: Groups, function: Callable[..., T], *given: Any) -> "asyncio.Future[T]":  # noqa: ANN401
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[T] = loop.create_future()
        made_way = False
        # What is written into the log tells of the same.
        context = contextvars.copy_context()

        def make_way() -> None:
            nonlocal made_way
            if not made_way:
                made_way = True
                self._quick.release()

        slow = loop.call_later(SLOW_SECONDS, make_way)

        def end(give: Callable[[], None]) -> None:
            slow.cancel()
            make_way()
            self._leave(groups)
            if not ended.cancelled():
                give()

        def work() -> None:
            give: Callable[[], None]
            try:
                give = functools.partial(ended.set_result, context.run(function, *given))
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                give = functools.partial(ended.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the process ends
                loop.call_soon_threadsafe(end, give)

        # A daemon: the end of the process waits for no gateway.
        threading.Thread(target=work, name="transfer", daemon=True).start()
        return ended

    async def _wait(self, who: object, groups: Groups) -> None:
        self._waiting[who] = asyncio.get_running_loop().create_future()
        try:
            await self._waiting[who]
        except BaseException:
            # Perhaps it was called just now: the next one then gets the place.
            self._shares.forget(who, groups)
            self._call(self._shares.next())
            raise
        finally:
            del self._waiting[who]

    def _leave(self, groups: Groups) -> None:
        self._call(self._shares.give(groups))

    def _call(self, who: object | None) -> None:
        waiting = self._waiting.get(who)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
