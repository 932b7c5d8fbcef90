"""A list that is not over, or can't be read, proves nothing: nobody pays a second time on its word."""

from collections.abc import Callable
from typing import Any

import pytest

from llmbatch.api import RESUBMIT_ANNOTATION
from llmbatch.api.reasons import Reason
from tests.controller.among import Among, also_second
from tests.controller.conftest import FIVE
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import LATER, cancels, searches
from tests.controller.test_strays import left, somebody_elses
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.between import Between, Exchange
from tests.support.inprocess import Operator, apply_all

SETTLE_SECONDS = 0.3


def lists(**page: Any) -> Callable[[Exchange], None]:
    """Have every page of batches be this one."""

    def spoil(told: Exchange) -> None:
        if told.is_list:
            told.status, told.json = 200, {"object": "list", **page}

    return spoil


OTHER: Json = {"id": "batch_x", "input_file_id": "file-x", "status": "completed", "created_at": 1}

UNPROVEN = [
    pytest.param({"data": [], "has_more": True}, id="empty, and goes on"),
    pytest.param({"data": [], "has_more": "true"}, id="empty, and goes on by a text"),
    pytest.param({"data": [], "has_more": True, "last_id": "batch_x"}, id="empty for ever"),
    pytest.param({"data": []}, id="empty, and says no more"),
    pytest.param({"data": [], "has_more": None}, id="empty, and null"),
    pytest.param({"data": [], "has_more": False, "nextLink": "https://example.com/2"}, id="empty, with a next link"),
    pytest.param({"data": [OTHER], "has_more": True}, id="the first page for ever"),
    pytest.param({"data": [None, "x", 7], "has_more": False}, id="entries that are none"),
    pytest.param({"data": [{}], "has_more": False}, id="an entry without anything"),
    pytest.param({"data": [{"id": "batch_y"}], "has_more": False}, id="an entry of an id alone"),
    pytest.param({"data": [{"id": "batch_y", "metadata": {}}, OTHER], "has_more": False}, id="one of two unreadable"),
]


OF_THE_SECOND = ("empty, and goes on", "the first page for ever", "one of two unreadable")


async def looked_for_long(operator: Operator, kong: Instance, among: Among) -> None:
    """Wait until the list was read long after the settle period of the one call that was made."""
    (call,) = among.creates()
    await operator.until(lambda: searches(kong) and searches(kong)[-1]["time"] - call["time"] > 2 * SETTLE_SECONDS)
    await operator.quiet()


@pytest.mark.parametrize(("page", "among"), also_second(UNPROVEN, *OF_THE_SECOND), indirect=["among"])
async def test_a_list_that_does_not_state_its_end_is_no_ground_for_a_second_batch(
    operator: Operator, api: ApiServer, kong: Instance, between: Between, among: Among, *, page: Json
) -> None:
    rule = lists(**page)
    between.rules.append(rule)
    among.fault("reset_after", "batches.create")
    among.apply(api, url=between.url)
    await among.until_reason(operator, Reason.SUBMISSION_UNKNOWN)
    await operator.until(lambda: ("Warning", "SubmissionUnknown") in operator.events(), None)
    await looked_for_long(operator, kong, among)
    assert len(among.creates()) == 1
    assert operator.status().holds("Stalled")
    between.rules.remove(rule)
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert len(among.states()) == 1
    assert counted(operator, "adoptions") == 1


async def test_a_person_may_decide_about_a_list_that_never_ends(
    operator: Operator, api: ApiServer, between: Between, among: Among
) -> None:
    between.rules.append(lists(data=[], has_more=True))
    among.fault("reset_before", "batches.create")
    among.apply(api, url=between.url)
    await among.until_reason(operator, Reason.SUBMISSION_UNKNOWN)
    assert f"{RESUBMIT_ANNOTATION}={among.call(2)}" in among.told(operator)
    api.edit("batchjobs", "job", {"metadata": {"annotations": {RESUBMIT_ANNOTATION: among.call(2)}}})
    await among.ended(operator)
    assert (among.reason(operator), among.batch(operator).create_calls) == (Reason.SUCCEEDED, 2)
    assert len(among.states()) == 1


async def test_a_page_that_fails_in_the_middle_proves_nothing_and_is_asked_for_again(
    operator: Operator, api: ApiServer, kong: Instance, between: Between, among: Among
) -> None:
    def spoil(told: Exchange) -> None:
        if told.is_list and "after" in told.query:
            told.status, told.body = 503, b"{}"

    kong.configure(page_size=5, list_order="oldest")
    kong.insert_batch(count=8, age_seconds=60, status="completed")
    between.rules.append(spoil)
    among.fault("reset_after", "batches.create")
    among.apply(api, url=between.url)
    await operator.until(lambda: "answered 503" in among.told(operator))
    await looked_for_long(operator, kong, among)
    assert len(among.creates()) == 1
    between.rules.clear()
    await among.ended(operator)
    assert len(kong.batches()) == 8 + among.count


