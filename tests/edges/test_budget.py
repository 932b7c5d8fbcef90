"""limits.requestsPerMinute: no more calls than that in a minute, and who goes first when there are none left."""

import asyncio
import time

import pytest

from llmbatch.gateway.budget import Budget


async def test_without_a_bound_nobody_waits() -> None:
    began = time.monotonic()
    await asyncio.gather(*(Budget().take("get batch") for _ in range(1000)))
    assert time.monotonic() - began < 10


async def test_a_sixth_may_come_at_once_and_the_others_are_spread_over_the_minute() -> None:
    budget, moments = Budget(600), []
    for _ in range(110):
        await budget.take("get batch")
        moments.append(time.monotonic())
    # 100 at once, then 500 in 60 seconds.
    assert moments[109] - moments[0] >= 10 * 60 / 500 - 0.01
    assert moments[109] - moments[100] >= 9 * 60 / 500 - 0.01


@pytest.mark.parametrize("most", [0, 600], ids=["taken away", "raised"])
async def test_a_small_bound_lets_one_call_be_made_at_a_time_until_it_is_edited(most: int) -> None:
    budget = Budget(1)
    await budget.take("get batch")
    waiting = asyncio.create_task(budget.take("get batch"))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    budget.allow(most)
    # Not when its time would have come by the old one, in a minute.
    async with asyncio.timeout(30):
        await waiting
        await budget.take("get batch")


async def test_cancellations_and_results_go_before_new_batches_and_these_before_polls() -> None:
    budget, went = Budget(600), []

    async def call(operation: str) -> None:
        await budget.take(operation)
        went.append(operation)

    await budget.take("get batch", 100)
    asked = ("get batch", "create batch", "list batches", "cancel batch", "collect")
    await asyncio.gather(*map(call, asked))
    assert went == ["cancel batch", "collect", "create batch", "get batch", "list batches"]


@pytest.mark.parametrize(("flood", "waits"), [("upload file", "list batches"), ("cancel batch", "create batch")])
async def test_what_goes_last_has_its_turn_though_others_never_cease(flood: str, waits: str) -> None:
    budget, went = Budget(6000), []

    async def call(operation: str) -> None:
        await budget.take(operation)
        went.append(operation)
        if operation == flood and len(went) < 100:
            asked.append(asyncio.create_task(call(flood)))

    await budget.take("get batch", 1000)
    asked = [asyncio.create_task(call(operation)) for operation in (*[flood] * 5, waits)]
    while pending := [task for task in asked if not task.done()]:
        await asyncio.gather(*pending)
    assert went.index(waits) < 30
    # And no sooner than it must: three of four calls are for those that go first.
    assert went[:3] == [flood] * 3


async def test_one_that_gives_up_takes_nobodys_place() -> None:
    budget = Budget(600)
    await budget.take("get batch", 100)
    given_up = [asyncio.create_task(budget.take("cancel batch")) for _ in range(20)]
    await asyncio.sleep(0.01)
    for task in given_up:
        task.cancel()
    began = time.monotonic()
    await budget.take("get batch")
    assert time.monotonic() - began < 20 * 60 / 500
