"""A gateway that is down: told once, and taken back once it is up."""

from pathlib import Path

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, config_map


async def test_an_outage_is_written_and_told_once_however_many_polls_fail(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    kong.fault("status", "*", status=503, times=-1, as_="kong")
    await operator.until_reason(Reason.GATEWAY_UNREACHABLE)
    await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_UNREACHABLE)
    await operator.quiet()
    writes, events = len(api.writes("batchjobs")), operator.events()
    failed = len(kong.calls("batches.get"))
    await operator.until(lambda: len(kong.calls("batches.get")) >= failed + 5)
    await operator.quiet()
    assert len(api.writes("batchjobs")) == writes
    assert operator.events() == events
    kong.clear_faults()
    await operator.until_reason(Reason.VALIDATING)


async def test_a_look_between_two_polls_does_not_hide_that_the_last_one_failed(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    await operator.quiet()
    kong.fault("status", "batches.get", status=503, times=-1, as_="kong", retry_after=600)
    await operator.look()
    await operator.quiet()
    assert operator.reason() == Reason.GATEWAY_UNREACHABLE
    polls = len(kong.calls("batches.get"))
    for label in ("one", "two", "three"):
        job = operator.job()
        api.put("batchjobs", {**job, "metadata": {**job["metadata"], "labels": {"touched": label}}})
        await operator.quiet()
        assert operator.reason() == Reason.GATEWAY_UNREACHABLE
    assert len(kong.calls("batches.get")) == polls, "a gateway that asked for ten minutes is left in peace"


async def test_a_gateway_that_hangs_does_not_hold_up_the_jobs_of_another(
    api: ApiServer, emulator: EmulatorServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, workers=8).running() as operator:
        other = emulator.instance(validating_seconds=60)
        api.put("configmaps", config_map("prompts", "batch.jsonl", FIVE))
        api.put("batchgateways", build.batchgateway(kong.url))
        api.put("batchgateways", build.batchgateway(other.url, "other"))
        await operator.until(lambda: operator.gateway_reason("kong") == Reason.GATEWAY_READY, None)
        await operator.until(lambda: operator.gateway_reason("other") == Reason.GATEWAY_READY, None)
        kong.fault("hang_after", "files.create", times=-1, seconds=4)
        hanging = [f"hanging-{number}" for number in range(12)]
        for name in hanging:
            api.put("batchjobs", build.batchjob_apart(name))
        await operator.until(lambda: kong.calls("files.create") or kong.files(), None)
        api.put("batchjobs", build.batchjob_apart("free", gatewayRef={"name": "other"}))
        await operator.until(lambda: operator.status("free").summary.submission_time, None)
        assert not [name for name in hanging if operator.status(name).input], "it did not have to wait for them"
        kong.clear_faults()
