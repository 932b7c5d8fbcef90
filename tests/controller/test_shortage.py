"""Quota, billing and files that are not known yet: waited for, by HTTP or told late, with the same file and few calls."""

from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.batch_status import MOST_REFUSED
from llmbatch.api.reasons import Reason
from tests.controller.among import Among, also_second
from tests.controller.test_ambiguity import counted, reasons
from tests.controller.test_duplicates import cancels, given
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator

QUOTA = {"code": "token_limit_exceeded", "message": "The number of enqueued tokens has surpassed the limit."}
BILLING = {"code": "billing_hard_limit_reached", "message": "Billing hard limit has been reached."}
NO_FILE = {
    "code": "invalid_request",
    "message": "Cannot find file file-1, or organization org-1 does not have access to it.",
}
BY_HTTP_OF_THE_SECOND = (
    "400: Billing hard limit has been reached",
    "403: token_limit_exceeded",
    "404: The file was not found.",
)
LATE = [
    pytest.param(QUOTA, Reason.QUOTA_EXCEEDED, id="quota"),
    pytest.param({"code": "rate_limit_exceeded", "message": ""}, Reason.QUOTA_EXCEEDED, id="rate"),
    pytest.param(BILLING, Reason.BILLING_LIMIT, id="billing"),
    pytest.param({"code": "insufficient_quota", "message": ""}, Reason.BILLING_LIMIT, id="funds"),
    pytest.param(NO_FILE, Reason.FILE_PENDING, id="file"),
]
BY_HTTP = [
    pytest.param(
        {"status": 429, "message": "insufficient_quota: check your plan and billing"},
        Reason.BILLING_LIMIT,
        id="429: insufficient_quota: check your plan and billing",
    ),
    pytest.param(
        {"status": 400, "message": "Billing hard limit has been reached"},
        Reason.BILLING_LIMIT,
        id="400: Billing hard limit has been reached",
    ),
    pytest.param(
        {"status": 403, "message": "Your account's billing is not active"},
        Reason.BILLING_LIMIT,
        id="403: Your account's billing is not active",
    ),
    pytest.param({"status": 402, "as_": "text", "message": "No."}, Reason.BILLING_LIMIT, id="402: No."),
    pytest.param(
        {"status": 409, "message": "Billing hard limit has been reached"},
        Reason.BILLING_LIMIT,
        id="409: Billing hard limit has been reached",
    ),
    pytest.param(
        {"status": 400, "message": "token_limit_exceeded"}, Reason.QUOTA_EXCEEDED, id="400: token_limit_exceeded"
    ),
    pytest.param(
        {"status": 403, "message": "token_limit_exceeded"}, Reason.QUOTA_EXCEEDED, id="403: token_limit_exceeded"
    ),
    pytest.param(
        {"status": 404, "message": "The file was not found."}, Reason.FILE_PENDING, id="404: The file was not found."
    ),
    pytest.param(
        {"status": 400, "as_": "openai", "message": "No such File object: file-1"},
        Reason.FILE_PENDING,
        id="400: No such File object: file-1",
    ),
    pytest.param(
        {"status": 404, "as_": "kong", "message": "No such file"}, Reason.FILE_PENDING, id="404: No such file"
    ),
    pytest.param(
        {"status": 404, "as_": "text", "message": "file does not exist"},
        Reason.FILE_PENDING,
        id="404: file does not exist",
    ),
]


async def looked_at(operator: Operator, times: int = 40) -> None:
    for _ in range(times):
        await operator.look()
        await operator.quiet()


async def refused(operator: Operator, kong: Instance, among: Among, reason: Reason) -> None:
    """Let the batch under way be judged by the provider."""
    await among.all_submitted(operator)
    kong.advance(100)
    await among.until_reason(operator, reason)


@pytest.mark.parametrize(("error", "reason"), LATE)
async def test_what_is_told_late_is_waited_for_with_the_same_file(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path, error: dict[str, str], *, reason: Reason
) -> None:
    among.configure(forced_errors=[error])
    async with Operator(api, tmp_path, settle_seconds=60, recheck_seconds=4).running() as operator:
        among.apply(api)
        await refused(operator, kong, among, reason)
        assert operator.status().holds("Stalled") is (reason is Reason.BILLING_LIMIT)
        assert among.batch(operator).create_calls is None
        among.configure(forced_errors=[])
        await among.submitted(operator)
        await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert among.batch(operator).create_calls == 1
    assert len(among.uploads()) == 1
    assert {call["body"]["input_file_id"] for call in among.creates()} == {among.batch(operator).input_file_id}
    assert not kong.calls("batches.cancel")
    assert ("Warning", "DuplicateCancelled") not in operator.events()
    assert operator.runtime.metrics.duplicates._value.get() == 0  # noqa: SLF001 - as a scrape would read it


