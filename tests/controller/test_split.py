"""A job whose input is too large for one batch: its parts are batches of their own, its result is one."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmbatch.api.batchjob_status import Phase
from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE, jsonl
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import LATER, cancels, states
from tests.controller.test_strays import left
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all, config_map

SMALL: Json = {"limits": {"maxRequestsPerFile": 2}}
IDS = [json.loads(line)["custom_id"] for line in FIVE.splitlines()]


def split_job(**given: Any) -> Json:
    """Make a job that waits for its clean-up however busy the machine is."""
    policy = {"cleanupTimeoutSeconds": 120, **given.pop("deletionPolicy", {})}
    return build.batchjob(splitPolicy="Auto", deletionPolicy=policy, **given)


def made(operator: Operator) -> list[str]:
    """Give the ids of the batches that the status knows."""
    return [batch.id for batch in operator.status().batches if batch.id is not None]


async def begun(operator: Operator, api: ApiServer, kong: Instance, *, batches: int = 3, **given: Any) -> None:
    """Apply a job of three parts, and wait until so many batches were made."""
    apply_all(api, kong, given.pop("content", FIVE), split_job(**given), **SMALL)
    await operator.until(lambda: len(made(operator)) >= batches)


async def second_is_cancelled(operator: Operator, kong: Instance) -> None:
    """Have a person cancel the second batch at the provider."""
    second = operator.status().batches[1].id
    async with httpx.AsyncClient() as person:
        (await person.post(f"{kong.url}/batches/{second}/cancel")).raise_for_status()


def stored(api: ApiServer, suffix: str = "") -> list[str]:
    """Give the custom_ids of the stored lines."""
    lines = api.data("secrets", "results", f"r.jsonl{suffix}").splitlines()
    return [json.loads(line)["custom_id"] for line in lines]


async def succeeds(operator: Operator, api: ApiServer, kong: Instance, *, batches: int = 3) -> None:
    """Let all batches end, and see that there is one result of all, and nothing left."""
    await operator.until(lambda: len(made(operator)) >= batches)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert stored(api) == IDS
    assert left(kong) == []
    assert sorted(status for status in states(kong).values() if status != "cancelled") == ["completed"] * batches


async def test_its_parts_become_one_result_in_the_order_of_the_input(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await begun(operator, api, kong)
    status = operator.status()
    cuts = [(batch.part, batch.first_request, batch.requests) for batch in status.batches]
    assert (status.parts, cuts) == (3, [(0, 0, 2), (1, 2, 2), (2, 4, 1)])
    assert [call["metadata"]["llmbatch_part"] for call in (batch["object"] for batch in kong.batches())] == [
        "0",
        "1",
        "2",
    ]
    await succeeds(operator, api, kong)
    status = operator.status()
    assert status.phase is Phase.COMPLETE
    assert status.output is not None
    assert (status.output.requests, status.request_counts and status.request_counts.completed) == (5, 5)
    assert len(kong.calls("batches.create")) == 3


async def test_batches_that_were_searched_for_others_before_their_end_are_cleaned_up_at_once(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await begun(operator, api, kong)
    await operator.until(lambda: all(batch.duplicates_checked_time for batch in operator.status().batches))
    await succeeds(operator, api, kong)


async def test_where_it_was_cut_is_in_status_before_anything_is_sent_and_stays_though_limits_change(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "files.create", status=503, times=-1)
    apply_all(api, kong, FIVE, split_job(), **SMALL)
    await operator.until(lambda: operator.status().parts)
    assert left(kong) == []
    api.edit("batchgateways", "kong", {"spec": {"limits": {"maxRequestsPerFile": 1}}})
    kong.clear_faults()
    await succeeds(operator, api, kong)


async def test_without_leave_an_input_that_is_too_large_is_refused(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE, build.batchjob(splitPolicy="Never"), **SMALL)
    await operator.until_ended()
    assert operator.reason() == Reason.INVALID_INPUT
    assert kong.batches() == []


async def test_no_more_batches_are_at_the_provider_than_parallelism_says(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await begun(operator, api, kong, batches=1, parallelism=1)
    await operator.until_reason(Reason.VALIDATING)
    for number in range(1, 4):
        await operator.quiet()
        assert len(kong.batches()) == len(made(operator)) == number
        kong.advance(3600)
        await operator.until(lambda number=number: len(made(operator)) > number or operator.status().holds("Complete"))  # type: ignore[misc]
    assert stored(api) == IDS


async def test_its_batches_keep_the_gateways_limit_together_with_those_of_others(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    limits = {"limits": {"maxRequestsPerFile": 2, "maxActiveBatches": 2}}
    other = build.batchjob(
        "other",
        input={"configMap": {"name": "short", "key": "batch.jsonl"}},
        output={"secret": {"name": "other", "key": "r"}},
    )
    api.put("configmaps", config_map("short", "batch.jsonl", jsonl("x")))
    apply_all(api, kong, FIVE, split_job(), other, **limits)
    await operator.until(lambda: len(kong.batches()) == 2)
    while not (operator.status().holds("Complete") and operator.status("other").holds("Complete")):
        await operator.quiet()
        active = [status for status in states(kong).values() if status not in ("completed", "cancelled")]
        assert len(active) <= 2
        kong.advance(3600)
        await operator.look()
        await operator.look("other")
    assert stored(api) == IDS
    assert len(kong.batches()) == 4


async def test_the_gateways_status_counts_every_batch(operator: Operator, api: ApiServer, kong: Instance) -> None:
    await begun(operator, api, kong)

    def active() -> object:
        return ((api.get("batchgateways", "kong") or {}).get("status") or {}).get("activeBatches")

    await operator.until(lambda: active() == 3)


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        pytest.param({"kind": "reset_after"}, 3, id="its answer is lost"),
        pytest.param({"kind": "garbled"}, 3, id="its answer can't be read"),
        pytest.param({"kind": "reset_before"}, 4, id="the call is lost"),
        pytest.param({"kind": "accepted_status", "status": 504}, 3, id="a proxy gave up"),
        pytest.param({"kind": "accepted_status", "status": 400}, 3, id="a refusal hides it"),
        pytest.param({"kind": "status", "status": 429, "retry_after": "1"}, 4, id="it is throttled"),
        pytest.param({"kind": "status", "status": 503}, 4, id="it is refused for a moment"),
    ],
)
async def test_whatever_becomes_of_the_second_create_call_there_is_one_batch_of_each_part(
    operator: Operator, api: ApiServer, kong: Instance, fault: Json, calls: int
) -> None:
    kong.fault(**{"operation": "batches.create", "skip": 1, **fault})
    apply_all(api, kong, FIVE, split_job(), **SMALL)
    await succeeds(operator, api, kong)
    assert len(kong.calls("batches.create")) == calls
    assert counted(operator, "duplicate_batches") == 0


async def test_a_duplicate_of_the_second_batch_is_cancelled_and_no_other_batch(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("repeat", "batches.create", seconds=LATER, skip=1)
    await begun(operator, api, kong)
    await operator.until(lambda: cancels(kong))
    await operator.until(lambda: counted(operator, "duplicate_batches"), None)
    _, second, _ = kong.calls("batches.create")
    assert set(cancels(kong)) == {second["answer_id"]}
    await succeeds(operator, api, kong)
    assert counted(operator, "duplicate_batches") == 1


async def test_another_operator_goes_on_with_every_batch(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    kong.fault("hang_after", "batches.create", seconds=30, skip=1)
    async with Operator(api, tmp_path / "first").running() as first:
        apply_all(api, kong, FIVE, split_job(), **SMALL)
        await first.until(lambda: len(kong.batches()) == 2, None)
    async with Operator(api, tmp_path / "second").running() as second:
        await succeeds(second, api, kong)
    assert len(kong.batches()) == 3


async def test_a_part_that_the_provider_refuses_fails_and_the_others_go_on(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "batches.create", status=400, skip=1, message="Not this one.", times=1)
    apply_all(api, kong, FIVE, split_job(), **SMALL)
    await operator.until(
        lambda: len(made(operator)) == 2 and operator.status().batches[1].state and operator.status().batches[2].id
    )
    kong.advance(3600)
    status = await operator.until_ended()
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert stored(api) == ["one", "two", "five"]
    assert stored(api, ".errors") == ["three", "four"]
    assert status.request_counts is not None
    assert (status.request_counts.completed, status.request_counts.failed) == (3, 2)
    ready = status.condition("Ready")
    assert ready is not None
    assert "part 1: RequestRefused" in ready.message
    assert "then the job ends" not in json.dumps(api.stored), "the others are at work"
    assert left(kong) == []


async def test_a_batch_that_expires_or_is_cancelled_keeps_what_it_has_answered(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await begun(operator, api, kong)
    await second_is_cancelled(operator, kong)
    kong.advance(3600)
    status = await operator.until_ended()
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert stored(api) == ["one", "two", "five"]
    assert status.batches[1].state is not None
    assert status.batches[1].state.reason == Reason.BATCH_CANCELLED


async def test_when_every_part_is_refused_the_job_has_failed(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(forced_errors=[{"code": "model_mismatch", "message": "Not this model.", "line": 1}])
    apply_all(api, kong, FIVE, split_job(), **SMALL)
    await operator.until(lambda: len(made(operator)) == 3)
    kong.advance(3600)
    status = await operator.until_ended()
    assert status.holds("Failed")
    assert operator.reason() == Reason.ALL_REQUESTS_FAILED
    assert left(kong) == []


async def test_failing_lines_of_every_part_are_counted_and_named(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    content = jsonl("a", "b--status-400", "c--missing", "d", "e--status-500")
    await begun(operator, api, kong, content=content)
    kong.advance(3600)
    status = await operator.until_ended()
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert stored(api) == ["a", "d"]
    assert sorted(stored(api, ".errors")) == ["b--status-400", "c--missing", "e--status-500"]
    assert {failure.custom_id for failure in status.failures} == {"b--status-400", "c--missing", "e--status-500"}
    assert status.request_counts is not None
    assert (status.request_counts.total, status.request_counts.failed) == (5, 3)


@pytest.mark.parametrize("among", range(3))
async def test_of_the_failed_requests_of_all_parts_the_most_frequent_code_is_told_first(
    operator: Operator, api: ApiServer, kong: Instance, among: int
) -> None:
    parts = [[f"{number}{part}--status-500" for number in range(12)] for part in "ab"]
    parts.insert(among, [f"{number}c--status-400" for number in range(12)])
    limits = {"limits": {"maxRequestsPerFile": 12}}
    apply_all(api, kong, jsonl(*(name for part in parts for name in part)), split_job(), **limits)
    await operator.until(lambda: len(made(operator)) == 3)
    kong.advance(3600)
    failures = (await operator.until_ended()).failures
    assert [failure.custom_id[-3:] for failure in failures] == ["500", "400"] * 5
    assert len({failure.custom_id for failure in failures}) == 10
    assert all("can't be read" not in failure.message for failure in failures)


async def test_what_fails_for_one_part_is_tried_again_though_the_others_have_ended(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await begun(operator, api, kong, batches=2, parallelism=2)
    kong.configure(file_pending_seconds=1)
    kong.fault("status", "files.get", status=503, times=2)
    kong.advance(3600)
    await operator.until(lambda: kong.calls("files.get"), None)
    kong.advance(60)
    # No look from outside: those that have ended wait for this one, and it has to come back by itself.
    await operator.until(lambda: len(made(operator)) == 3, None)
    await succeeds(operator, api, kong)
