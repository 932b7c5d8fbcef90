"""However many batches a job has, and whatever is the matter with one: it is looked at at its pace, and holds up no other."""

import asyncio
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.stage import memory_of
from tests.bench.life import passes
from tests.controller.conftest import FIVE, jsonl
from tests.controller.test_duplicates import cancels
from tests.controller.test_line_for_tokens import ONE
from tests.controller.test_retries_faults import NAMES
from tests.controller.test_shortage import QUOTA
from tests.controller.test_split import SMALL, begun, made, second_is_cancelled, split_job
from tests.controller.test_split_volumes import IN, OUT
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all
from tests.support.kubelet import Kubelet


@pytest.fixture
def among_volumes(api: ApiServer, kubelet: Kubelet) -> ApiServer:
    """An API server beside which the input is in a volume too."""
    (kubelet.volume("data") / "in").mkdir()
    (kubelet.volume("data") / "in" / "batch.jsonl").write_bytes(FIVE)
    return api


@pytest.mark.parametrize("place", ["volume", "secret"])
async def test_requests_that_are_due_again_wait_for_their_gateway_and_say_so(
    api: ApiServer, kong: Instance, kubelet: Kubelet, tmp_path: Path, place: str
) -> None:
    kubelet.volume("data")
    job = split_job(backoffLimitPerRequest=1, **({"output": OUT} if place == "volume" else {}))
    async with Operator(api, tmp_path / "first", request_retry_seconds=3600).running() as first:
        apply_all(api, kong, jsonl(*NAMES), job)
        await first.until(lambda: len(made(first)) == 1)
        kong.advance(3600)
        await first.until_reason(Reason.WAITING_TO_RETRY)
        await first.quiet()
    api.remove("batchgateways", "kong")
    async with Operator(api, tmp_path / "second", recheck_seconds=15, stall_after_seconds=60).running() as second:
        await second.until(lambda: second.reason() == Reason.GATEWAY_NOT_FOUND, None)
        await second.quiet()
        before = passes(second)
        await asyncio.sleep(1)
        assert passes(second) - before <= 2
        api.put("batchgateways", build.batchgateway(kong.url))
        await second.until(lambda: len(made(second)) == 2)
        kong.advance(3600)
        await second.until_ended()
        assert second.reason() == Reason.SUCCEEDED


@pytest.mark.parametrize("place", ["volume", "secret"])
async def test_results_that_cannot_be_had_are_tried_at_their_own_pace_and_not_at_the_polls_of_another_part(
    api: ApiServer, kong: Instance, kubelet: Kubelet, tmp_path: Path, place: str
) -> None:
    kubelet.volume("data")
    job = split_job(parallelism=1, backoffLimitPerRequest=1, **({"output": OUT} if place == "volume" else {}))
    async with Operator(api, tmp_path, recheck_seconds=15).running() as operator:
        apply_all(api, kong, FIVE, job, **SMALL)
        await operator.until(lambda: len(made(operator)) == 1, None)
        kong.fault("status", "files.content", status=401, times=-1)
        kong.advance(3600)
        await operator.until(lambda: len(made(operator)) == 2 and kong.calls("files.content"), None)
        await asyncio.sleep(8)
        # At once, and after 1, 2 and 4 s; the other part is polled each second.
        assert len(kong.calls("files.content")) <= 5
        kong.clear_faults()
        # Whatever of the job is edited, it is tried at once.
        api.edit("batchjobs", "job", {"spec": {"priority": 1}})
        for count in (2, 3):
            kong.advance(3600)
            await operator.until(lambda count=count: len(made(operator)) >= count)  # type: ignore[misc]
        kong.advance(3600)
        await operator.until_ended()
        assert operator.reason() == Reason.SUCCEEDED