async def test_a_later_page_that_is_put_off_is_waited_for_and_needs_no_person(
    operator: Operator, api: ApiServer, kong: Instance, between: Between, among: Among
) -> None:
    def spoil(told: Exchange) -> None:
        if told.is_list and "after" in told.query:
            told.status, told.body = 429, b'{"message": "API rate limit exceeded"}'

    kong.configure(page_size=5, list_order="oldest")
    kong.insert_batch(count=8, age_seconds=60, status="completed")
    between.rules.append(spoil)
    among.fault("reset_after", "batches.create")
    among.apply(api, url=between.url)
    await among.until_reason(operator, Reason.RATE_LIMITED)
    assert not operator.status().holds("Stalled")
    between.rules.clear()
    await among.ended(operator)
    assert len(kong.batches()) == 8 + among.count


async def test_what_was_found_before_a_page_that_fails_is_adopted(
    operator: Operator, api: ApiServer, kong: Instance, between: Between, among: Among
) -> None:
    def spoil(told: Exchange) -> None:
        if told.is_list and "after" in told.query:
            told.status, told.body = 503, b"{}"

    kong.configure(page_size=5)
    kong.insert_batch(count=8, age_seconds=60, status="completed")
    between.rules.append(spoil)
    among.fault("repeat", "batches.create", seconds=LATER, status=504, as_="kong")
    among.apply(api, url=between.url)
    await among.submitted(operator)
    assert not among.checked(operator), "whether there are more is not known yet"
    assert len(cancels(kong)) == 1
    between.rules.clear()
    await operator.until(lambda: among.checked(operator))


async def test_while_the_list_is_not_whole_a_repeat_of_the_call_is_told_to_be_unchecked(
    operator: Operator, api: ApiServer, between: Between, among: Among
) -> None:
    between.rules.append(lists(data=[], has_more=True))
    among.apply(api, url=between.url)
    await among.all_submitted(operator)
    told = f"Part {among.index}: The gateway's list" if among.several else "The gateway's list"
    await operator.until(lambda: [event for event in api.objects("events") if event["message"].startswith(told)])


# --- files -----------------------------------------------------------------------------------------------------------


OLD = [{"id": f"file-old-{number}", "filename": "old.jsonl", "bytes": 1, "status": "processed"} for number in range(99)]


@pytest.mark.parametrize("order", ["oldest", "none"])
@pytest.mark.parametrize("pages", [1, 4])
async def test_strays_are_found_in_a_list_of_files_of_any_order(
    operator: Operator, api: ApiServer, kong: Instance, between: Between, *, order: str, pages: int
) -> None:
    def relist(told: Exchange) -> None:
        """List the files of years as well, the oldest first or in no order, in pages of twenty."""
        if told.method != "GET" or told.path != "/files" or told.query.get("limit") == "1":
            return
        found: list[Json] = [
            {**item, "created_at": 1_000_000 + 9_000 * number} for number, item in enumerate(OLD[: pages * 20 - 5])
        ]
        found += told.json["data"]
        if order == "none":
            found = sorted(found, key=lambda item: item["id"][::-1])
        after = told.query.get("after")
        begin = next((number + 1 for number, item in enumerate(found) if item["id"] == after), 0)
        if after is not None and begin == 0:
            told.status, told.json = 404, {"error": {"code": "notFound", "message": "No such file."}}
            return
        page: list[Json] = found[begin : begin + 20]
        told.json = {"object": "list", "data": page, "has_more": len(found) > begin + 20, "last_id": page[-1]["id"]}

    between.rules.append(relist)
    apply_all(api, kong, FIVE, url=between.url)
    await operator.until(lambda: operator.status().summary.submission_time)
    # Of uploads whose answer was lost, and which were not found in time.
    for number in (7, 8):
        somebody_elses(kong, f"{operator.job()['metadata']['uid']}-0-{number}.jsonl")
    assert len(left(kong)) == 3
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == "Succeeded"
    assert left(kong) == []


async def test_a_list_of_files_without_an_end_is_told_of_when_an_upload_was_lost(
    operator: Operator, api: ApiServer, between: Between, among: Among
) -> None:
    def spoil(told: Exchange) -> None:
        if told.method == "GET" and told.path == "/files":
            told.json = {"data": [], "has_more": True}

    between.rules.append(spoil)
    among.fault("reset_after", "files.create")
    among.apply(api, job=among.job(deletionPolicy={"cleanupTimeoutSeconds": 1}), url=between.url)
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    await operator.until(lambda: ("Warning", "RemoteFilesRetained") in operator.events(), None)
