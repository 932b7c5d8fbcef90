"""What a look at a job costs: it is by what is known, and the API server is asked before anything is done on that ground."""

import asyncio
from collections import Counter
from pathlib import Path

from llmbatch.api.reasons import Reason
from llmbatch.transfers.inputs import LARGEST_BYTES
from tests.bench.life import passes
from tests.controller.conftest import FIVE, jsonl
from tests.controller.test_api_outage import JOB
from tests.controller.test_waiting import KEY
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, config_map, secret


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
    # For what is sent; what is small is remembered for the order of the results.
    assert found["get configmaps"] == 1
    assert kong.calls("files.get") == []
    await operator.runtime.recorder.flush(1)
    # With two writes of what a poll has found, one for each poll interval, it is 14 in all.
    assert sum(count for call, count in calls(api).items() if "batchgateways" not in call) <= 12


async def test_of_a_job_without_trouble_it_is_told_how_it_ended(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    kong.advance(90)
    await operator.until(lambda: operator.reason() == Reason.IN_PROGRESS, None)
    kong.advance(3600)
    await operator.until_ended()
    await operator.until(lambda: ("Normal", "Succeeded") in operator.events(), None)
    assert [event for event in operator.events() if event[1] != Reason.GATEWAY_READY] == [("Normal", "Succeeded")]


async def test_of_a_job_that_was_held_up_it_is_told_that_it_goes_on(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(file_pending_seconds=600)
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.FILE_PENDING)
    kong.advance(700)
    await operator.until(lambda: ("Normal", "Validating") in operator.events())


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


async def test_jobs_that_end_at_the_same_time_cost_no_more_calls_than_a_single_one(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    # Their ends wait for readings of the gateway's lists that many share, which take a while.
    kong.fault("delay", "batches.list", times=-1, seconds=0.2)
    kong.fault("delay", "files.list", times=-1, seconds=0.3)
    names = [f"job-{number}" for number in range(12)]
    jobs = [build.batchjob_apart(name) for name in names]
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_READY, None)
    for job in jobs:
        api.put("batchjobs", job)
    await operator.until(lambda: all(operator.reason(name) == Reason.VALIDATING for name in names), None)
    kong.advance(3600)
    for name in names:
        await operator.until_ended(name)
    await operator.until(lambda: not any(operator.job(name)["metadata"].get("finalizers") for name in names), None)
    for name in names:
        found = Counter(f"{call.verb} {call.plural}" for call in api.calls if call.name == name)
        # While a batch runs, others are looked for once the settle period is over, and that is told.
        assert found["patch batchjobs"] <= 8
        assert found["get batchjobs"] <= 3
        assert found["get secrets"] == 1


async def test_files_stay_that_somebody_wants_to_keep_while_other_batches_are_looked_for(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    kong.fault("delay", "batches.list", times=-1, seconds=2)
    kong.advance(3600)
    await operator.until(lambda: operator.status().output is not None, None)
    await asyncio.sleep(0.3)
    # The watch doesn't tell of it.
    api.on_change.clear()
    api.edit("batchjobs", "job", {"spec": {"remoteFiles": "Retain"}})
    await operator.until_ended()
    assert not any(file["deleted"] for file in kong.files())


async def test_an_input_in_the_cluster_is_not_downloaded_again_unless_it_has_changed(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    jobs = [build.batchjob_apart(name) for name in ("same", "changed")]
    # What is small is remembered, and this is not.
    large = FIVE + jsonl(*(f"more-{number}" for number in range(LARGEST_BYTES // 100)))
    assert len(large) > LARGEST_BYTES
    apply_all(api, kong, large, jobs[0])
    await operator.until(lambda: operator.reason("same") == Reason.VALIDATING, None)
    kong.advance(3600)
    await operator.until_ended("same")
    assert len(kong.calls("files.content")) == 1
    api.put("batchjobs", jobs[1])
    await operator.until(lambda: operator.reason("changed") == Reason.VALIDATING, None)
    api.edit("configmaps", "prompts", {"data": {"batch.jsonl": large.decode().replace('"one"', '"six"')}})
    kong.advance(3600)
    await operator.until_ended("changed")
    # The results, and the input as it was sent.
    assert len(kong.calls("files.content")) == 3
    assert b'"one"' in api.data("secrets", "changed", "r.jsonl")


async def test_a_small_input_that_has_changed_since_is_remembered_as_it_was_sent(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    api.edit("configmaps", "prompts", {"data": {"batch.jsonl": FIVE.decode().replace('"one"', '"six"')}})
    kong.advance(3600)
    await operator.until_ended()
    assert len(kong.calls("files.content")) == 1
    assert b'"one"' in api.data("secrets", "results", "r.jsonl")


async def test_a_secret_that_is_missing_is_not_read_for_each_job_of_its_gateway(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    names = [f"job-{number}" for number in range(20)]
    async with Operator(api, tmp_path, recheck_seconds=0.2).running() as operator:
        apply_all(api, kong, FIVE, *map(build.batchjob_apart, names), headers=KEY)
        await operator.until(lambda: all(operator.reason(name) == Reason.CREDENTIALS_NOT_FOUND for name in names), None)
        before, looked = calls(api)["get secrets"], passes(operator)
        while passes(operator) < looked + 10 * len(names):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)
        # The gateway is looked at as often as each of them.
        assert calls(api)["get secrets"] - before <= 3 * 10
        api.put("secrets", secret("consumer", apikey="k"))
        await operator.until(lambda: len(kong.batches()) == len(names), None)
