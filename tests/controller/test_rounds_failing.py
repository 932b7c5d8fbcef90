"""A list of batches that can't be read for a while: their batches are asked for one by one for no longer than need be, and never
where the gateway has asked to be left in peace."""

import asyncio
import time

import pytest

from llmbatch.batch.directory.rounds import CALL_SECONDS
from tests.controller.test_duplicates import searches
from tests.controller.test_rounds import JOBS, NAMES, all_have, asked, settled, several
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator


async def test_after_one_reading_that_failed_the_list_is_read_again(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    several(api, kong)
    await settled(operator, kong)
    kong.fault("status", "batches.list", status=502)
    # All are asked for once.
    await operator.until(lambda: asked(kong) >= JOBS, None)
    await asyncio.sleep(1.5)
    kong.clear_calls()
    began = time.monotonic()
    await asyncio.sleep(3.5)
    rounds = time.monotonic() - began + 1
    assert len(searches(kong)) >= 2
    assert asked(kong) <= rounds, "one a round, as always"


async def test_a_list_that_goes_on_failing_is_read_ever_more_rarely(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    several(api, kong)
    await settled(operator, kong)
    kong.fault("status", "batches.list", status=502, times=-1)
    await asyncio.sleep(9)
    # In the first round, the next, the one after the next, and then not for three.
    assert 2 <= len(searches(kong)) <= 5
    kong.advance(120)
    await all_have(operator, "InProgress")


@pytest.mark.parametrize("status", [429, 503])
async def test_while_a_gateway_asks_to_be_left_in_peace_nobody_is_asked_for_and_then_the_list_first(
    operator: Operator, api: ApiServer, kong: Instance, status: int
) -> None:
    several(api, kong)
    await settled(operator, kong)
    written = len(api.writes("batchjobs"))
    kong.fault("status", "batches.list", status=status, retry_after=6)
    await operator.until(lambda: searches(kong), None)
    kong.clear_calls()
    await asyncio.sleep(2)
    assert asked(kong) == 0
    assert len(searches(kong)) == 0
    await operator.until(lambda: searches(kong), None)
    await asyncio.sleep(0.5)
    assert asked(kong) <= 1
    assert len(api.writes("batchjobs")) == written, "nothing has changed"
    kong.advance(120)
    await all_have(operator, "InProgress")


async def test_what_changes_while_the_list_fails_is_seen_within_the_poll_interval_and_ten_seconds(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    several(api, kong)
    await settled(operator, kong)
    kong.fault("status", "batches.list", status=502, times=-1)
    api.edit("batchgateways", "kong", {"spec": {"pollIntervalSeconds": 60}})
    rounds = operator.runtime.rounds
    await operator.until(lambda: searches(kong), None)
    followed = [rounds.of(operator.job(name)["metadata"]["uid"]) for name in NAMES]
    assert all(item is not None and (item.due or not item.rests) for item in followed)
    planned = [operator.runtime.queue.planned(item.job) for item in followed if item is not None]
    assert max(planned) <= CALL_SECONDS
