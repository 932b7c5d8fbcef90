"""The work queue: each key at most once in line, never worked on twice at a time."""

import asyncio
import itertools
import random

import pytest

from llmbatch.runtime.queue import Key, WorkQueue

A, B = Key("BatchJob", "n", "a"), Key("BatchJob", "n", "b")


async def take(queue: WorkQueue, count: int) -> list[Key]:
    """Take keys, each done when the next is asked for."""
    taken = []
    async for key in queue.keys():
        taken.append(key)
        if len(taken) == count:
            break
    return taken


async def test_a_key_is_in_line_once() -> None:
    queue = WorkQueue()
    for key in (A, B, A, A):
        await queue.add(key)
    assert queue.depth == 2
    assert await take(queue, 2) == [A, B]
    assert queue.depth == 0


async def test_a_key_added_while_it_is_worked_on_comes_again_and_never_twice_at_once() -> None:
    queue, at_work, seen = WorkQueue(), set[Key](), list[Key]()

    async def worker() -> None:
        async for key in queue.keys():
            assert key not in at_work, "worked on twice at a time"
            at_work.add(key)
            if len(seen) < 5:
                await queue.add(key)
            await asyncio.sleep(0)
            seen.append(key)
            at_work.discard(key)
            if len(seen) >= 6:
                await queue.close()

    await queue.add(A)
    await asyncio.gather(*(worker() for _ in range(4)))
    assert seen == [A] * 6


async def test_different_keys_are_worked_on_side_by_side() -> None:
    queue, both = WorkQueue(), asyncio.Barrier(2)

    async def worker() -> None:
        async for _ in queue.keys():
            async with asyncio.timeout(5):
                await both.wait()
            await queue.close()

    await queue.add(A)
    await queue.add(B)
    await asyncio.gather(worker(), worker())


async def test_the_earliest_time_asked_for_wins() -> None:
    queue = WorkQueue()
    await queue.add_after(A, 3600)
    await queue.add_after(A, 0.01)
    await queue.add_after(A, 7200)
    async with asyncio.timeout(5):
        assert await take(queue, 1) == [A]


async def test_a_later_time_is_dropped_when_the_key_is_worked_on_before() -> None:
    queue = WorkQueue()
    await queue.add_after(A, 0.02)
    await queue.add(A)
    assert await take(queue, 1) == [A]
    await asyncio.sleep(0.03)
    await queue.add(B)
    assert await take(queue, 1) == [B], "the planned look was replaced by the one that came first"


@pytest.mark.parametrize("seconds", [0, -1])
async def test_no_delay_is_now(seconds: float) -> None:
    queue = WorkQueue()
    await queue.add_after(A, seconds)
    assert queue.depth == 1


async def test_delays_grow_with_failures_in_a_row_and_begin_anew_after_success() -> None:
    queue = WorkQueue()
    delays = [await queue.add_failed(A) for _ in range(12)]
    assert all(later > earlier for earlier, later in itertools.pairwise(delays[:9]))
    assert all(1 <= delay <= 360 for delay in delays)
    assert delays[-1] >= 300
    queue.forget(A)
    assert await queue.add_failed(A) <= 1.2


async def test_one_keys_failures_are_not_anothers() -> None:
    queue = WorkQueue()
    for _ in range(5):
        await queue.add_failed(A)
    assert await queue.add_failed(B) <= 1.2


async def test_closing_finishes_what_is_under_way_and_hands_out_no_more() -> None:
    queue, begun, go_on, finished = WorkQueue(), asyncio.Event(), asyncio.Event(), list[Key]()

    async def worker() -> None:
        async for key in queue.keys():
            begun.set()
            await go_on.wait()
            finished.append(key)

    await queue.add(A)
    await queue.add(B)
    task = asyncio.create_task(worker())
    await begun.wait()
    await queue.close()
    go_on.set()
    async with asyncio.timeout(5):
        await task
    assert finished == [A]


async def test_a_key_whose_work_failed_can_be_worked_on_again() -> None:
    queue = WorkQueue()
    await queue.add(A)
    keys = queue.keys()
    await anext(keys)
    await queue.add(A)
    await keys.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert await take(queue, 1) == [A]


async def test_waiting_workers_are_woken_by_a_new_key() -> None:
    queue = WorkQueue()
    waiting = [asyncio.create_task(take(queue, 1)) for _ in range(2)]
    await asyncio.sleep(0)
    await queue.add(A)
    await queue.add(B)
    async with asyncio.timeout(5):
        assert sorted(key for taken in await asyncio.gather(*waiting) for key in taken) == [A, B]


@pytest.mark.parametrize("seed", range(60))
async def test_workers_cancelled_at_any_moment_leave_the_queue_to_others(seed: int) -> None:
    chance, queue = random.Random(seed), WorkQueue()  # noqa: S311 - chance that can be repeated

    async def feed() -> None:
        for number in range(60):
            key = Key("BatchJob", "n", str(number % 7))
            await queue.add_after(key, chance.choice([0, 0.0005, 0.001, 0.002]))
            if chance.random() < 0.5:
                await asyncio.sleep(chance.choice([0, 0.0005, 0.001]))

    async def work() -> None:
        async for _ in queue.keys():
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(work()) for _ in range(6)]
    fed = asyncio.create_task(feed())
    await asyncio.sleep(chance.random() * 0.02)
    for task in tasks:
        task.cancel()
    async with asyncio.timeout(30):
        await queue.add(A)
        await fed
        assert await take(queue, 1)
        await queue.close()
        await asyncio.wait(tasks)
    assert all(task.cancelled() or task.exception() is None for task in tasks)


async def test_who_has_thousands_of_objects_has_nobody_else_wait_for_them() -> None:
    queue = WorkQueue()
    many = [Key("BatchJob", "many", str(number)) for number in range(5000)]
    for key in many:
        await queue.add(key)
    await queue.add(A)
    await queue.add(Key("BatchGateway", "other", "kong"))
    taken = await take(queue, 5)
    assert taken == [many[0], A, Key("BatchGateway", "other", "kong"), many[1], many[2]]
    assert queue.depth == 4997
