"""A refusal for good may hide a batch that a proxy's first try has made: nothing is let go before that is known."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.batchjob_status import Phase
from llmbatch.api.reasons import Reason
from tests.controller.among import Among, also_second
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import cancels, searches, states
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.between import Between, Exchange
from tests.support.inprocess import Operator

SETTLE_SECONDS = 3.0
LAG_SECONDS = 1.5
FINAL = [400, 405, 410, 413, 415, 422, 431]


@pytest.fixture
async def patient(api: ApiServer, tmp_path: Path) -> AsyncIterator[Operator]:
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as running:
        yield running


@pytest.mark.parametrize("status", FINAL)
async def test_a_batch_that_the_list_shows_late_is_found_behind_a_refusal(
    patient: Operator, api: ApiServer, kong: Instance, among: Among, status: int
) -> None:
    kong.configure(list_lag_seconds=LAG_SECONDS)
    among.fault("accepted_status", "batches.create", status=status, message="This request is not acceptable.")
    among.apply(api)
    made = await among.submitted(patient)
    await among.ended(patient)
    # Counted right after the status that tells of it was written.
    assert counted(patient, "adoptions") == 1
    assert among.reason(patient) == Reason.SUCCEEDED
    assert among.states() == {made: "completed"}


async def test_nothing_is_let_go_before_the_settle_period_is_over_and_the_job_says_why(
    patient: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("status", "batches.create", status=422, message="No such endpoint.")
    among.apply(api)
    await patient.until(lambda: "was refused" in among.told(patient))
    assert among.reason(patient) == Reason.SUBMISSION_PENDING
    assert "answered 422" in among.told(patient)
    assert "looked at until 3 s are over" in among.told(patient)
    submission = among.batch(patient).submission
    assert submission is not None
    assert submission.refusal is not None
    await patient.until(lambda: len(kong.calls("batches.list")) > 3)
    assert not kong.calls("files.delete")
    await among.ended(patient)
    assert among.reason(patient) == Reason.REQUEST_REFUSED
    assert patient.status().phase is (Phase.COMPLETE if among.several else Phase.FAILED)
    assert among.told(patient).count("answered 422") == 1
    assert among.batch(patient).submission is None
    assert all(file["deleted"] for file in kong.files())
    (call,) = among.creates()
    looked = [each["time"] for each in searches(kong)]
    assert max(looked) - call["time"] >= SETTLE_SECONDS
    deleted = [each["time"] for each in kong.calls("files.delete") if call["body"]["input_file_id"] in each["path"]]
    assert min(deleted) >= call["time"] + SETTLE_SECONDS


@pytest.mark.parametrize("policy", [{}, {"deletionPolicy": {"cleanupTimeoutSeconds": 20}}], ids=["plain", "own time"])
async def test_a_deletion_waits_for_it_and_cancels_what_was_hidden(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path, policy: Json
) -> None:
    kong.configure(list_lag_seconds=LAG_SECONDS)
    among.fault("accepted_status", "batches.create", status=400, message="This request is not acceptable.")
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS, cleanup_timeout_seconds=20).running() as operator:
        among.apply(api, job=among.job(**policy))
        await operator.until(lambda: "was refused" in among.told(operator))
        api.remove("batchjobs", "job")
        await operator.until(lambda: set(cancels(kong)) == set(states(kong)))
        kong.advance(60)
        await operator.until_gone()
        assert set(states(kong).values()) == {"cancelled"}
        assert all(file["deleted"] for file in kong.files())


async def test_a_deletion_of_a_job_that_was_truly_refused_deletes_its_file_after_the_settle_period(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    among.fault("status", "batches.create", status=400, message="This request is not acceptable.")
    async with Operator(api, tmp_path, settle_seconds=1.5, cleanup_timeout_seconds=20).running() as operator:
        among.apply(api)
        await operator.until(lambda: "was refused" in among.told(operator))
        api.remove("batchjobs", "job")
        await operator.until(lambda: set(cancels(kong)) == set(states(kong)))
        kong.advance(60)
        await operator.until_gone()
        assert all(file["deleted"] for file in kong.files())
        assert len(among.creates()) == 1


async def test_the_next_process_goes_on_waiting(api: ApiServer, kong: Instance, among: Among, tmp_path: Path) -> None:
    kong.configure(list_lag_seconds=2 * LAG_SECONDS)
    among.fault("accepted_status", "batches.create", status=400, message="This request is not acceptable.")
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as first:
        among.apply(api)
        await first.until(lambda: "was refused" in among.told(first))
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as second:
        made = await among.submitted(second)
        assert among.states() == {made: "validating"}
        assert len(among.creates()) == 1


async def test_a_list_that_proves_nothing_leaves_it_to_a_person(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between
) -> None:
    def spoil(answer: Exchange) -> None:
        if answer.is_list:
            answer.json = {"data": [], "has_more": True}

    between.rules.append(spoil)
    among.fault("accepted_status", "batches.create", status=400, message="This request is not acceptable.")
    among.apply(api, url=between.url)
    await among.until_reason(operator, Reason.SUBMISSION_UNKNOWN)
    assert "was refused" in among.told(operator)
    assert not kong.calls("files.delete")
    between.rules.clear()
    await among.submitted(operator)
    assert len(among.states()) == 1


@pytest.mark.parametrize("status", [404, 501])
async def test_a_list_that_is_gone_for_a_moment_is_asked_for_again(
    patient: Operator, api: ApiServer, kong: Instance, among: Among, status: int
) -> None:
    among.fault("accepted_status", "batches.create", status=400, message="This request is not acceptable.")
    kong.fault("status", "batches.list", status=status, skip=1, times=2)
    among.apply(api)
    await among.submitted(patient)
    assert len(among.states()) == 1


async def test_without_a_list_a_refusal_is_believed_at_once(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    kong.configure(list_supported=False)
    among.fault("status", "batches.create", status=422)
    async with Operator(api, tmp_path, settle_seconds=600).running() as operator:
        among.apply(api)
        await among.ended(operator)
        assert among.reason(operator) == Reason.REQUEST_REFUSED


async def test_what_is_refused_is_not_sent_again_meanwhile(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    # Once: those of other parts come soon after.
    among.fault("status", "batches.create", status=400, message="This request is not acceptable.")
    among.apply(api)
    await operator.until(lambda: among.batch(operator).submission and "was refused" in among.told(operator))
    await operator.until(lambda: among.batch(operator).submission is None)
    kong.clear_faults()
    await among.ended(operator)
    await asyncio.sleep(0.1)
    assert len(among.creates()) == 1
    assert among.batch(operator).create_calls is None


@pytest.mark.parametrize(("answer", "among"), also_second([
    pytest.param({"status": 429, "message": "token_limit_exceeded"}, id="a quota"),
    pytest.param({"status": 403, "message": "The number of enqueued tokens has surpassed the limit."}, id="a quota by 403"),
    pytest.param({"status": 402, "message": "No."}, id="billing"),
    pytest.param({"status": 429, "message": "Slow down."}, id="a rate"),
    pytest.param({"status": 429, "as_": "kong", "retry_after": 1}, id="a rate of the proxy's"),
    pytest.param({"status": 403, "as_": "text", "message": "Blocked by a filter."}, id="a page of a filter"),
    pytest.param({"status": 401, "as_": "kong"}, id="credentials"),
    pytest.param({"status": 302, "as_": "text", "message": "Moved."}, id="a redirect"),
    pytest.param({"status": 426, "as_": "empty"}, id="another protocol"),
], "a quota", "a rate", "a page of a filter"), indirect=["among"])  # fmt: skip
async def test_a_refusal_that_passes_and_hides_a_batch_leads_to_no_second_one(
    operator: Operator, api: ApiServer, among: Among, answer: dict[str, Any]
) -> None:
    among.fault("accepted_status", "batches.create", **answer)
    among.apply(api)
    made = await among.submitted(operator)
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert among.states() == {made: "completed"}
    assert len(among.creates()) == 1
