"""A refusal for good may hide a batch that a proxy's first try has made: nothing is let go before that is known."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmbatch.api.batchjob_status import Phase
from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import cancels, states, submitted
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.between import Between, Exchange
from tests.support.inprocess import Operator, apply_all

SETTLE_SECONDS = 3.0
LAG_SECONDS = 1.5
FINAL = [400, 405, 410, 413, 415, 422, 431]


@pytest.fixture
async def between(kong: Instance) -> AsyncIterator[Between]:
    async with Between(kong.url).serving() as serving:
        yield serving


@pytest.fixture
async def patient(api: ApiServer, tmp_path: Path) -> AsyncIterator[Operator]:
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as running:
        yield running


def told(operator: Operator) -> str:
    ready = operator.status().condition("Ready")
    return ready.message if ready is not None else ""


@pytest.mark.parametrize("status", FINAL)
async def test_a_batch_that_the_list_shows_late_is_found_behind_a_refusal(
    patient: Operator, api: ApiServer, kong: Instance, status: int
) -> None:
    kong.configure(list_lag_seconds=LAG_SECONDS)
    kong.fault("accepted_status", "batches.create", status=status, message="This request is not acceptable.")
    apply_all(api, kong, FIVE)
    made = await submitted(patient)
    kong.advance(3600)
    await patient.until_ended()
    # Counted right after the status that tells of it was written.
    assert counted(patient, "adoptions") == 1
    assert patient.reason() == Reason.SUCCEEDED
    assert states(kong) == {made: "completed"}


async def test_nothing_is_let_go_before_the_settle_period_is_over_and_the_job_says_why(
    patient: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "batches.create", status=422, message="No such endpoint.")
    apply_all(api, kong, FIVE)
    await patient.until(lambda: "was refused" in told(patient))
    assert patient.reason() == Reason.SUBMISSION_PENDING
    assert "answered 422" in told(patient)
    assert "looked at until 3 s are over" in told(patient)
    submission = patient.status().summary.submission
    assert submission is not None
    assert submission.refusal is not None
    await patient.until(lambda: len(kong.calls("batches.list")) > 3)
    assert not kong.calls("files.delete")
    await patient.until_ended()
    assert (patient.reason(), patient.status().phase) == (Reason.REQUEST_REFUSED, Phase.FAILED)
    assert told(patient).count("answered 422") == 1
    assert patient.status().summary.submission is None
    assert all(file["deleted"] for file in kong.files())
    (call,) = kong.calls("batches.create")
    looked = [each["time"] for each in kong.calls("batches.list") if each["query"]["limit"] == "100"]
    assert max(looked) - call["time"] >= SETTLE_SECONDS
    assert min(each["time"] for each in kong.calls("files.delete")) >= max(looked)


@pytest.mark.parametrize("policy", [{}, {"deletionPolicy": {"cleanupTimeoutSeconds": 20}}], ids=["plain", "own time"])
async def test_a_deletion_waits_for_it_and_cancels_what_was_hidden(
    api: ApiServer, kong: Instance, tmp_path: Path, policy: Json
) -> None:
    kong.configure(list_lag_seconds=LAG_SECONDS)
    kong.fault("accepted_status", "batches.create", status=400, message="This request is not acceptable.")
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS, cleanup_timeout_seconds=20).running() as operator:
        apply_all(api, kong, FIVE, build.batchjob(**policy))
        await operator.until(lambda: "was refused" in told(operator))
        api.remove("batchjobs", "job")
        await operator.until(lambda: cancels(kong))
        kong.advance(60)
        await operator.until_gone()
        assert set(states(kong).values()) == {"cancelled"}
        assert all(file["deleted"] for file in kong.files())


async def test_a_deletion_of_a_job_that_was_truly_refused_deletes_its_file_after_the_settle_period(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.fault("status", "batches.create", status=400, message="This request is not acceptable.")
    async with Operator(api, tmp_path, settle_seconds=1.5, cleanup_timeout_seconds=20).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until(lambda: "was refused" in told(operator))
        api.remove("batchjobs", "job")
        await operator.until_gone()
        assert all(file["deleted"] for file in kong.files())
        assert len(kong.calls("batches.create")) == 1


async def test_the_next_process_goes_on_waiting(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    kong.configure(list_lag_seconds=2 * LAG_SECONDS)
    kong.fault("accepted_status", "batches.create", status=400, message="This request is not acceptable.")
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as first:
        apply_all(api, kong, FIVE)
        await first.until(lambda: "was refused" in told(first))
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as second:
        made = await submitted(second)
        assert states(kong) == {made: "validating"}
        assert len(kong.calls("batches.create")) == 1


async def test_a_list_that_proves_nothing_leaves_it_to_a_person(
    operator: Operator, api: ApiServer, kong: Instance, between: Between
) -> None:
    def spoil(answer: Exchange) -> None:
        if answer.is_list:
            answer.json = {"data": [], "has_more": True}

    between.rules.append(spoil)
    kong.fault("accepted_status", "batches.create", status=400, message="This request is not acceptable.")
    apply_all(api, kong, FIVE, url=between.url)
    await operator.until_reason(Reason.SUBMISSION_UNKNOWN)
    assert "was refused" in told(operator)
    assert not kong.calls("files.delete")
    between.rules.clear()
    await submitted(operator)
    assert len(kong.batches()) == 1


@pytest.mark.parametrize("status", [404, 501])
async def test_a_list_that_is_gone_for_a_moment_is_asked_for_again(
    patient: Operator, api: ApiServer, kong: Instance, status: int
) -> None:
    kong.fault("accepted_status", "batches.create", status=400, message="This request is not acceptable.")
    kong.fault("status", "batches.list", status=status, skip=1, times=2)
    apply_all(api, kong, FIVE)
    await submitted(patient)
    assert len(kong.batches()) == 1


async def test_without_a_list_a_refusal_is_believed_at_once(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    kong.configure(list_supported=False)
    kong.fault("status", "batches.create", status=422)
    async with Operator(api, tmp_path, settle_seconds=600).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until_ended()
        assert operator.reason() == Reason.REQUEST_REFUSED


async def test_what_is_refused_is_not_sent_again_meanwhile(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.fault("status", "batches.create", status=400, message="This request is not acceptable.", times=-1)
    apply_all(api, kong, FIVE)
    await operator.until_ended()
    await asyncio.sleep(0.1)
    assert len(kong.calls("batches.create")) == 1
    assert operator.status().summary.attempts is None


@pytest.mark.parametrize(
    ("status", "message"),
    [(429, "token_limit_exceeded"), (403, "The number of enqueued tokens has surpassed the limit."), (402, "No.")],
)
async def test_a_want_of_quota_that_the_hidden_batch_has_caused_leads_to_no_second_one(
    operator: Operator, api: ApiServer, kong: Instance, status: int, message: str
) -> None:
    kong.fault("accepted_status", "batches.create", status=status, message=message)
    apply_all(api, kong, FIVE)
    made = await submitted(operator)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert states(kong) == {made: "completed"}
    assert len(kong.calls("batches.create")) == 1
