"""What a look at a job costs: it is by what is known, and the API server is asked before anything is done on that ground."""

import asyncio
from collections import Counter

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.controller.test_api_outage import JOB
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, config_map


def calls(api: ApiServer) -> Counter[str]:
    return Counter(f"{call.verb} {call.plural}" for call in api.calls)


async def test_the_life_of_a_job_costs_few_calls(operator: Operator, api: ApiServer, kong: Instance) -> None:
    api.put("configmaps", config_map("prompts", "batch.jsonl", FIVE))
    api.put("batchgateways", build.batchgateway(kong.url))
    await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_READY, None)
    api.calls.clear()
    api.put("batchjobs", build.batchjob())
    await operator.until(lambda: operator.reason() == Reason.VALIDATING, None)
    kong.advance(3600)
    await operator.until_ended()
    await operator.until(lambda: not operator.job()["metadata"].get("finalizers"), None)
    found = calls(api)
    # Seen, uploaded with the intent, made, ended with the results, finished; the finalizer comes and goes.
    assert found["patch batchjobs"] == 7
    # What was answered just now is not asked for.
    assert found["get batchjobs"] <= 2
    # Before the batch is ordered; at the end the results are there, or are not.
    assert found["get secrets"] == 1
    assert found["create secrets"] == 1
    # For what is sent, and for the order of the results.
    assert found["get configmaps"] == 2
    assert kong.calls("files.get") == []


async def test_a_look_between_two_polls_asks_nobody(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    await operator.until(lambda: operator.batch().duplicates_checked_time)
    await operator.quiet()
    # The gateway's status tells how many batches are active a second later.
    await asyncio.sleep(1.5)
    api.calls.clear()
    kong.clear_calls()
    for _ in range(3):
        await operator.runtime.queue.add(JOB)
        await operator.quiet()
    assert calls(api) == {}
    assert kong.calls() == []


async def test_nothing_is_ordered_for_a_job_that_was_deleted_while_the_watch_was_silent(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(file_pending_seconds=600)
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.FILE_PENDING)
    await operator.quiet()
    api.on_change.clear()
    api.remove("batchjobs", "job")
    # What the API server answered last is not of just now any more.
    await asyncio.sleep(1.2)
    kong.advance(700)
    await operator.until_gone()
    assert kong.calls("batches.create") == []
    assert all(file["deleted"] for file in kong.files())


async def test_a_finalizer_and_an_upload_are_one_pass_and_a_long_upload_is_told_of(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("delay", "files.create", seconds=5)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.reason() == Reason.UPLOADING, None)
    assert kong.files() == []
    await operator.until(lambda: operator.reason() == Reason.VALIDATING, None)
    await operator.quiet()
    assert operator.events().count(("Normal", "Uploading")) == 1


async def test_an_input_in_the_cluster_is_not_downloaded_again_unless_it_has_changed(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    jobs = [build.batchjob(name, output={"secret": {"name": name, "key": "r.jsonl"}}) for name in ("same", "changed")]
    apply_all(api, kong, FIVE, jobs[0])
    await operator.until(lambda: operator.reason("same") == Reason.VALIDATING, None)
    kong.advance(3600)
    await operator.until_ended("same")
    assert len(kong.calls("files.content")) == 1
    api.put("batchjobs", jobs[1])
    await operator.until(lambda: operator.reason("changed") == Reason.VALIDATING, None)
    api.edit("configmaps", "prompts", {"data": {"batch.jsonl": FIVE.decode().replace('"one"', '"six"')}})
    kong.advance(3600)
    await operator.until_ended("changed")
    # The results, and the input as it was sent.
    assert len(kong.calls("files.content")) == 3
    assert b'"one"' in api.data("secrets", "changed", "r.jsonl")
