"""The heartbeat of the event loop, by which a probe on another thread sees that it is alive."""

import asyncio
import time
from dataclasses import dataclass

from llmbatch.runtime.metrics import Metrics

LAG_SECONDS = 30.0
"""An event loop this late is stuck, and the process is better restarted."""


@dataclass
class Heart:
    """Beats in the event loop, so that a probe on another thread can see that the loop is alive."""

    metrics: Metrics
    beat: float = 0.0

    async def run(self) -> None:
        """Beat every second."""
        while True:
            self.beat = time.monotonic()
            await asyncio.sleep(1.0)
            self.metrics.loop_lag.set(max(0.0, time.monotonic() - self.beat - 1.0))

    def wrong(self) -> str:
        """Say whether the loop is stuck."""
        late = time.monotonic() - self.beat
        return f"the event loop has been stuck for {late:.0f} s" if late > LAG_SECONDS else ""
