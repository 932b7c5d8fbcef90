"""Answers about another batch or file than was asked for: nothing is followed, cancelled or believed on their word."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import cancels, states
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.between import Between, Exchange
from tests.support.inprocess import Operator, apply_all

THEIRS: Json = {"input_file_id": "file-theirs", "endpoint": "/v1/chat/completions", "completion_window": "24h"}


@pytest.fixture
async def between(kong: Instance) -> AsyncIterator[Between]:
    async with Between(kong.url).serving() as serving:
        yield serving


def another(kong: Instance, **given: Any) -> str:
    """Make a batch of somebody else's, who runs it now."""
    return str(kong.insert_batch(**{**THEIRS, **given}, status="in_progress")["id"])


def is_a_poll(told: Exchange) -> bool:
    return told.method == "GET" and told.path.startswith("/batches/")


def is_a_cancellation(told: Exchange) -> bool:
    return told.path.endswith("/cancel")


def answers(fits: Callable[[Exchange], bool], **members: Any) -> Callable[[Exchange], None]:
    """Have answers tell of something else."""

    def spoil(told: Exchange) -> None:
        if fits(told) and told.status < 300:
            told.json = {**told.json, **members}

    return spoil


async def submitted(operator: Operator, api: ApiServer, kong: Instance, between: Between) -> str:
    apply_all(api, kong, FIVE, url=between.url)
    await operator.until(lambda: operator.status().summary.submission_time)
    return operator.status().batches[0].id or ""


def spoilt_with(kong: Instance, how: str) -> Json:
    """Give what a wrong answer tells: another batch, or this one with another's file or job."""
    other = another(kong, metadata={"llmbatch_uid": "another"})
    told: dict[str, Json] = {
        "another id": {"id": other, "status": "completed"},
        "all of another": {"id": other, "status": "completed", "input_file_id": "file-theirs", "metadata": None},
        "the id of a completed one, as text that differs by case": {"id": other.upper(), "status": "completed"},
        "another job": {"metadata": {"llmbatch_uid": "another"}, "input_file_id": "", "status": "completed"},
        "another file": {"metadata": None, "input_file_id": "file-theirs", "status": "completed"},
    }
    return told[how]


WRONG = pytest.mark.parametrize(
    "how",
    [
        "another id",
        "all of another",
        "the id of a completed one, as text that differs by case",
        "another job",
        "another file",
    ],
)


@WRONG
async def test_a_poll_that_tells_of_another_batch_is_not_followed(
    operator: Operator, api: ApiServer, kong: Instance, between: Between, how: str
) -> None:
    own = await submitted(operator, api, kong, between)
    between.rules.append(answers(is_a_poll, **spoilt_with(kong, how)))
    await operator.until_reason(Reason.GATEWAY_UNREACHABLE)
    ready = operator.status().condition("Ready")
    assert ready is not None
    assert "cache" in ready.message, "it is said what is the matter"
    assert (operator.status().batches[0].id, operator.status().batches[0].status) == (own, "validating")
    between.rules.clear()
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert operator.status().batches[0].id == own
    assert cancels(kong) == []


@WRONG
async def test_a_cancellation_answered_with_another_batch_cancels_ours_and_no_other(
    operator: Operator, api: ApiServer, kong: Instance, between: Between, how: str
) -> None:
    own = await submitted(operator, api, kong, between)
    rule = answers(is_a_cancellation, **spoilt_with(kong, how))
    between.rules.append(rule)
    api.remove("batchjobs", "job")
    await operator.until(lambda: between.spoilt)
    await operator.quiet()
    assert api.get("batchjobs", "job") is not None, "its word that the batch has ended is not believed"
    between.rules.remove(rule)
    await operator.until(lambda: len(cancels(kong)) > 1)
    kong.advance(60)
    await operator.until_gone()
    assert set(cancels(kong)) == {own}
    assert states(kong)[own] == "cancelled"


