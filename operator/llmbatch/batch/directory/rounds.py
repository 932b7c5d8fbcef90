"""Rounds over the batches under way at each gateway: one reading of its list in place of a look at every one of them.

A round calls a job only if there is news of its batch. It only ever says that it is time for a look, and what the list
says of a batch that still runs; how a batch has ended is asked of the batch itself. Where the list is of no help (there is
none, it can't be read, shows a batch as it was before, or would take more calls than it saves), the batches are polled one
by one, each by its own clock.
"""

import asyncio
import logging
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from llmbatch.api.batch_status import Batch
from llmbatch.api.reasons import Reason
from llmbatch.batch.directory.laps import Followed, Lap, checked, rest_seconds
from llmbatch.batch.directory.reading import Reading
from llmbatch.batch.directory.readings import Readings
from llmbatch.batch.directory.told import Told
from llmbatch.batch.pure.submission import horizon
from llmbatch.common import backoff
from llmbatch.gateway.clients import Client, Gateways
from llmbatch.gateway.pace import Operation
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound
from llmbatch.provider.pure.pages import Following
from llmbatch.provider.pure.wire import Page, RemoteBatch
from llmbatch.runtime.queue import Key
from llmbatch.transfer.pure.report import Problem

LEAST = 2
"""A single batch is polled: a page of the list tells no more, and less exactly."""
JOIN_SECONDS = 0.5
"""The first round waits so long for others whose batches were found at the same time."""
DISTRUST_ROUNDS = 10
"""For so many rounds a list isn't read that was found to show batches as they were before, or to show none of ours; at most for
so many one that can't be read: for none at the first time, and then for longer each time."""
CALL_SECONDS = 10.0
"""Within this time those are polled that the list tells nothing of: of their batches nobody knows since the round before."""

UNKNOWN = "unknown"

log = logging.getLogger(__name__)