async def test_requests_to_be_sent_again_that_cannot_be_read_are_asked_for_at_their_own_pace(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    names = [*NAMES[:2], "three--status-400", "four", "five"]
    async with Operator(api, tmp_path, recheck_seconds=15, request_retry_seconds=3).running() as operator:
        apply_all(api, kong, jsonl(*names), split_job(backoffLimitPerRequest=1), **SMALL)
        await operator.until(lambda: len(made(operator)) == 3)
        kong.advance(3600)
        await operator.until_reason(Reason.WAITING_TO_RETRY)
        kong.fault("status", "files.content", status=401, times=-1)
        kong.clear_calls()
        await operator.until(lambda: kong.calls("files.content"))
        for _ in range(60):
            await operator.look()
            await asyncio.sleep(0.05)
        assert len(kong.calls("files.content")) <= 4
        kong.clear_faults()
        # Whatever of the job is edited, it is tried at once.
        api.edit("batchjobs", "job", {"spec": {"priority": 1}})
        await operator.until(lambda: len(made(operator)) == 4)
        kong.advance(3600)
        await operator.until_ended()
        assert operator.reason() == Reason.COMPLETED_WITH_FAILURES


async def test_a_deletion_finds_and_cancels_a_batch_though_another_part_of_its_job_cannot_get_on(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    policy = {"cleanupTimeoutSeconds": 30}
    async with Operator(api, tmp_path, settle_seconds=300).running() as operator:
        kong.configure(forced_errors=[QUOTA])
        apply_all(api, kong, jsonl("one", "two", "three"), split_job(deletionPolicy=policy), **SMALL)
        await operator.until(lambda: len(made(operator)) == 2)
        # Of the first part's second call nothing is ever listed; that of the other part makes a batch.
        kong.fault("reset_before", "batches.create")
        api.fault("status", "patch", "batchjobs", "status", status=503, times=-1, where=orders_second)
        kong.advance(100)
        await operator.until(lambda: len(kong.calls("batches.create")) == 3)
        kong.configure(forced_errors=[])
        kong.fault("reset_after", "batches.create")
        api.faults.clear()
        await operator.until(lambda: len(kong.calls("batches.create")) == 4)
        await operator.until(lambda: all(batch.submission for batch in operator.status().batches))
        (running,) = [batch["id"] for batch in kong.batches() if batch["object"]["status"] == "validating"]
        await operator.quiet()
        before = passes(operator)
        api.remove("batchjobs", "job")
        await operator.until(lambda: running in cancels(kong), None)
        assert passes(operator) <= before + 20


def orders_second(body: Json) -> bool:
    """Tell whether a write says that the second part's batch is about to be made."""
    batches = body["status"].get("batches") or []
    return len(batches) > 1 and bool(batches[1].get("submission"))


async def test_the_last_batch_of_a_gateway_that_runs_is_polled_when_no_list_is_read_any_more(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, jsonl("one", "two", "three"), split_job(), **SMALL)
    await operator.until(lambda: len(made(operator)) == 2)
    followed = operator.runtime.rounds.of
    uid = operator.job()["metadata"]["uid"]
    memories = [memory_of(uid, batch) for batch in operator.status().batches]
    await operator.until(lambda: all((found := followed(memory)) and found.rests for memory in memories), None)
    await second_is_cancelled(operator, kong)
    kong.advance(100)
    await operator.until(lambda: operator.status().batches[1].status == "cancelled", None)
    await operator.quiet()
    kong.advance(3600)
    await operator.until(lambda: operator.status().has_ended, None)


async def test_a_batch_that_was_made_is_not_said_to_wait_for_a_place(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    limits = {**SMALL["limits"], "maxActiveBatches": 1}
    apply_all(api, kong, FIVE, build.batchjob_apart("first", splitPolicy="Auto", parallelism=1), limits=limits)
    await operator.until(lambda: operator.reason("first") == Reason.VALIDATING, "first")
    api.put("batchjobs", build.batchjob_apart("job", splitPolicy="Auto", parallelism=1))
    await operator.until_reason(Reason.WAITING_FOR_SLOT)
    api.remove("batchjobs", "first")
    await operator.until(lambda: cancels(kong), "first")
    kong.advance(60)
    await operator.until_reason(Reason.VALIDATING)
    submitted = operator.status().condition("Submitted")
    assert submitted is not None
    assert (submitted.status, submitted.message) == ("False", "1 of 3 batches were made.")


@pytest.mark.parametrize(
    ("limits", "parallelism"),
    [(SMALL["limits"], 1), ({"maxEnqueuedTokens": 2 * ONE}, 0)],
    ids=["parallelism", "tokens"],
)
async def test_requests_to_be_sent_again_are_not_read_as_long_as_no_batch_of_them_may_begin(
    operator: Operator, api: ApiServer, kong: Instance, limits: Json, parallelism: int
) -> None:
    await with_one_that_waits(operator, api, kong, limits, parallelism=parallelism)
    for _ in range(10):
        await operator.look()
        await operator.quiet()
    assert kong.calls("files.content") == []
    kong.advance(3600)
    await operator.until(lambda: len(made(operator)) == 3)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED


async def test_requests_to_be_sent_again_are_not_read_for_a_job_that_is_deleted(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await with_one_that_waits(operator, api, kong, SMALL["limits"], parallelism=1)
    api.edit("batchjobs", "job", {"spec": {"parallelism": 0}})
    api.remove("batchjobs", "job")
    await operator.until(lambda: cancels(kong))
    kong.advance(60)
    await operator.until_gone()
    assert kong.calls("files.content") == []


async def with_one_that_waits(
    operator: Operator, api: ApiServer, kong: Instance, limits: Json, *, parallelism: int
) -> None:
    """Have the second part go before what is to be sent again of the first one."""
    names = ["one--status-429-times-1", "two--status-429-times-1", "three"]
    job = split_job(backoffLimitPerRequest=1, parallelism=parallelism)
    apply_all(api, kong, jsonl(*names), job, limits=limits)
    await operator.until(lambda: len(made(operator)) == 1)
    kong.advance(3600)
    await operator.until(lambda: len(made(operator)) == 2 and len(operator.status().batches) == 3)
    await operator.quiet()
    kong.clear_calls()


async def test_a_deleted_job_that_waits_for_a_cancellation_is_looked_at_at_its_pace_though_a_part_has_nothing_left(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await begun(operator, api, kong, batches=2, parallelism=2)
    await operator.quiet()
    api.remove("batchjobs", "job")
    await operator.until(lambda: len(cancels(kong)) == 2, None)
    await asyncio.sleep(0.2)
    before = passes(operator)
    await asyncio.sleep(2)
    assert passes(operator) - before <= 10
    kong.advance(60)
    await operator.until_gone()


async def test_a_job_whose_file_waits_for_a_place_is_not_called_again_and_again_for_the_tokens_of_its_next_part(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    limits = {"maxRequestsPerFile": 1, "maxActiveBatches": 1, "maxEnqueuedTokens": 12 * ONE}
    apply_all(api, kong, jsonl("one", "two"), build.batchjob_apart("first", parallelism=1), limits=limits)
    await operator.until(lambda: len(kong.batches()) == 1, None)
    api.put("batchjobs", build.batchjob_apart("job"))
    await operator.until_reason(Reason.WAITING_FOR_SLOT)
    await operator.quiet()
    before = passes(operator)
    await asyncio.sleep(2)
    assert passes(operator) - before <= 10
    for count in (2, 3, 4):
        kong.advance(3600)
        await operator.until(lambda count=count: len(kong.batches()) == count)  # type: ignore[misc]
    kong.advance(3600)
    await operator.until_ended()


@pytest.mark.parametrize(("given", "count"), [({}, 3), ({"parallelism": 2}, 2), ({"input": IN}, 3)])
async def test_the_next_part_begins_when_the_one_before_has_its_batch_and_not_when_that_is_polled(
    among_volumes: ApiServer, operator: Operator, kong: Instance, given: Json, count: int
) -> None:
    apply_all(among_volumes, kong, FIVE, split_job(**given), pollIntervalSeconds=3600, **SMALL)
    await operator.until(lambda: len(made(operator)) == count, None)
    await operator.quiet()
    before = passes(operator)
    await asyncio.sleep(1)
    assert passes(operator) - before <= 10
    assert len(kong.batches()) == count


async def test_a_part_says_that_it_waits_for_tokens_as_soon_as_the_one_before_has_its_batch(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE, split_job(), pollIntervalSeconds=3600, limits={"maxEnqueuedTokens": 2 * ONE})
    await operator.until(lambda: len(made(operator)) == 1 and operator.status().queue is not None, None)
