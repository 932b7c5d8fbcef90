"""Status writes that the API server refuses for hours: nothing is ordered unrecorded, nothing spins, somebody is told."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all

REFUSED = ("Warning", "StatusRefused")


def anything(_: Json) -> bool:
    return True


def intends(body: Json) -> bool:
    return bool((body.get("status") or {}).get("submission"))


def states_id(body: Json) -> bool:
    return any(batch.get("id") for batch in (body.get("status") or {}).get("batches") or [])


def says_it_runs(body: Json) -> bool:
    return (body.get("status") or {}).get("phase") == "Validating"


def ends(body: Json) -> bool:
    return bool((body.get("status") or {}).get("completionTime"))


@pytest.mark.parametrize("status", [403, 422, 500, 504])
@pytest.mark.parametrize(
    "where",
    [
        pytest.param(anything, id="before the intent"),
        pytest.param(intends, id="at the intent"),
        pytest.param(states_id, id="at the batch's id"),
        pytest.param(says_it_runs, id="when a pass is published"),
        pytest.param(ends, id="at the end"),
    ],
)
async def test_it_is_told_and_goes_on_once_it_is_accepted(
    operator: Operator, api: ApiServer, kong: Instance, where: Callable[[Json], bool], status: int
) -> None:
    refused = api.fault("status", "patch", "batchjobs", "status", status=status, times=-1, where=where)
    apply_all(api, kong, FIVE)
    if where is ends:
        await operator.until(lambda: operator.status().summary.submission_time)
        kong.advance(3600)
    await operator.until(lambda: REFUSED in operator.events())
    told = [event for event in api.objects("events") if event["reason"] == Reason.STATUS_REFUSED]
    assert f"made to fail (status {status})" in told[0]["message"]
    for _ in range(5):
        await operator.look()
        await operator.quiet()
    assert operator.events().count(REFUSED) == 1, "it is told of rarely"
    assert len(kong.calls("batches.create")) == (0 if where in (anything, intends) else 1)
    refused.times = 0
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert len(kong.batches()) == 1
    assert ("Normal", "Adopted") not in operator.events()


async def test_the_delays_between_two_tries_grow(operator: Operator, api: ApiServer, kong: Instance) -> None:
    api.fault("status", "patch", "batchjobs", "status", status=403, times=-1)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: REFUSED in operator.events(), None)
    await asyncio.sleep(1.5)
    # At once, after 1 s, after 2 s more; once more for the gateway that has become ready.
    assert len(api.writes("batchjobs")) <= 4


async def test_the_jobs_of_other_gateways_go_on_and_stopping_does_not_wait_out_a_delay(
    api: ApiServer, emulator: EmulatorServer, kong: Instance, tmp_path: Path
) -> None:
    def is_of_the_first(body: Json) -> bool:
        batches = (body.get("status") or {}).get("batches") or []
        return bool({batch.get("id") for batch in batches} & {batch["id"] for batch in kong.batches()})

    async with Operator(api, tmp_path, workers=8).running() as operator:
        refused = api.fault("status", "patch", "batchjobs", "status", status=403, times=-1, where=is_of_the_first)
        other = emulator.instance(validating_seconds=60)
        apply_all(api, kong, FIVE, *(build.batchjob_apart(f"stuck-{number}") for number in range(4)))
        await operator.until(lambda: len(kong.calls("batches.create")) >= 2, None)
        api.put("batchgateways", build.batchgateway(other.url, "other"))
        api.put("batchjobs", build.batchjob_apart("free", gatewayRef={"name": "other"}))
        await operator.until(lambda: operator.status("free").summary.submission_time, None)
        await asyncio.sleep(2)
        # By now the delays are longer than a second, and grow to half a minute.
        refused.times = 0
        async with asyncio.timeout(5):
            await operator.runtime.submitter.drain()
        made = [status for number in range(4) if (status := operator.status(f"stuck-{number}")).batches]
        assert len([status for status in made if status.batches[0].id]) == len(kong.batches())


async def test_it_is_told_of_an_object_that_is_made_anew_under_the_name(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    api.fault("status", "patch", "batchjobs", "status", status=403, times=-1)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: REFUSED in operator.events())
    api.remove("batchjobs", "job")
    api.put("batchjobs", build.batchjob())
    await operator.until(lambda: operator.events().count(REFUSED) == 2)
    told = {event["involvedObject"]["uid"] for event in api.objects("events") if event["reason"] == "StatusRefused"}
    assert len(told) == 2
