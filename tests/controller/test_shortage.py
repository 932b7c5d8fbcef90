"""Quota, billing and files that are not known yet: waited for, by HTTP or told late, with the same file and few calls."""

from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.batch_status import MOST_REFUSED
from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.controller.test_ambiguity import counted, reasons
from tests.controller.test_duplicates import checked, given, submitted
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all

QUOTA = {"code": "token_limit_exceeded", "message": "The number of enqueued tokens has surpassed the limit."}
BILLING = {"code": "billing_hard_limit_reached", "message": "Billing hard limit has been reached."}
NO_FILE = {
    "code": "invalid_request",
    "message": "Cannot find file file-1, or organization org-1 does not have access to it.",
}
LATE = [
    pytest.param(QUOTA, Reason.QUOTA_EXCEEDED, id="quota"),
    pytest.param({"code": "rate_limit_exceeded", "message": ""}, Reason.QUOTA_EXCEEDED, id="rate"),
    pytest.param(BILLING, Reason.BILLING_LIMIT, id="billing"),
    pytest.param({"code": "insufficient_quota", "message": ""}, Reason.BILLING_LIMIT, id="funds"),
    pytest.param(NO_FILE, Reason.FILE_PENDING, id="file"),
]
BY_HTTP = [
    pytest.param({"status": 429, "message": "insufficient_quota: check your plan and billing"}, Reason.BILLING_LIMIT),
    pytest.param({"status": 400, "message": "Billing hard limit has been reached"}, Reason.BILLING_LIMIT),
    pytest.param({"status": 403, "message": "Your account's billing is not active"}, Reason.BILLING_LIMIT),
    pytest.param({"status": 402, "as_": "text", "message": "No."}, Reason.BILLING_LIMIT),
    pytest.param({"status": 409, "message": "Billing hard limit has been reached"}, Reason.BILLING_LIMIT),
    pytest.param({"status": 400, "message": "token_limit_exceeded"}, Reason.QUOTA_EXCEEDED),
    pytest.param({"status": 403, "message": "token_limit_exceeded"}, Reason.QUOTA_EXCEEDED),
    pytest.param({"status": 404, "message": "The file was not found."}, Reason.FILE_PENDING),
    pytest.param({"status": 400, "as_": "openai", "message": "No such File object: file-1"}, Reason.FILE_PENDING),
    pytest.param({"status": 404, "as_": "kong", "message": "No such file"}, Reason.FILE_PENDING),
    pytest.param({"status": 404, "as_": "text", "message": "file does not exist"}, Reason.FILE_PENDING),
]


async def looked_at(operator: Operator, times: int = 40) -> None:
    for _ in range(times):
        await operator.look()
        await operator.quiet()


async def refused(operator: Operator, kong: Instance, reason: Reason) -> None:
    """Let the batch under way be judged by the provider."""
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(100)
    await operator.until_reason(reason)


@pytest.mark.parametrize(("error", "reason"), LATE)
async def test_what_is_told_late_is_waited_for_with_the_same_file(
    api: ApiServer, kong: Instance, tmp_path: Path, error: dict[str, str], reason: Reason
) -> None:
    kong.configure(forced_errors=[error])
    async with Operator(api, tmp_path, settle_seconds=60, recheck_seconds=4).running() as operator:
        apply_all(api, kong, FIVE)
        await refused(operator, kong, reason)
        assert operator.status().holds("Stalled") is (reason is Reason.BILLING_LIMIT)
        assert operator.status().summary.attempts is None
        kong.configure(forced_errors=[])
        await operator.until(lambda: operator.status().summary.submission_time)
        kong.advance(3600)
        status = await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert status.summary.attempts == 1
    (batch,) = status.batches
    assert len(kong.calls("files.create")) == 1
    assert {call["body"]["input_file_id"] for call in kong.calls("batches.create")} == {batch.input_file_id}
    assert not kong.calls("batches.cancel")
    assert ("Warning", "DuplicateCancelled") not in operator.events()
    assert operator.runtime.metrics.duplicates._value.get() == 0  # noqa: SLF001 - as a scrape would read it


