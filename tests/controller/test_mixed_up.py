"""Answers about another batch or file than was asked for: nothing is followed, cancelled or believed on their word."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import cancels, states
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.between import Between, Exchange
from tests.support.inprocess import Operator

THEIRS: Json = {"input_file_id": "file-theirs", "endpoint": "/v1/chat/completions", "completion_window": "24h"}


def another(kong: Instance, **given: Any) -> str:
    """Make a batch of somebody else's, who runs it now."""
    return str(kong.insert_batch(**{**THEIRS, **given}, status="in_progress")["id"])


def a_poll(of: str) -> Callable[[Exchange], bool]:
    return lambda told: told.method == "GET" and told.path == f"/batches/{of}"


def a_cancellation(of: str) -> Callable[[Exchange], bool]:
    return lambda told: told.path == f"/batches/{of}/cancel"


def its_order(among: Among) -> Callable[[Exchange], bool]:
    def fits(told: Exchange) -> bool:
        return told.method == "POST" and told.path == "/batches" and among.is_of(told.json.get("metadata"))

    return fits


def answers(fits: Callable[[Exchange], bool], **members: Any) -> Callable[[Exchange], None]:
    """Have answers tell of something else."""

    def spoil(told: Exchange) -> None:
        if fits(told) and told.status < 300:
            told.json = {**told.json, **members}

    return spoil


async def submitted(operator: Operator, api: ApiServer, among: Among, between: Between) -> str:
    among.apply(api, url=between.url)
    await among.all_submitted(operator)
    return among.batch(operator).id or ""


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
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between, *, how: str
) -> None:
    own = await submitted(operator, api, among, between)
    between.rules.append(answers(a_poll(own), **spoilt_with(kong, how)))
    await among.until_reason(operator, Reason.GATEWAY_UNREACHABLE)
    assert "cache" in among.told(operator), "it is said what is the matter"
    assert (among.batch(operator).id, among.batch(operator).status) == (own, "validating")
    between.rules.clear()
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert among.batch(operator).id == own
    assert cancels(kong) == []


@WRONG
async def test_a_cancellation_answered_with_another_batch_cancels_ours_and_no_other(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between, *, how: str
) -> None:
    own = await submitted(operator, api, among, between)
    rule = answers(a_cancellation(own), **spoilt_with(kong, how))
    between.rules.append(rule)
    jobs = [batch.id for batch in operator.status().batches]
    api.remove("batchjobs", "job")
    await operator.until(lambda: between.spoilt)
    await operator.quiet()
    assert api.get("batchjobs", "job") is not None, "its word that the batch has ended is not believed"
    between.rules.remove(rule)
    await operator.until(lambda: cancels(kong).count(own) > 1)
    kong.advance(60)
    await operator.until_gone()
    assert set(cancels(kong)) == set(jobs)
    assert among.states()[own] == "cancelled"


async def test_a_poll_of_a_deleted_job_that_tells_of_another_batch_cancels_no_other(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between
) -> None:
    own = await submitted(operator, api, among, between)
    other = another(kong)
    between.rules.append(answers(a_poll(own), id=other, status="in_progress"))
    await among.until_reason(operator, Reason.GATEWAY_UNREACHABLE)
    jobs = [batch.id for batch in operator.status().batches]
    api.remove("batchjobs", "job")
    await operator.until(lambda: set(cancels(kong)) == set(jobs))
    between.rules.clear()
    kong.advance(60)
    await operator.until_gone()
    assert set(cancels(kong)) == set(jobs)
    assert states(kong)[other] in ("in_progress", "finalizing", "completed")


@pytest.mark.parametrize("metadata", [{"llmbatch_uid": "another"}, None], ids=["another job", "another file"])
async def test_a_create_call_answered_with_another_batch_ends_in_our_own(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between, *, metadata: Json | None
) -> None:
    other = another(kong, metadata=metadata)
    told = {"id": other, "input_file_id": "file-theirs", "metadata": metadata}
    between.rules.append(answers(its_order(among), **told))
    own = await submitted(operator, api, among, between)
    assert own == among.creates()[0]["answer_id"]
    assert own != other
    await operator.until(lambda: counted(operator, "adoptions"), None)
    assert counted(operator, "adoptions") == 1
    assert len(among.creates()) == 1
    assert cancels(kong) == []


async def test_without_a_list_a_person_is_told_what_the_create_call_was_answered_with(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between
) -> None:
    kong.configure(list_supported=False)
    told = {"id": another(kong), "input_file_id": "file-theirs", "metadata": None}
    between.rules.append(answers(its_order(among), **told))
    among.apply(api, url=between.url)
    await among.until_reason(operator, Reason.SUBMISSION_UNKNOWN)
    assert "answered with a batch of another file or job" in among.told(operator)
    assert "was lost" not in among.told(operator)
    assert f"llmbatch.io/resubmit={among.call(2)}" in among.told(operator)


async def test_a_file_that_is_another_one_is_not_taken_for_ours(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between
) -> None:
    kong.configure(file_pending_seconds=0.05)

    def spoil(told: Exchange) -> None:
        file_id = among.batch(operator).input_file_id
        if file_id and told.method == "GET" and told.path == f"/files/{file_id}":
            told.json = {**told.json, "id": "file-theirs", "status": "error"}

    between.rules.append(spoil)
    among.apply(api, url=between.url)
    await among.until_reason(operator, Reason.GATEWAY_UNREACHABLE)
    assert not among.creates()
    between.rules.clear()
    await among.submitted(operator)


@pytest.mark.parametrize("name", ["0b2f9a6e-1111-4222-8333-123456789abc-0-1.jsonl", "theirs.jsonl"])
async def test_an_upload_answered_with_another_file_ends_in_a_batch_of_ours_and_leaves_theirs(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between, *, name: str
) -> None:
    part = {"file": (name, b"{}\n", "application/jsonl")}
    async with httpx.AsyncClient() as client:
        theirs = (await client.post(f"{kong.url}/files", data={"purpose": "batch"}, files=part)).json()
    theirs["created_at"] -= 3600

    def spoil(told: Exchange) -> None:
        if told.method == "POST" and told.path == "/files":
            told.json = theirs

    between.rules.append(spoil)
    among.apply(api, url=between.url)
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert between.spoilt
    assert theirs["id"] not in {call["body"]["input_file_id"] for call in kong.calls("batches.create")}
    assert [file["id"] for file in kong.files() if not file["deleted"]] == [theirs["id"]]


async def test_a_deletion_answered_for_another_file_is_asked_for_again(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between
) -> None:
    await submitted(operator, api, among, between)

    def spoil(told: Exchange) -> None:
        if told.method == "DELETE" and between.spoilt < 2:
            told.json = {"object": "file", "deleted": True, "id": "file-theirs"}

    between.rules.append(spoil)
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert between.spoilt == 2
    assert all(file["deleted"] for file in kong.files())


async def test_a_duplicate_that_turns_out_to_be_another_jobs_is_not_cancelled(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between
) -> None:
    """The list says that it is made of our file; asked for itself, it names another job."""
    other = another(kong, metadata={"llmbatch_uid": "another"})

    def spoil(told: Exchange) -> None:
        if told.is_list and among.batch(operator).input_file_id:
            mine = among.batch(operator).input_file_id
            page = told.json
            page["data"] = [
                {**item, "input_file_id": mine, "metadata": None} if item["id"] == other else item
                for item in page["data"]
            ]
            told.json = page

    between.rules.append(spoil)
    among.apply(api, job=among.job(), url=between.url)
    await among.submitted(operator)
    await operator.until(lambda: between.spoilt > 2)
    assert cancels(kong) == []
