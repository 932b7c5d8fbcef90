"""Many batches at one gateway: its list is read once for all of them, and a job is looked at when there is news of its batch."""

import asyncio
import itertools
import math
import time
from pathlib import Path
from typing import Any

import pytest

from llmbatch.batch.directory.laps import LONGEST_REST_SECONDS, REST_SECONDS, checked, rest_seconds
from llmbatch.batch.directory.reading import Reading
from llmbatch.batch.directory.readings import Readings
from llmbatch.gateway.clients import Client
from llmbatch.provider.edge.client import Gateway
from llmbatch.provider.edge.outcome import Answered
from llmbatch.runtime.queue import Key
from tests.bench.life import passes
from tests.controller.conftest import FIVE
from tests.controller.test_duplicates import searches
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Operator, apply_all

JOBS = 6
NAMES = [f"job-{number}" for number in range(JOBS)]


def several(api: ApiServer, kong: Instance, **gateway: Any) -> None:
    outputs = ({"secret": {"name": name, "key": "r.jsonl"}} for name in NAMES)
    jobs = (build.batchjob(name, output=output) for name, output in zip(NAMES, outputs, strict=True))
    apply_all(api, kong, FIVE, *jobs, pollIntervalSeconds=1, **gateway)


async def all_have(operator: Operator, phase: str) -> None:
    """Wait until all jobs are so far, without having them looked at."""
    await operator.until(lambda: all(operator.status(name).phase == phase for name in NAMES), None)


async def settled(operator: Operator, kong: Instance) -> None:
    """Wait until all batches are followed, no search for others is due, and their gateway has told how many they are."""
    await all_have(operator, "Validating")
    await operator.until(lambda: all(operator.batch(name).duplicates_checked_time for name in NAMES), None)
    await operator.until(lambda: _told_active(operator) == JOBS, None)
    await asyncio.sleep(1.5)
    kong.clear_calls()


def _told_active(operator: Operator) -> int | None:
    found = operator.api.get("batchgateways", "kong") or {}
    told: int | None = (found.get("status") or {}).get("activeBatches")
    return told


async def run_to_their_end(operator: Operator, kong: Instance) -> None:
    kong.advance(120)
    await all_have(operator, "InProgress")
    kong.advance(3600)
    await all_have(operator, "Complete")


def asked(kong: Instance) -> int:
    return len(kong.calls("batches.get"))


def apart(kong: Instance) -> float:
    """Give the shortest time between two readings of a list that has one page."""
    moments = [call["time"] for call in searches(kong)]
    return min((later - earlier for earlier, later in itertools.pairwise(moments)), default=math.inf)