@dataclass
class Rounds:
    """Follows batches that are under way."""

    gateways: Gateways
    readings: Readings[Page]
    _laps: dict[Key, Lap] = field(default_factory=dict)
    _gateway_of: dict[str, Key] = field(default_factory=dict)

    def follow(self, memory: str, gateway: Key, job: Key, batch: Batch, *, asked: bool = False) -> bool:
        """Have a batch looked at in rounds; answers False if it is to be polled by its own clock all the same.

        Args:
            memory: Observation.memory.
            gateway: The BatchGateway.
            job: The BatchJob.
            batch: What is known of it.
            asked: It was asked for itself just now.
        """
        lap = self._laps.setdefault(gateway, Lap())
        known, found = Told.stored(batch), lap.followed.get(memory)
        if found is None or found.batch_id != batch.id:
            found = lap.followed[memory] = Followed(job, batch.id or "", batch.created_at, known)
            self._gateway_of[memory] = gateway
        if asked:
            found.known_from = found.since = time.monotonic()
            found.news, found.due = None, False
        found.known = known
        if lap.task is None or lap.task.done():
            lap.task = asyncio.create_task(self._run(gateway, lap))
        # One that was left alone stays so until the next round, which calls it: its next poll is a long time away.
        found.rests = self._is_read(gateway, lap) or (found.rests and not asked)
        return found.rests

    def leave(self, memory: str) -> Followed | None:
        """Follow a batch no more; answers it, if it was followed."""
        gateway = self._gateway_of.pop(memory, None)
        return self._laps[gateway].followed.pop(memory, None) if gateway is not None else None

    def forget(self, gateway: Key) -> None:
        """Keep nothing of a gateway that is gone; batches that are followed yet are dropped by the next round."""
        lap = self._laps.get(gateway)
        if lap is not None and not lap.followed:
            del self._laps[gateway]

    def of(self, memory: str) -> Followed | None:
        """Give a batch, if it is followed."""
        gateway = self._gateway_of.get(memory)
        return self._laps[gateway].followed.get(memory) if gateway is not None else None

    def _is_read(self, gateway: Key, lap: Lap) -> bool:
        """Tell whether the list is read in place of a look at every batch."""
        return len(lap.followed) >= LEAST and not lap.distrusted and self.gateways.lists_batches(gateway)

    def rest(self, gateway: Key, interval: float) -> float:
        """Say for how long a batch of a gateway that is followed may be left alone."""
        return rest_seconds(len(self._laps[gateway].followed), interval)

    def close(self) -> None:
        """End all rounds."""
        for lap in self._laps.values():
            if lap.task is not None:
                lap.task.cancel()

    async def _run(self, gateway: Key, lap: Lap) -> None:
        wait = JOIN_SECONDS
        while lap.followed:
            await asyncio.sleep(wait)
            self._drop_gone(lap)
            wait = 5.0
            try:
                client = await self.gateways.use(gateway.namespace, gateway.name, Operation.READ, last_known=True)
                if isinstance(client, Problem):
                    if client.reason is Reason.RATE_LIMITED:
                        # The list is the cheapest question: it comes first when there may be one, and nobody's poll before it.
                        wait = max(0.1, client.retry_after_seconds or wait)
                    else:
                        # They meet it themselves, and tell of it.
                        await self._call(lap, wait)
                    continue
                wait = backoff.poll_delay(client.spec.poll_interval_seconds, random.random())  # noqa: S311 - jitter, no secret
                await self._round(client, lap)
                if (held := client.pace.held(Operation.READ, self.gateways.cluster.now())) is not None:
                    wait = min(wait, held.retry_after_seconds or wait)
            except Exception:  # whatever it is, the next round may go better
                log.exception("a round failed", extra={"object": str(gateway)})
                await self._call(lap, wait)

    async def _round(self, client: Client, lap: Lap) -> None:
        within = min(CALL_SECONDS, client.spec.poll_interval_seconds)
        if lap.distrusted:
            lap.distrusted -= 1
        if not self._is_read(client.key, lap):
            await self._call(lap, within)
            return
        wanted = list(lap.followed.values())
        reading = await self.readings.wait(client)
        listed, pages, failure = await _listed(reading, wanted)
        held = None if failure is None else await self._failed(client, lap, failure)
        if failure is None:
            lap.failures = 0
        if held is not None:
            # What it has told counts; it is asked for the rest when it may be.
            wanted = [batch for batch in wanted if batch.batch_id in listed]
        older = [batch for batch in wanted if _compare(batch, listed.get(batch.batch_id), reading)]
        missing = [batch for batch in wanted if batch.batch_id not in listed]
        useless = failure is None and (not listed or (missing and pages >= len(wanted)))
        if older or useless or (missing and not listed):
            if older:
                log.warning(
                    "a list shows batches as they were before; they are polled", extra={"object": str(client.key)}
                )
            lap.distrusted = DISTRUST_ROUNDS if older or useless else lap.distrusted
            await self._call(lap, within)
            return
        for batch in sorted(wanted, key=lambda item: item.since)[: checked(len(wanted))]:
            batch.due = True
        for batch in wanted:
            if batch.due or batch.news is not None:
                await self.gateways.queue.add(batch.job)

    async def _failed(self, client: Client, lap: Lap, failure: Failure) -> float | None:
        """Note that the list could not be read; answers for how long the gateway has asked to be left in peace, if it has."""
        lap.failures += 1
        held = None if isinstance(failure, NotFound) else client.pace.slow_down(Operation.READ, failure.retry_after)
        if not held:
            lap.distrusted = min(DISTRUST_ROUNDS, 2 ** (lap.failures - 1) - 1)
        await self.gateways.suspect(client.key)
        return held or None

    def _drop_gone(self, lap: Lap) -> None:
        """Follow no batch whose object has gone without a last look, its finalizer taken off by another hand."""
        for memory, batch in list(lap.followed.items()):
            held = self.gateways.cache.get(batch.job)
            if held is None or held["metadata"].get("uid") != memory.split("/", 1)[0]:
                self.leave(memory)

    async def _call(self, lap: Lap, within: float) -> None:
        """Have the batches that rest polled one by one, spread over some time."""
        for batch in lap.followed.values():
            if not batch.rests:
                continue
            batch.due, batch.rests = True, False
            await self.gateways.queue.add_after(batch.job, within * random.random())  # noqa: S311 - spread, no secret


def _compare(batch: Followed, remote: RemoteBatch | None, reading: Reading[Page]) -> bool:
    """Take what a list tells of a batch; answers whether that is older than what the batch itself has told."""
    if remote is None:
        # It was just made, or the list doesn't go back so far.
        batch.due = True
        return False
    told = Told.by(remote)
    if told.is_behind(batch.known):
        batch.due = True
        return reading.began > batch.known_from >= 0
    if told.is_news(batch.known):
        batch.news = remote
        # How it has ended is asked of the batch itself, and so is what the list leaves out.
        batch.due = batch.due or told.ended or told.status == UNKNOWN
    return False


async def _listed(reading: Reading[Page], wanted: list[Followed]) -> tuple[dict[str, RemoteBatch], int, Failure | None]:
    """Find batches in a list; answers them by id, how many pages that took, and what kept a page from being read."""
    ids, moments = {batch.batch_id for batch in wanted}, [batch.created for batch in wanted]
    oldest = min((moment for moment in moments if moment is not None), default=datetime.now(UTC))
    following = Following(horizon(oldest), most_pages=len(wanted))
    listed: dict[str, RemoteBatch] = {}
    pages, goes_on = 0, True
    while goes_on and len(listed) < len(ids):
        answer = await reading.page(following.after)
        pages += 1
        if not isinstance(answer, Answered):
            return listed, pages, answer
        listed |= {batch.id: batch for batch in answer.value.batches if batch.id in ids}
        goes_on = following.take(answer.value)
    return listed, pages, None
