"""Clocks that are ten minutes off, in any combination, do no harm.

The operator's own clock can't be moved in a test, so the API server's and the gateway's are moved against it: what counts
is how far each is off the others.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmbatch.api.base import timestamp
from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, config_map

OFF = 600.0
SETTLE_SECONDS = 3.5

skewed = pytest.mark.parametrize(
    ("cluster", "gateway"),
    [
        pytest.param(cluster, gateway, id=f"API server {cluster:+.0f} s, gateway {gateway:+.0f} s")
        for cluster in (-OFF, 0.0, OFF)
        for gateway in (0.0, OFF)
    ],
)


@pytest.fixture
def clocks(api: ApiServer, kong: Instance, cluster: float, gateway: float) -> None:
    api.clock_offset_seconds = cluster
    kong.advance(gateway)


async def finished(operator: Operator, kong: Instance) -> None:
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert len(kong.batches()) == 1


@skewed
@pytest.mark.usefixtures("clocks")
async def test_a_lost_answer_is_adopted(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.fault("reset_after", "batches.create")
    apply_all(api, kong, FIVE)
    await finished(operator, kong)
    assert len(kong.calls("batches.create")) == 1
    duration = operator.runtime.metrics.registry.get_sample_value(
        "llmbatch_job_duration_seconds_sum", {"result": "complete"}
    )
    assert duration is not None
    assert 0 <= duration < OFF


@skewed
@pytest.mark.usefixtures("clocks")
async def test_a_lost_answer_is_adopted_by_the_next_process(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    async with Operator(api, tmp_path).running() as first:
        api.put("configmaps", config_map("prompts", "batch.jsonl", FIVE))
        api.put("batchgateways", build.batchgateway(kong.url))
        await first.until(lambda: first.gateway_reason() == Reason.GATEWAY_READY, None)
        kong.fault("reset_after", "batches.create")
        # Nothing is looked up before the process ends.
        kong.fault("status", "batches.list", status=503, times=-1)
        api.put("batchjobs", build.batchjob())
        await first.until(lambda: kong.calls("batches.create"))
        await first.until_reason(Reason.GATEWAY_UNREACHABLE)
    assert first.status().summary.submission is not None
    kong.clear_faults()
    async with Operator(api, tmp_path).running() as second:
        await finished(second, kong)
    assert len(kong.calls("batches.create")) == 1


@skewed
@pytest.mark.usefixtures("clocks")
async def test_a_call_that_never_arrived_is_repeated_after_the_settle_period_by_whichever_process(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.fault("reset_before", "batches.create")
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as first:
        apply_all(api, kong, FIVE)
        await first.until_reason(Reason.SUBMISSION_PENDING)
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as second:
        await finished(second, kong)
        assert second.status().summary.attempts == 2
    began, repeated = (call["time"] for call in kong.calls("batches.create"))
    # intentTime and the Date header have whole seconds, and each process learns the clock for itself.
    assert repeated - began >= SETTLE_SECONDS - 2.5


async def test_an_intent_from_the_future_is_waited_for_no_longer_than_the_settle_period(
    api: ApiServer, among: Among, tmp_path: Path
) -> None:
    among.fault("reset_before", "batches.create")
    async with Operator(api, tmp_path, settle_seconds=600).running() as first:
        among.apply(api)
        await among.until_reason(first, Reason.SUBMISSION_PENDING)
        await first.quiet()
    ahead = timestamp(datetime.now(UTC) + timedelta(seconds=OFF))
    intent = {"attempt": 1, "intentTime": ahead}
    api.put("batchjobs", {**first.job(), "status": among.retold(first, submission=intent)})
    async with Operator(api, tmp_path, settle_seconds=1).running() as second:
        await among.ended(second)
        assert among.reason(second) == Reason.SUCCEEDED
        assert len(among.states()) == 1
        assert among.batch(second).create_calls == 2


@skewed
@pytest.mark.usefixtures("clocks")
async def test_deletion_with_the_gateway_down_takes_the_clean_up_time(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, cleanup_timeout_seconds=3).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until(lambda: operator.status().summary.submission_time)
        kong.fault("status", "*", status=503, times=-1)
        began = asyncio.get_running_loop().time()
        api.remove("batchjobs", "job")
        await operator.until_gone()
        took = asyncio.get_running_loop().time() - began
    # deletionTimestamp and the Date header have whole seconds; the upper end is the test's own patience.
    assert took >= 1
    assert ("Warning", "RemoteFilesRetained") in operator.events()


@skewed
@pytest.mark.usefixtures("clocks")
async def test_what_is_stored_is_of_the_api_servers_clock(
    operator: Operator, api: ApiServer, kong: Instance, cluster: float
) -> None:
    apply_all(api, kong, FIVE)
    await finished(operator, kong)
    await operator.until(lambda: ("Normal", "Succeeded") in operator.events(), None)
    now, status = datetime.now(UTC) + timedelta(seconds=cluster), operator.status()
    gateway = api.get("batchgateways", "kong")
    assert gateway is not None
    told = [status.start_time, status.completion_time, *(item.last_transition_time for item in status.conditions)]
    told += [datetime.fromisoformat(event["firstTimestamp"]) for event in api.objects("events")]
    told += [datetime.fromisoformat(gateway["status"]["conditions"][0]["lastTransitionTime"])]
    for moment in told:
        assert moment is not None
        assert abs(moment - now) < timedelta(seconds=120)