async def test_their_list_is_read_once_an_interval_and_none_is_looked_at_of_which_there_is_no_news(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    several(api, kong)
    await settled(operator, kong)
    before, began, written = passes(operator), time.monotonic(), len(api.stored)
    await asyncio.sleep(3.5)
    rounds = time.monotonic() - began + 1
    assert 2 <= len(searches(kong)) <= rounds
    # One batch a round is asked for itself.
    assert asked(kong) <= rounds
    assert passes(operator) - before <= rounds
    assert len(api.stored) == written


async def test_news_of_one_has_that_one_looked_at(operator: Operator, api: ApiServer, kong: Instance) -> None:
    several(api, kong)
    await settled(operator, kong)
    await run_to_their_end(operator, kong)
    assert len(kong.batches()) == JOBS
    # How it has ended is asked of each batch itself.
    assert JOBS <= asked(kong) <= 3 * JOBS


@pytest.mark.parametrize(
    "config",
    [
        {"list_stale": True},
        {"list_lag_seconds": 10**6},
        {"list_supported": False},
        {"list_order": "none"},
        {"list_order": "oldest"},
        {"list_follows": False, "page_size": 2},
        {"page_size": 1},
    ],
    ids=["stale", "late", "none", "unsorted", "the oldest first", "the first page for ever", "more pages than batches"],
)
async def test_a_list_that_is_of_no_help_keeps_no_batch_from_being_followed(
    operator: Operator, api: ApiServer, kong: Instance, config: dict[str, object]
) -> None:
    kong.configure(**config)
    several(api, kong)
    await all_have(operator, "Validating")
    await run_to_their_end(operator, kong)
    assert len(kong.batches()) == JOBS


async def test_a_list_that_begins_to_stand_still_is_found_out(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    several(api, kong)
    await settled(operator, kong)
    kong.configure(list_stale=True)
    await run_to_their_end(operator, kong)


async def test_a_list_that_fails_has_the_batches_polled_one_by_one(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    several(api, kong)
    await settled(operator, kong)
    kong.fault("status", "batches.list", times=-1, status=503)
    kong.advance(120)
    await all_have(operator, "InProgress")
    kong.clear_faults()
    kong.advance(3600)
    await all_have(operator, "Complete")


async def test_entries_that_a_list_has_lost_are_asked_for(operator: Operator, api: ApiServer, kong: Instance) -> None:
    several(api, kong)
    await settled(operator, kong)
    # So many newer ones that ours are beyond the pages that are worth reading.
    kong.configure(page_size=2)
    kong.insert_batch(count=40, status="completed")
    await run_to_their_end(operator, kong)


async def test_an_operator_that_begins_anew_reads_the_list_first(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path).running() as operator:
        several(api, kong)
        await settled(operator, kong)
    kong.advance(120)
    kong.clear_calls()
    async with Operator(api, tmp_path).running() as operator:
        await all_have(operator, "InProgress")
        # The first is asked for itself, before there are several; and one a round.
        assert asked(kong) < JOBS
        kong.advance(3600)
        await all_have(operator, "Complete")
    assert len(kong.batches()) == JOBS


async def test_jobs_that_look_for_others_of_their_batch_share_a_reading(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    # Each page takes its time, so that the next reading waits for the poll interval, which is the longest it ever does.
    kong.fault("delay", "batches.list", times=-1, seconds=0.2)
    async with Operator(api, tmp_path, settle_seconds=120).running() as operator:
        several(api, kong)
        await all_have(operator, "Validating")
        kong.clear_calls()
        kong.advance(3600)
        await all_have(operator, "Complete")
        assert all(operator.batch(name).duplicates_checked_time for name in NAMES)
        assert apart(kong) > 0.9


async def test_answers_that_were_lost_together_are_looked_for_together(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.fault("reset_after", "batches.create", times=JOBS)
    kong.fault("delay", "batches.list", times=-1, seconds=0.2)
    async with Operator(api, tmp_path, settle_seconds=30).running() as operator:
        several(api, kong)
        await all_have(operator, "Validating")
    assert apart(kong) > 0.9
    assert len(kong.batches()) == JOBS


async def test_all_that_goes_through_a_gateway_keeps_to_its_calls_a_minute(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    several(api, kong, limits={"requestsPerMinute": 120})
    await all_have(operator, "Validating")
    calls = kong.calls()
    seconds = calls[-1]["time"] - calls[0]["time"]
    # A sixth at once, the others spread over the minute; and one that was let go while the last was on its way.
    assert len(calls) <= 20 + 100 / 60 * seconds + 1
    assert len(kong.batches()) == JOBS


# --- readings ------------------------------------------------------------------------------------------------------------


async def test_a_page_is_read_once_for_all_who_ask_also_when_one_of_them_gives_up(kong: Instance) -> None:
    kong.fault("delay", "batches.list", times=-1, seconds=0.3)
    gateway = Gateway.connect(build.connection(url=kong.url), {})
    try:
        reading = Reading(gateway, Gateway.list_batches)
        given_up, other = asyncio.create_task(reading.page(None)), asyncio.create_task(reading.page(None))
        await asyncio.sleep(0.1)
        given_up.cancel()
        assert isinstance(await other, Answered)
        assert isinstance(await reading.page(None), Answered)
        assert len(searches(kong)) == 1
        assert reading.pages == 1
        assert not reading.failed
    finally:
        await gateway.close()


async def lists_slowly(operator: Operator, api: ApiServer, kong: Instance) -> Client:
    """Make a gateway whose lists take their time, and give the operator's client for it."""
    kong.fault("delay", "batches.list", times=-1, seconds=0.2)
    api.put("batchgateways", build.batchgateway(kong.url, pollIntervalSeconds=1))
    await operator.until(lambda: operator.gateway_reason() == "GatewayReady", None)
    client = await operator.runtime.gateways.resolve(Key("BatchGateway", NAMESPACE, "kong"))
    assert isinstance(client, Client)
    return client


async def test_a_question_is_answered_by_a_reading_that_began_after_it_was_asked(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    client = await lists_slowly(operator, api, kong)
    readings = Readings(Gateway.list_batches)
    first = readings.ask(client, "a")
    assert isinstance(first, Reading)
    await first.page(None)
    asked = time.monotonic()
    waits = [readings.ask(client, name) for name in ("a", "b", "c")]
    assert all(isinstance(wait, float) and 0 < wait <= 1 for wait in waits)
    await asyncio.sleep(max(wait for wait in waits if isinstance(wait, float)))
    found = [readings.ask(client, name) for name in ("a", "b")]
    assert isinstance(found[0], Reading)
    assert found[0] is found[1] is not first
    assert found[0].began > asked
    # One that asks about something else by now has asked just now.
    assert isinstance(readings.ask(client, "c", "something else"), float)


@pytest.mark.parametrize("interval", [10, 60, 600])
@pytest.mark.parametrize("count", [2, 30, 249, 250, 500, 10_000])
def test_one_without_news_is_left_alone_until_its_turn_to_be_checked_has_come(count: int, interval: int) -> None:
    turn = interval * count / checked(count)
    rest = rest_seconds(count, interval)
    assert REST_SECONDS <= rest <= LONGEST_REST_SECONDS
    assert rest > turn or rest == LONGEST_REST_SECONDS


async def test_one_that_was_removed_by_force_is_followed_no_longer(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    several(api, kong)
    await settled(operator, kong)
    uid = operator.job(NAMES[0])["metadata"]["uid"]
    assert operator.runtime.rounds.of(uid) is not None
    api.edit("batchjobs", NAMES[0], {"metadata": {"finalizers": None}})
    api.remove("batchjobs", NAMES[0])
    if api.get("batchjobs", NAMES[0]) is not None:
        api.edit("batchjobs", NAMES[0], {"metadata": {"finalizers": None}})
    # It would be looked at, and looked for in the list page by page, for as long as this process lives.
    await operator.until(lambda: operator.runtime.rounds.of(uid) is None, None)