@pytest.mark.parametrize("error", [QUOTA, BILLING])
async def test_a_create_call_whose_answer_is_lost_is_not_taken_for_the_batch_that_was_refused(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, error: dict[str, str]
) -> None:
    among.configure(forced_errors=[error])
    among.apply(api)
    await among.all_submitted(operator)
    kong.fault("reset_after", "batches.create")
    kong.advance(100)
    await operator.until(lambda: among.batch(operator).refused_ids)
    among.configure(forced_errors=[])
    await among.submitted(operator)
    batch = among.batch(operator)
    assert batch.id not in batch.refused_ids
    assert len(among.states()) == 2


@pytest.mark.parametrize("error", [QUOTA, BILLING, NO_FILE])
async def test_refusals_that_last_cost_few_calls(
    api: ApiServer, among: Among, tmp_path: Path, error: dict[str, str]
) -> None:
    among.configure(forced_errors=[error], validating_seconds=0)
    async with Operator(api, tmp_path, recheck_seconds=100, settle_seconds=600).running() as operator:
        among.apply(api)
        await operator.until(lambda: among.batch(operator).refused_ids)
        await looked_at(operator)
    assert len(among.creates()) == 1


@pytest.mark.parametrize(
    ("refusal", "reason", "among"), also_second(BY_HTTP, *BY_HTTP_OF_THE_SECOND), indirect=["among"]
)
async def test_what_is_told_at_once_is_waited_for_and_costs_few_calls(
    api: ApiServer, among: Among, tmp_path: Path, refusal: dict[str, Any], reason: Reason
) -> None:
    among.fault("status", "batches.create", times=2, **refusal)
    async with Operator(api, tmp_path, recheck_seconds=4, settle_seconds=60).running() as operator:
        among.apply(api)
        await among.until_reason(operator, reason)
        assert operator.status().holds("Stalled") is (reason is Reason.BILLING_LIMIT)
        await among.submitted(operator)
    assert among.batch(operator).create_calls == 1
    assert len(among.creates()) == 3
    assert len(among.uploads()) == 1


@pytest.mark.parametrize("late", [False, True])
async def test_a_file_that_stays_unknown_ends_the_job_after_a_while(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path, late: bool
) -> None:
    if late:
        among.configure(forced_errors=[NO_FILE], validating_seconds=0)
    else:
        among.fault("status", "batches.create", status=404, message="The file was not found.", times=-1)
    async with Operator(api, tmp_path, settle_seconds=0.3).running() as operator:
        among.apply(api)
        if among.several and not late:
            await operator.until(lambda: among.batch(operator).refusal)
            kong.clear_faults()
        await among.ended(operator)
        assert among.reason(operator) == (Reason.BATCH_FAILED if late else Reason.REQUEST_REFUSED)


async def test_a_job_that_waits_for_quota_is_deleted_with_its_file(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    among.configure(forced_errors=[BILLING])
    async with Operator(api, tmp_path, recheck_seconds=100).running() as operator:
        among.apply(api)
        await refused(operator, kong, among, Reason.BILLING_LIMIT)
        api.remove("batchjobs", "job")
        await operator.until(lambda: len(set(cancels(kong))) == among.count - 1)
        kong.advance(60)
        await operator.until_gone()
    assert all(file["deleted"] for file in kong.files())


async def test_quota_that_is_told_late_once_costs_one_batch_more_and_no_person(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    # It befalls each of several.
    job = among.job()
    job["spec"]["metadata"] = {"emulate": "late-quota"}
    among.apply(api, job=job)
    await among.all_submitted(operator)
    kong.advance(100)
    await operator.until(lambda: len(kong.batches()) == 2 * among.count)
    await among.all_submitted(operator)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert len(kong.batches()) == 2 * among.count
    assert among.stored(api) == among.whole("one", "two", "three", "four", "five")


async def test_the_next_batch_does_not_wait_until_the_refused_one_may_be_polled_again(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.configure(forced_errors=[QUOTA])
    among.apply(api, pollIntervalSeconds=600)
    await among.all_submitted(operator)
    kong.advance(100)
    await operator.until(lambda: among.batch(operator).refused_ids)
    among.configure(forced_errors=[])
    await operator.until(lambda: len(among.creates()) > 1, None)
    assert Reason.FILE_PENDING not in reasons(api), "the provider is done with the file"


async def test_refused_batches_that_status_has_no_room_for_are_no_duplicates(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, settle_seconds=1.5).running() as operator:
        among.apply(api)
        own = await among.submitted(operator)
        refused_ids = [f"batch_{number}" for number in range(MOST_REFUSED)]
        api.put("batchjobs", {**operator.job(), "status": among.retold(operator, refusedIDs=refused_ids)})
        kong.insert_batch(**given(operator, among), age_seconds=60, status="failed")
        await operator.until(lambda: among.checked(operator))
        await operator.quiet()
        assert among.batch(operator).id == own
        assert counted(operator, "duplicate_batches") == 0
        assert ("Warning", "DuplicateCancelled") not in operator.events()
