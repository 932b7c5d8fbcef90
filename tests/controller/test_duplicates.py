"""Somebody on the way repeats the create call and answers as if nothing had happened: one batch is kept, and told of."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.test_ambiguity import counted, reasons
from tests.controller.test_submit import left_behind
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator

LATER = 1.1
"""Seconds between a call and its repeat: created_at has whole ones."""


def checked(operator: Operator) -> bool:
    return operator.status().summary.duplicates_checked_time is not None


def states(kong: Instance) -> dict[str, str]:
    return {batch["id"]: batch["object"]["status"] for batch in kong.batches()}


def searches(kong: Instance) -> list[Json]:
    """Give the calls that look for batches in the list."""
    return [call for call in kong.calls("batches.list") if call["query"].get("limit") == "100"]


def cancels(kong: Instance) -> list[str]:
    return [call["path"].split("/")[-2] for call in kong.calls("batches.cancel")]


def given(operator: Operator, among: Among | None = None, **further: Any) -> dict[str, Any]:
    """Order a batch as our own call does."""
    uid = operator.job()["metadata"]["uid"]
    batch = among.batch(operator) if among is not None else operator.batch()
    made = {"input_file_id": batch.input_file_id, "metadata": {"llmbatch_uid": uid}}
    return {"endpoint": "/v1/chat/completions", "completion_window": "24h", **made, **further}


async def submitted(operator: Operator) -> str:
    await operator.until(lambda: operator.status().summary.submission_time)
    return operator.status().batches[0].id or ""


async def test_of_two_batches_of_one_call_the_older_is_kept(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("repeat", "batches.create", seconds=LATER)
    among.apply(api)
    await operator.until(lambda: among.checked(operator))
    (call,) = among.creates()
    (older,) = call["unseen_ids"]
    assert among.batch(operator).id == older
    assert cancels(kong) == [call["answer_id"]]
    await operator.until(lambda: operator.status().phase == "Validating")
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert among.states() == {older: "completed", call["answer_id"]: "cancelled"}
    assert counted(operator, "duplicate_batches") == 1
    assert counted(operator, "adoptions") == 1
    assert operator.events().count(("Warning", "DuplicateCancelled")) == 1
    assert operator.events().count(("Normal", "Adopted")) == 1
    assert Reason.COLLECTING not in reasons(api) or operator.status().output is not None


async def test_of_two_of_the_same_second_the_recorded_one_is_kept(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.apply(api)
    own = await among.submitted(operator)
    other = kong.insert_batch(**given(operator, among), age_seconds=0)["id"]
    await operator.until(lambda: among.checked(operator))
    assert (among.batch(operator).id, cancels(kong)) == (own, [other])
    assert counted(operator, "adoptions") == 0


async def test_a_repeat_that_ended_in_an_error_leaves_one_batch_too(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("repeat", "batches.create", seconds=LATER, status=504, as_="kong")
    among.apply(api)
    await operator.until(lambda: among.checked(operator))
    (call,) = among.creates()
    assert among.batch(operator).id == call["unseen_ids"][0]
    assert cancels(kong) == [call["answer_id"]]
    assert counted(operator, "duplicate_batches") == 1, (
        "found again when it was looked for others, and not counted again"
    )
    assert operator.events().count(("Warning", "DuplicateCancelled")) == 1


async def test_a_repeat_is_noticed_after_the_end_of_a_quick_batch_too(
    api: ApiServer, kong: Instance, tmp_path: Path, among: Among
) -> None:
    among.fault("repeat", "batches.create", seconds=LATER)
    async with Operator(api, tmp_path, settle_seconds=600).running() as operator:
        among.apply(api)
        own = await among.submitted(operator)
        await among.ended(operator)
        assert (among.reason(operator), among.batch(operator).id) == (Reason.SUCCEEDED, own)
        assert set(states(kong).values()) == {"completed"}
        assert counted(operator, "duplicate_batches") == 1, "both were paid for, and that is told"
        await operator.until(lambda: ("Warning", "DuplicateCancelled") in operator.events(), None)


async def test_a_repeat_that_still_runs_when_ours_is_done_is_cancelled(
    api: ApiServer, kong: Instance, tmp_path: Path, among: Among
) -> None:
    async with Operator(api, tmp_path, settle_seconds=600).running() as operator:
        among.apply(api)
        own = await among.submitted(operator)
        await among.all_submitted(operator)
        kong.advance(700)
        other = kong.insert_batch(**given(operator, among))["id"]
        await among.ended(operator, seconds=100)
        assert (among.reason(operator), among.batch(operator).id) == (Reason.SUCCEEDED, own)
        assert cancels(kong) == [other]
        assert states(kong)[other] in ("cancelling", "cancelled")


@pytest.mark.parametrize("status", ["cancelled", "failed"])
async def test_a_batch_that_came_to_nothing_gives_way_to_its_repeat(
    api: ApiServer, kong: Instance, tmp_path: Path, among: Among, status: str
) -> None:
    async with Operator(api, tmp_path, settle_seconds=600).running() as operator:
        among.apply(api)
        own = await among.submitted(operator)
        await among.all_submitted(operator)
        if status == "cancelled":
            # A person who sees two and stops one.
            async with httpx.AsyncClient() as person:
                (await person.post(f"{kong.url}/batches/{own}/cancel")).raise_for_status()
        else:
            among.configure(forced_errors=[{"code": "token_limit_exceeded"}])
            kong.advance(61)
            assert among.states() == {own: "failed"}
            among.configure(forced_errors=[])
        other = kong.insert_batch(**given(operator, among))["id"]
        kong.advance(10)
        await operator.until(lambda: among.batch(operator).id == other)
        await among.ended(operator)
        assert among.reason(operator) == Reason.SUCCEEDED
        assert among.stored(api) == among.whole("one", "two", "three", "four", "five")
        assert counted(operator, "duplicate_batches") == (status == "failed"), "what others cancelled we did not"


async def test_a_dead_batch_that_the_list_shows_alive_is_not_kept(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    kong.configure(list_stale=True)
    among.apply(api)
    own = await among.submitted(operator)
    kong.insert_batch(**given(operator, among), age_seconds=50, status="cancelled")
    await operator.until(lambda: among.checked(operator))
    assert among.batch(operator).id == own
    assert not cancels(kong)
    assert counted(operator, "duplicate_batches") == 0


async def test_a_batch_that_names_another_job_is_left_alone(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.apply(api)
    own = await among.submitted(operator)
    kong.insert_batch(**given(operator, among, metadata={"llmbatch_uid": "another"}), age_seconds=100)
    await operator.until(lambda: among.checked(operator))
    assert among.batch(operator).id == own
    assert not cancels(kong)


async def test_nor_is_it_adopted(operator: Operator, api: ApiServer, kong: Instance) -> None:
    left_behind(api, kong, "file-1")
    order = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "input_file_id": "file-1"}
    theirs = kong.insert_batch(**order, metadata={"llmbatch_uid": "another"})["id"]
    await operator.until(lambda: kong.calls("batches.create"))
    assert theirs not in cancels(kong)


@pytest.mark.parametrize("offset", [-600, 600])
async def test_a_clock_that_is_off_delays_nothing(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, offset: int
) -> None:
    kong.configure(clock_offset_seconds=offset, keep_metadata=False)
    among.fault("repeat", "batches.create", seconds=LATER)
    among.apply(api)
    await operator.until(lambda: among.checked(operator))
    (call,) = among.creates()
    assert cancels(kong) == [call["answer_id"]]


async def test_a_refusal_after_two_batches_were_made_ends_in_one(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    # A limit that lets two repeats pass and answers the third: nothing tells us that the first two were accepted.
    among.fault("repeat", "batches.create", status=429, as_="kong", seconds=LATER)
    among.apply(api)
    await operator.until(lambda: among.checked(operator))
    # The list tells; nothing more is ordered.
    (call,) = among.creates()
    assert among.batch(operator).id == call["unseen_ids"][0]
    assert cancels(kong) == [call["answer_id"]]
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert sorted(among.states().values()) == ["cancelled", "completed"]
    assert counted(operator, "duplicate_batches") == 1


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_final_refusal_after_a_batch_was_made_ends_in_that_batch(
    operator: Operator, api: ApiServer, among: Among, status: int
) -> None:
    among.fault("accepted_status", "batches.create", status=status)
    among.apply(api)
    made = await among.submitted(operator)
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert among.states() == {made: "completed"}
    assert counted(operator, "adoptions") == 1


async def test_a_final_refusal_is_believed_when_the_list_fails(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("status", "batches.create", status=422)
    among.apply(api)
    await operator.until(
        lambda: operator.gateway_reason() == Reason.GATEWAY_READY and len(kong.batches()) == among.index
    )
    kong.fault("status", "batches.list", status=503, times=-1)
    await operator.until(among.creates)
    (call,) = among.creates()
    await operator.until(lambda: any(search["fault"] and search["time"] > call["time"] for search in searches(kong)))
    kong.clear_faults()
    await among.ended(operator)
    assert among.reason(operator) == Reason.REQUEST_REFUSED
    assert among.states() == {}
    assert len(among.creates()) == 1


async def test_a_deleted_job_cancels_the_repeat_of_its_batch_too(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    kong.configure(keep_metadata=False)
    among.fault("repeat", "batches.create")
    among.apply(api)
    await among.submitted(operator)
    api.remove("batchjobs", "job")
    await operator.until(lambda: set(cancels(kong)) >= set(among.states()))
    kong.advance(1)
    await operator.until_gone()
    kong.advance(60)
    assert set(states(kong).values()) == {"cancelled"}
    assert set(cancels(kong)) == set(states(kong))
    assert len(among.states()) == 2
    # A pass that began before the watch told of the deletion is given up once, perhaps after it has cancelled the batch.
    assert all(cancels(kong).count(batch) <= 2 for batch in states(kong))
    assert all(file["deleted"] for file in kong.files())


async def test_what_could_not_be_written_is_not_counted_twice(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("repeat", "batches.create", seconds=LATER)
    among.apply(api)

    def states_check(body: Json) -> bool:
        batches = (body.get("status") or {}).get("batches") or []
        return len(batches) > among.index and "duplicatesCheckedTime" in batches[among.index]

    refused = api.fault("status", "patch", "batchjobs", "status", times=3, where=states_check)
    await operator.until(lambda: among.checked(operator))
    assert refused.times == 0
    assert counted(operator, "duplicate_batches") == 1
    assert len(cancels(kong)) == 1


async def test_a_cancellation_that_fails_is_tried_again_and_counted_once(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("repeat", "batches.create", seconds=LATER)
    kong.fault("status", "batches.cancel", status=503, times=2)
    among.apply(api)
    await operator.until(lambda: among.checked(operator))
    (call,) = among.creates()
    assert among.batch(operator).id == call["unseen_ids"][0]
    assert cancels(kong) == [call["answer_id"]] * 3
    assert counted(operator, "duplicate_batches") == 1
    assert counted(operator, "adoptions") == 1
