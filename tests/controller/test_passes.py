"""Looks at objects: one of each at a time, and none that was given up keeps its object from the next."""

import asyncio

from llmbatch.runtime.cache import Cache
from llmbatch.runtime.passes import Passes
from llmbatch.runtime.queue import Key, WorkQueue
from tests.support import build

JOB = Key("BatchJob", "team-a", "job")


class Looks:
    """Passes over one job, and what they have looked at."""

    def __init__(self) -> None:
        self.cache, self.queue = Cache(), WorkQueue()
        self.passes = Passes(self.cache, self.queue, 2)
        self.seen: list[Key] = []
        self.cache.put(JOB, build.batchjob())

    async def look(self, key: Key) -> None:
        self.seen.append(key)

    async def run(self) -> None:
        assert await self.passes.run(JOB, self.look, at_once=False)

    async def delete(self) -> None:
        job = build.batchjob()
        self.cache.put(JOB, {**job, "metadata": {**job["metadata"], "deletionTimestamp": "2026-03-01T12:00:00Z"}})
        await self.run()


async def test_one_that_is_given_up_before_it_has_begun_makes_room_for_the_next() -> None:
    looks = Looks()
    async with asyncio.timeout(30):
        await asyncio.gather(looks.run(), looks.delete())
        assert looks.seen == [], "it was given up before it began"
        async for key in looks.queue.keys():
            assert key == JOB
            break
        await looks.run()
        assert looks.seen == [JOB]
        await looks.passes.drain()


async def test_those_that_are_given_up_before_they_have_begun_are_not_waited_for() -> None:
    looks = Looks()

    async def give_up() -> None:
        looks.passes.cancel()

    async with asyncio.timeout(30):
        await asyncio.gather(looks.run(), give_up())
        await looks.passes.drain()
    assert looks.seen == []


async def test_a_job_that_is_asked_for_while_it_is_looked_at_is_looked_at_once_more() -> None:
    looks, going_on = Looks(), asyncio.Event()

    async def slow(key: Key) -> None:
        await looks.look(key)
        await going_on.wait()

    async with asyncio.timeout(30):
        first = asyncio.create_task(looks.passes.run(JOB, slow, at_once=False))
        await asyncio.sleep(0.01)
        for _ in range(3):
            await looks.run()
        assert looks.seen == [JOB]
        assert looks.queue.depth == 0
        going_on.set()
        await first
        await looks.passes.drain()
    assert looks.queue.depth == 1


async def test_a_look_that_goes_on_without_its_worker_is_told_of_until_it_has_ended() -> None:
    looks, going_on = Looks(), asyncio.Event()

    async def slow(key: Key) -> None:
        await looks.look(key)
        await going_on.wait()

    async with asyncio.timeout(30):
        await looks.passes.run(JOB, slow, at_once=False)
        ((kind, seconds),) = looks.passes.under_way()
        assert (kind, seconds > 0) == ("BatchJob", True)
        worked = looks.queue.traffic["BatchJob"].worked
        assert sum(worked.counts) == 0
        await looks.run()
        going_on.set()
        await looks.passes.drain()
    assert looks.passes.under_way() == []
    assert sum(worked.counts) == 1, "what was asked for meanwhile is no look of its own"
    assert worked.seconds >= seconds
