"""Gateways that answer with success and do nothing, serve the wrong thing, or lack a call that all others have."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.conftest import FIVE
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import LATER, cancels, given
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.between import Between, Exchange, Refusal
from tests.support.inprocess import Operator

SOON = {"cleanupTimeoutSeconds": 1}


def messages(operator: Operator, reason: Reason) -> list[str]:
    return [event["message"] for event in operator.api.objects("events") if event["reason"] == reason]


# --- cancellations -------------------------------------------------------------------------------------------------------


def instead_of_cancelling(kong: Instance, batch_id: str, how: str) -> Refusal:
    """Answer the cancellation of a batch, or of any, without passing it on."""

    def refusal(told: Exchange) -> bool:
        if not told.path.endswith("/cancel") or batch_id not in told.path:
            return False
        (shown,) = [batch["object"] for batch in kong.batches() if batch["id"] == told.path.split("/")[2]]
        error = {"error": {"message": "Not found", "type": "invalid_request_error", "code": None}}
        told.status, told.json = {
            "takes no notice": (200, shown),
            "knows no such call": (404, error),
            "says that it is over": (409, error),
        }[how]
        return True

    return refusal


HOW = pytest.mark.parametrize("how", ["takes no notice", "knows no such call", "says that it is over"])


@HOW
async def test_a_duplicate_that_runs_on_is_cancelled_again_and_not_told_to_be_cancelled(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between, *, how: str
) -> None:
    among.apply(api, url=between.url)
    own = await among.submitted(operator)
    other = kong.insert_batch(**given(operator, among), age_seconds=0)["id"]
    between.instead.append(instead_of_cancelling(kong, other, how))
    await operator.until(lambda: between.spoilt > 2)
    assert counted(operator, "duplicate_batches") == 0
    assert messages(operator, Reason.DUPLICATE_CANCELLED) == []
    assert not among.checked(operator)
    between.instead.clear()
    await operator.until(lambda: among.checked(operator))
    assert (among.batch(operator).id, cancels(kong)) == (own, [other])
    assert counted(operator, "duplicate_batches") == 1
    await operator.until(lambda: messages(operator, Reason.DUPLICATE_CANCELLED), None)
    (told,) = messages(operator, Reason.DUPLICATE_CANCELLED)
    assert told.endswith("it is cancelled.")


async def test_a_duplicate_that_is_cancelled_a_little_later_is_told_of_then(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between
) -> None:
    among.apply(api, url=between.url)
    await among.submitted(operator)
    other = kong.insert_batch(**given(operator, among), age_seconds=0)["id"]

    def behind(told: Exchange) -> None:
        if told.path in (f"/batches/{other}/cancel", f"/batches/{other}") and between.spoilt < 2:
            told.json = {**told.json, "status": "in_progress"}

    between.rules.append(behind)
    await operator.until(lambda: among.checked(operator))
    assert cancels(kong) == [other]
    assert counted(operator, "duplicate_batches") == 1
    await operator.until(lambda: messages(operator, Reason.DUPLICATE_CANCELLED), None)
    assert len(messages(operator, Reason.DUPLICATE_CANCELLED)) == 1


@HOW
async def test_a_duplicate_that_runs_on_keeps_no_lost_batch_from_being_taken_over(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between, *, how: str
) -> None:
    between.instead.append(instead_of_cancelling(kong, "", how))
    among.fault("repeat", "batches.create", seconds=LATER, status=504, as_="kong")
    among.apply(api, url=between.url)
    own = await among.submitted(operator)
    await operator.until(lambda: counted(operator, "adoptions"), None)
    between.instead.clear()
    await operator.until(lambda: among.checked(operator))
    (call,) = among.creates()
    assert (call["unseen_ids"], cancels(kong)) == ([own], [call["answer_id"]])


@HOW
async def test_a_deleted_job_whose_batch_is_not_cancelled_says_which_runs_on(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between, *, how: str
) -> None:
    among.apply(api, job=among.job(deletionPolicy=SOON), url=between.url)
    await among.all_submitted(operator)
    own = among.batch(operator).id or ""
    between.instead.append(instead_of_cancelling(kong, own, how))
    api.remove("batchjobs", "job")
    await operator.until_gone()
    assert between.spoilt
    (told,) = messages(operator, Reason.REMOTE_FILES_RETAINED)
    assert f"batch {own}" in told


# --- deletions -----------------------------------------------------------------------------------------------------------


async def test_a_file_that_is_told_not_to_be_deleted_is_left_behind_and_named_and_keeps_no_other(
    operator: Operator, api: ApiServer, kong: Instance, between: Between, among: Among
) -> None:
    def spoil(told: Exchange) -> bool:
        file_id = among.batch(operator).input_file_id
        if told.method != "DELETE" or told.path != f"/files/{file_id}":
            return False
        told.status, told.json = 200, {"id": file_id, "object": "file", "deleted": False}
        return True

    between.instead.append(spoil)
    among.apply(api, job=among.job(deletionPolicy=SOON), url=between.url)
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    kept = among.batch(operator).input_file_id
    assert [file["id"] for file in kong.files() if not file["deleted"]] == [kept]
    assert any(
        f"Remote file {kept} can't be deleted" in told for told in messages(operator, Reason.REMOTE_FILES_RETAINED)
    )


# --- the wrong file ------------------------------------------------------------------------------------------------------


async def test_the_input_served_as_the_output_is_no_result(
    operator: Operator, api: ApiServer, kong: Instance, between: Between, among: Among
) -> None:
    """A request says nothing of what became of it: to count it as failed would be to delete the answers."""

    def spoil(told: Exchange) -> None:
        outputs = {batch["id"]: batch["object"]["output_file_id"] for batch in kong.batches()}
        if told.path == f"/files/{outputs.get(among.batch(operator).id)}/content":
            told.body = FIVE

    between.rules.append(spoil)
    among.apply(api, url=between.url)
    await among.all_submitted(operator)
    kong.advance(3600)
    await among.until_reason(operator, Reason.RESULTS_UNREADABLE)
    assert {among.batch(operator).input_file_id, among.batch(operator).output_file_id} <= {
        file["id"] for file in kong.files() if not file["deleted"]
    }
    between.rules.clear()
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED


# --- 501 -----------------------------------------------------------------------------------------------------------------


async def test_a_list_that_is_not_implemented_is_worked_without(
    operator: Operator, api: ApiServer, between: Between, among: Among
) -> None:
    def refusal(told: Exchange) -> bool:
        if told.method != "GET" or told.path != "/batches":
            return False
        told.status, told.body = 501, b"Not Implemented"
        return True

    between.instead.append(refusal)
    among.fault("reset_after", "batches.create")
    among.apply(api, url=between.url)
    await among.until_reason(operator, Reason.SUBMISSION_UNKNOWN)
    assert "does not list batches" in among.told(operator)
    gateway: Any = api.get("batchgateways", "kong")
    assert gateway["status"]["capabilities"] == {"listBatches": False}
    assert operator.gateway_reason() == Reason.GATEWAY_READY


async def test_a_batch_to_which_a_create_call_redirects_is_found(
    operator: Operator, api: ApiServer, kong: Instance, between: Between, among: Among
) -> None:
    """Without a list, a person is asked: the batch is there and is paid for."""
    kong.configure(list_supported=False)
    made: list[Json] = []

    def see_other(told: Exchange) -> None:
        if told.method == "POST" and told.path == "/batches" and among.is_of(told.json.get("metadata")):
            made.append(told.json)
            told.status, told.body = 303, json.dumps({"location": told.json["id"]}).encode()

    between.rules.append(see_other)
    among.apply(api, url=between.url)
    await among.until_reason(operator, Reason.SUBMISSION_UNKNOWN)
    assert len(made) == 1
    assert not operator.status().has_ended


# --- not known yet -------------------------------------------------------------------------------------------------------


async def test_a_batch_that_was_made_a_moment_ago_is_not_taken_for_gone_and_is_cancelled(
    api: ApiServer, kong: Instance, between: Between, among: Among, tmp_path: Path
) -> None:
    """A part of the provider doesn't know it yet: to believe that would be to pay for what nobody waits for."""
    async with Operator(api, tmp_path, settle_seconds=30, cleanup_timeout_seconds=60).running() as operator:
        among.apply(api, url=between.url)
        own = await among.submitted(operator)

        def not_yet(told: Exchange) -> bool:
            unknown = told.path.startswith(f"/batches/{own}") and between.spoilt < 6
            told.status, told.json = 404, {"error": {"message": "No such batch", "code": None}}
            return unknown

        between.instead.append(not_yet)
        api.remove("batchjobs", "job")
        await operator.until(lambda: among.states()[own] in ("cancelling", "cancelled"))
        assert between.spoilt == 6
        kong.advance(60)
        await operator.until_gone()
        assert set(among.states().values()) == {"cancelled"}
