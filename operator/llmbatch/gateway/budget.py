"""How many calls a gateway lets be made in a minute (limits.requestsPerMinute), and whose turn is next when they are used up."""

import asyncio
import heapq
import itertools
import time
from dataclasses import dataclass, field

MINUTE_SECONDS = 60.0
BURST = 6
"""So many times a minute the calls could be made that may come at once; the others are spread over the minute."""
FIRST = ("cancel batch", "delete file", "collect")
NEXT = ("upload file", "create batch")
"""Calls in the order in which they go; polls, lists and probes are last."""
OLDEST = 4
"""Each so many-th call goes to whoever has waited longest: those that go first may never cease to come."""


@dataclass
class Budget:
    """Counts the calls of everybody who uses a gateway. In no 60 seconds are there more than `most`; 0: it counts none."""

    most: int = 0
    _left: float = 0.0
    _as_of: float | None = None
    """When so many were left, by the monotonic clock; None: nothing was counted yet."""
    _line: list[tuple[int, int, asyncio.Future[None]]] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _timer: asyncio.TimerHandle | None = None
    _turns: int = 0
    """Calls that have waited and were let go."""

    def allow(self, most: int) -> None:
        """Go by another bound from now on; who waits already waits by it too."""
        if most != self.most:
            self.most = most
            self._set_timer()

    async def take(self, operation: str, calls: int = 1) -> None:
        """Wait until so many calls may be made."""
        for _ in range(calls):
            if self.most:
                await self._take(operation)

    async def _take(self, operation: str) -> None:
        if not self._line and self._wait() <= 0:
            self._left -= 1
            return
        rank = 0 if operation in FIRST else 1 if operation in NEXT else 2
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._line, (rank, next(self._numbers), turn))
        self._set_timer()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # It was its turn just now, and somebody else's is next.
                self._left += 1
                self._call()
            raise

    def _wait(self) -> float:
        """Give the seconds until a call may be made."""
        burst = max(1, self.most // BURST)
        rate = (self.most - burst if burst > 1 else self.most) / MINUTE_SECONDS
        now = time.monotonic()
        self._left = burst if self._as_of is None else min(burst, self._left + rate * (now - self._as_of))
        self._as_of = now
        return 0.0 if self._left >= 1 else (1 - self._left) / rate

    def _call(self) -> None:
        """Let go whose turn it is."""
        while self._line and (not self.most or self._wait() <= 0):
            turn = self._next()
            if not turn.done():
                self._left -= 1
                self._turns += 1
                turn.set_result(None)
        self._set_timer()

    def _next(self) -> asyncio.Future[None]:
        """Take out of the line whose turn it is."""
        if (self._turns + 1) % OLDEST:
            return heapq.heappop(self._line)[2]
        oldest = min(self._line, key=lambda waiting: waiting[1])
        self._line.remove(oldest)
        heapq.heapify(self._line)
        return oldest[2]

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._line:
            # A little later, so that the clock is past the moment.
            wait = self._wait() + 0.001 if self.most else 0.0
            self._timer = asyncio.get_running_loop().call_later(wait, self._call)
