"""Somebody on the way repeats the create call and answers as if nothing had happened: one batch is kept, and told of."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.controller.test_ambiguity import counted, reasons
from tests.controller.test_submit import left_behind
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all

LATER = 1.1
"""Seconds between a call and its repeat: created_at has whole ones."""


def checked(operator: Operator) -> bool:
    return operator.status().summary.duplicates_checked_time is not None


def states(kong: Instance) -> dict[str, str]:
    return {batch["id"]: batch["object"]["status"] for batch in kong.batches()}


def cancels(kong: Instance) -> list[str]:
    return [call["path"].split("/")[-2] for call in kong.calls("batches.cancel")]


def given(operator: Operator, **further: Any) -> dict[str, Any]:
    """Order a batch as our own call does."""
    uid = operator.job()["metadata"]["uid"]
    made = {"input_file_id": operator.status().batches[0].input_file_id, "metadata": {"llmbatch_uid": uid}}
    return {"endpoint": "/v1/chat/completions", "completion_window": "24h", **made, **further}


async def submitted(operator: Operator) -> str:
    await operator.until(lambda: operator.status().summary.submission_time)
    return operator.status().batches[0].id or ""


async def test_of_two_batches_of_one_call_the_older_is_kept(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.fault("repeat", "batches.create", seconds=LATER)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: checked(operator))
    (call,) = kong.calls("batches.create")
    (older,) = call["unseen_ids"]
    assert operator.status().batches[0].id == older
    assert cancels(kong) == [call["answer_id"]]
    assert operator.status().phase == "Validating"
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert states(kong) == {older: "completed", call["answer_id"]: "cancelled"}
    assert counted(operator, "duplicate_batches") == 1
    assert counted(operator, "adoptions") == 1
    assert operator.events().count(("Warning", "DuplicateCancelled")) == 1
    assert operator.events().count(("Normal", "Adopted")) == 1
    assert Reason.COLLECTING not in reasons(api) or operator.status().output is not None


async def test_of_two_of_the_same_second_the_recorded_one_is_kept(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    own = await submitted(operator)
    other = kong.insert_batch(**given(operator), age_seconds=0)["id"]
    await operator.until(lambda: checked(operator))
    assert (operator.status().batches[0].id, cancels(kong)) == (own, [other])
    assert counted(operator, "adoptions") == 0


async def test_a_repeat_that_ended_in_an_error_leaves_one_batch_too(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("repeat", "batches.create", seconds=LATER, status=504, as_="kong")
    apply_all(api, kong, FIVE)
    await operator.until(lambda: checked(operator))
    (call,) = kong.calls("batches.create")
    assert operator.status().batches[0].id == call["unseen_ids"][0]
    assert cancels(kong) == [call["answer_id"]]
    assert counted(operator, "duplicate_batches") == 1, (
        "found again when it was looked for others, and not counted again"
    )
    assert operator.events().count(("Warning", "DuplicateCancelled")) == 1


async def test_nobody_looks_before_the_settle_period_is_over_and_then_once(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, settle_seconds=1.5).running() as operator:
        apply_all(api, kong, FIVE)
        await submitted(operator)
        kong.clear_calls()
        for _ in range(3):
            await operator.look()
            await operator.quiet()
        assert not [call for call in kong.calls("batches.list") if call["query"].get("limit") == "100"]
        await operator.until(lambda: checked(operator))
        kong.advance(3600)
        await operator.until_ended()
        assert len([call for call in kong.calls("batches.list") if call["query"].get("limit") == "100"]) == 1


async def test_a_repeat_is_noticed_after_the_end_of_a_quick_batch_too(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.fault("repeat", "batches.create", seconds=LATER)
    async with Operator(api, tmp_path, settle_seconds=600).running() as operator:
        apply_all(api, kong, FIVE)
        own = await submitted(operator)
        kong.advance(3600)
        await operator.until_ended()
        assert (operator.reason(), operator.status().batches[0].id) == (Reason.SUCCEEDED, own)
        assert set(states(kong).values()) == {"completed"}
        assert counted(operator, "duplicate_batches") == 1, "both were paid for, and that is told"
        await operator.until(lambda: ("Warning", "DuplicateCancelled") in operator.events(), None)


async def test_a_repeat_that_still_runs_when_ours_is_done_is_cancelled(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, settle_seconds=600).running() as operator:
        apply_all(api, kong, FIVE)
        own = await submitted(operator)
        kong.advance(700)
        other = kong.insert_batch(**given(operator))["id"]
        kong.advance(100)
        await operator.until_ended()
        assert (operator.reason(), operator.status().batches[0].id) == (Reason.SUCCEEDED, own)
        assert cancels(kong) == [other]
        assert states(kong)[other] in ("cancelling", "cancelled")


@pytest.mark.parametrize("status", ["cancelled", "failed"])
async def test_a_batch_that_came_to_nothing_gives_way_to_its_repeat(
    api: ApiServer, kong: Instance, tmp_path: Path, status: str
) -> None:
    async with Operator(api, tmp_path, settle_seconds=600).running() as operator:
        apply_all(api, kong, FIVE)
        own = await submitted(operator)
        if status == "cancelled":
            # A person who sees two and stops one.
            async with httpx.AsyncClient() as person:
                (await person.post(f"{kong.url}/batches/{own}/cancel")).raise_for_status()
        else:
            kong.configure(forced_errors=[{"code": "token_limit_exceeded"}])
            kong.advance(61)
            assert states(kong) == {own: "failed"}
            kong.configure(forced_errors=[])
        other = kong.insert_batch(**given(operator))["id"]
        kong.advance(10)
        await operator.until(lambda: operator.status().batches[0].id == other)
        kong.advance(3600)
        await operator.until_ended()
        assert operator.reason() == Reason.SUCCEEDED
        assert len(api.data("secrets", "results", "r.jsonl").splitlines()) == 5
        assert counted(operator, "duplicate_batches") == (status == "failed"), "what others cancelled we did not"


async def test_a_dead_batch_that_the_list_shows_alive_is_not_kept(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(list_stale=True)
    apply_all(api, kong, FIVE)
    own = await submitted(operator)
    kong.insert_batch(**given(operator), age_seconds=50, status="cancelled")
    await operator.until(lambda: checked(operator))
    assert operator.status().batches[0].id == own
    assert not cancels(kong)
    assert counted(operator, "duplicate_batches") == 0


async def test_a_batch_that_names_another_job_is_left_alone(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE)
    own = await submitted(operator)
    kong.insert_batch(**given(operator, metadata={"llmbatch_uid": "another"}), age_seconds=100)
    await operator.until(lambda: checked(operator))
    assert operator.status().batches[0].id == own
    assert not cancels(kong)


async def test_nor_is_it_adopted(operator: Operator, api: ApiServer, kong: Instance) -> None:
    left_behind(api, kong, "file-1")
    order = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "input_file_id": "file-1"}
    theirs = kong.insert_batch(**order, metadata={"llmbatch_uid": "another"})["id"]
    await operator.until(lambda: kong.calls("batches.create"))
    assert theirs not in cancels(kong)


@pytest.mark.parametrize("offset", [-600, 600])
async def test_a_clock_that_is_off_delays_nothing(
    operator: Operator, api: ApiServer, kong: Instance, offset: int
) -> None:
    kong.configure(clock_offset_seconds=offset, keep_metadata=False)
    kong.fault("repeat", "batches.create", seconds=LATER)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: checked(operator))
    (call,) = kong.calls("batches.create")
    assert cancels(kong) == [call["answer_id"]]


async def test_a_refusal_after_two_batches_were_made_ends_in_one(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    # A limit that lets two repeats pass and answers the third: nothing tells us that the first two were accepted.
    kong.fault("repeat", "batches.create", status=429, as_="kong", seconds=LATER)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: checked(operator))
    first, second = kong.calls("batches.create")
    assert operator.status().batches[0].id == first["unseen_ids"][0]
    assert sorted(cancels(kong)) == sorted([first["answer_id"], second["answer_id"]])
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert sorted(states(kong).values()) == ["cancelled", "cancelled", "completed"]
    assert counted(operator, "duplicate_batches") == 2


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_final_refusal_after_a_batch_was_made_ends_in_that_batch(
    operator: Operator, api: ApiServer, kong: Instance, status: int
) -> None:
    kong.fault("accepted_status", "batches.create", status=status)
    apply_all(api, kong, FIVE)
    made = await submitted(operator)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert states(kong) == {made: "completed"}
    assert counted(operator, "adoptions") == 1


async def test_a_final_refusal_is_believed_when_the_list_fails(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "batches.create", status=422)
    kong.fault("status", "batches.list", status=503, skip=1)  # after the one that finds the gateway ready
    apply_all(api, kong, FIVE)
    await operator.until_ended()
    (failed,) = [call for call in kong.calls("batches.list") if call["fault"] is not None]
    assert failed["query"]["limit"] == "100"
    assert operator.reason() == Reason.REQUEST_REFUSED
    assert states(kong) == {}
    assert len(kong.calls("batches.create")) == 1


async def test_a_deleted_job_cancels_the_repeat_of_its_batch_too(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(keep_metadata=False)
    kong.fault("repeat", "batches.create")
    apply_all(api, kong, FIVE)
    await submitted(operator)
    api.remove("batchjobs", "job")
    await operator.until(lambda: cancels(kong))
    kong.advance(1)
    await operator.until_gone()
    kong.advance(60)
    assert set(states(kong).values()) == {"cancelled"}
    assert set(cancels(kong)) == set(states(kong))
    assert len(states(kong)) == 2
    # A pass that began before the watch told of the deletion is given up once, perhaps after it has cancelled the batch.
    assert len(cancels(kong)) in (2, 3)
    assert all(file["deleted"] for file in kong.files())


async def test_what_could_not_be_written_is_not_counted_twice(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("repeat", "batches.create", seconds=LATER)
    apply_all(api, kong, FIVE)

    def states_check(body: Json) -> bool:
        return "duplicatesCheckedTime" in (body.get("status") or {})

    refused = api.fault("status", "patch", "batchjobs", "status", times=3, where=states_check)
    await operator.until(lambda: checked(operator))
    assert refused.times == 0
    assert counted(operator, "duplicate_batches") == 1
    assert len(cancels(kong)) == 1


async def test_a_cancellation_that_fails_is_tried_again_and_counted_once(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("repeat", "batches.create", seconds=LATER)
    kong.fault("status", "batches.cancel", status=503, times=2)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: checked(operator))
    (call,) = kong.calls("batches.create")
    assert operator.status().batches[0].id == call["unseen_ids"][0]
    assert cancels(kong) == [call["answer_id"]] * 3
    assert counted(operator, "duplicate_batches") == 1
    assert counted(operator, "adoptions") == 1