@pytest.mark.parametrize("error", [QUOTA, BILLING])
async def test_a_create_call_whose_answer_is_lost_is_not_taken_for_the_batch_that_was_refused(
    operator: Operator, api: ApiServer, kong: Instance, error: dict[str, str]
) -> None:
    kong.configure(forced_errors=[error])
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.fault("reset_after", "batches.create")
    kong.advance(100)
    await operator.until(lambda: operator.status().batches and operator.status().batches[0].refused_ids)
    kong.configure(forced_errors=[])
    await operator.until(lambda: operator.status().summary.submission_time)
    status = operator.status()
    assert status.batches[0].id not in status.batches[0].refused_ids
    assert len(kong.batches()) == 2


@pytest.mark.parametrize("error", [QUOTA, BILLING, NO_FILE])
async def test_refusals_that_last_cost_few_calls(
    api: ApiServer, kong: Instance, tmp_path: Path, error: dict[str, str]
) -> None:
    kong.configure(forced_errors=[error], validating_seconds=0)
    async with Operator(api, tmp_path, recheck_seconds=100, settle_seconds=600).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until(lambda: operator.status().batches and operator.status().batches[0].refused_ids)
        await looked_at(operator)
    assert len(kong.calls("batches.create")) == 1


@pytest.mark.parametrize(("refusal", "reason"), BY_HTTP)
async def test_what_is_told_at_once_is_waited_for_and_costs_few_calls(
    api: ApiServer, kong: Instance, tmp_path: Path, refusal: dict[str, Any], reason: Reason
) -> None:
    kong.fault("status", "batches.create", times=2, **refusal)
    async with Operator(api, tmp_path, recheck_seconds=4, settle_seconds=60).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until_reason(reason)
        assert operator.status().holds("Stalled") is (reason is Reason.BILLING_LIMIT)
        await operator.until(lambda: operator.status().summary.submission_time)
    assert operator.status().summary.attempts == 1
    assert len(kong.calls("batches.create")) == 3
    assert len(kong.calls("files.create")) == 1


@pytest.mark.parametrize("late", [False, True])
async def test_a_file_that_stays_unknown_ends_the_job_after_a_while(
    api: ApiServer, kong: Instance, tmp_path: Path, late: bool
) -> None:
    if late:
        kong.configure(forced_errors=[NO_FILE], validating_seconds=0)
    else:
        kong.fault("status", "batches.create", status=404, message="The file was not found.", times=-1)
    async with Operator(api, tmp_path, settle_seconds=0.3).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until_ended()
        assert operator.reason() == (Reason.BATCH_FAILED if late else Reason.REQUEST_REFUSED)


async def test_a_job_that_waits_for_quota_is_deleted_with_its_file(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.configure(forced_errors=[BILLING])
    async with Operator(api, tmp_path, recheck_seconds=100).running() as operator:
        apply_all(api, kong, FIVE)
        await refused(operator, kong, Reason.BILLING_LIMIT)
        api.remove("batchjobs", "job")
        await operator.until_gone()
    assert all(file["deleted"] for file in kong.files())


async def test_quota_that_is_told_late_once_costs_one_batch_more_and_no_person(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    job = build.batchjob()
    job["spec"]["metadata"] = {"emulate": "late-quota"}
    apply_all(api, kong, FIVE, job)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(100)
    await operator.until(lambda: len(kong.batches()) == 2)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert len(kong.batches()) == 2


async def test_the_next_batch_does_not_wait_until_the_refused_one_may_be_polled_again(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(forced_errors=[QUOTA])
    apply_all(api, kong, FIVE, pollIntervalSeconds=600)
    await submitted(operator)
    kong.advance(100)
    await operator.until(lambda: operator.status().batches[0].refused_ids)
    kong.configure(forced_errors=[])
    await operator.until(lambda: len(kong.calls("batches.create")) > 1, None)
    assert Reason.FILE_PENDING not in reasons(api), "the provider is done with the file"


async def test_refused_batches_that_status_has_no_room_for_are_no_duplicates(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, settle_seconds=1.5).running() as operator:
        apply_all(api, kong, FIVE)
        own = await submitted(operator)
        job = operator.job()
        batch = {**job["status"]["batches"][0], "refusedIDs": [f"batch_{number}" for number in range(MOST_REFUSED)]}
        api.put("batchjobs", {**job, "status": {**job["status"], "batches": [batch]}})
        kong.insert_batch(**given(operator), age_seconds=60, status="failed")
        await operator.until(lambda: checked(operator))
        await operator.quiet()
        assert operator.status().batches[0].id == own
        assert counted(operator, "duplicate_batches") == 0
        assert ("Warning", "DuplicateCancelled") not in operator.events()