async def test_a_poll_of_a_deleted_job_that_tells_of_another_batch_cancels_no_other(
    operator: Operator, api: ApiServer, kong: Instance, between: Between
) -> None:
    own = await submitted(operator, api, kong, between)
    other = another(kong)
    between.rules.append(answers(is_a_poll, id=other, status="in_progress"))
    await operator.until_reason(Reason.GATEWAY_UNREACHABLE)
    api.remove("batchjobs", "job")
    await operator.until(lambda: cancels(kong))
    between.rules.clear()
    kong.advance(60)
    await operator.until_gone()
    assert set(cancels(kong)) == {own}
    assert states(kong)[other] in ("in_progress", "finalizing", "completed")


@pytest.mark.parametrize("metadata", [{"llmbatch_uid": "another"}, None], ids=["another job", "another file"])
async def test_a_create_call_answered_with_another_batch_ends_in_our_own(
    operator: Operator, api: ApiServer, kong: Instance, between: Between, metadata: Json | None
) -> None:
    other = another(kong, metadata=metadata)
    told = {"id": other, "input_file_id": "file-theirs", "metadata": metadata}
    between.rules.append(answers(lambda call: call.method == "POST" and call.path == "/batches", **told))
    own = await submitted(operator, api, kong, between)
    assert own == kong.calls("batches.create")[0]["answer_id"]
    assert own != other
    await operator.until(lambda: counted(operator, "adoptions"), None)
    assert counted(operator, "adoptions") == 1
    assert len(kong.calls("batches.create")) == 1
    assert cancels(kong) == []


async def test_without_a_list_a_person_is_told_what_the_create_call_was_answered_with(
    operator: Operator, api: ApiServer, kong: Instance, between: Between
) -> None:
    kong.configure(list_supported=False)
    told = {"id": another(kong), "input_file_id": "file-theirs", "metadata": None}
    between.rules.append(answers(lambda call: call.method == "POST" and call.path == "/batches", **told))
    apply_all(api, kong, FIVE, url=between.url)
    await operator.until_reason(Reason.SUBMISSION_UNKNOWN)
    ready = operator.status().condition("Ready")
    assert ready is not None
    assert "answered with a batch of another file or job" in ready.message
    assert "was lost" not in ready.message
    assert "llmbatch.io/resubmit=2" in ready.message


async def test_a_file_that_is_another_one_is_not_taken_for_ours(
    operator: Operator, api: ApiServer, kong: Instance, between: Between
) -> None:
    def spoil(told: Exchange) -> None:
        if told.method == "GET" and told.path.startswith("/files/"):
            told.json = {**told.json, "id": "file-theirs", "status": "error"}

    between.rules.append(spoil)
    apply_all(api, kong, FIVE, url=between.url)
    await operator.until_reason(Reason.GATEWAY_UNREACHABLE)
    assert not kong.calls("batches.create")
    between.rules.clear()
    await operator.until(lambda: operator.status().summary.submission_time)


async def test_a_deletion_answered_for_another_file_is_asked_for_again(
    operator: Operator, api: ApiServer, kong: Instance, between: Between
) -> None:
    await submitted(operator, api, kong, between)

    def spoil(told: Exchange) -> None:
        if told.method == "DELETE" and between.spoilt < 2:
            told.json = {"object": "file", "deleted": True, "id": "file-theirs"}

    between.rules.append(spoil)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert between.spoilt == 2
    assert all(file["deleted"] for file in kong.files())


async def test_a_duplicate_that_turns_out_to_be_another_jobs_is_not_cancelled(
    operator: Operator, api: ApiServer, kong: Instance, between: Between
) -> None:
    """The list says that it is made of our file; asked for itself, it names another job."""
    other = another(kong, metadata={"llmbatch_uid": "another"})

    def spoil(told: Exchange) -> None:
        if told.is_list and operator.status().batches:
            mine = operator.status().batches[0].input_file_id
            page = told.json
            page["data"] = [
                {**item, "input_file_id": mine, "metadata": None} if item["id"] == other else item
                for item in page["data"]
            ]
            told.json = page

    between.rules.append(spoil)
    apply_all(api, kong, FIVE, build.batchjob(), url=between.url)
    await operator.until(lambda: operator.status().summary.submission_time)
    await operator.until(lambda: between.spoilt > 2)
    assert cancels(kong) == []
