"""A file that an earlier try has sent is found by its name and not sent again."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from aiohttp import web

from llmbatch.api.reasons import Reason
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure.report import UploadReport
from tests.edges.plans import jsonl, request_line, upload_plan
from tests.emulator.client import Instance
from tests.support.hostile import HostileGateway, reply, say

NAME = "uid-0-1.jsonl"
DATA = jsonl("a", "b")
LOST: dict[str, dict[str, Any]] = {
    "reset": {"kind": "reset_after"},
    "504": {"kind": "accepted_status", "status": 504, "as_": "kong"},
    "500": {"kind": "accepted_status", "status": 500},
    "408": {"kind": "accepted_status", "status": 408},
    "409": {"kind": "accepted_status", "status": 409},
    "a page": {"kind": "garbled"},
    "cut off": {"kind": "truncate", "bytes": 30},
    "no id": {"kind": "garbled", "message": '{"id": "", "object": "file"}'},
}


def sends(kong: Instance) -> int:
    return len(kong.calls("files.create"))


def put(kong: Instance, content: bytes, name: str = NAME) -> str:
    part = {"file": (name, content, "application/jsonl")}
    answer = httpx.post(f"{kong.url}/files", data={"purpose": "batch"}, files=part).raise_for_status()
    kong.clear_calls()
    return str(answer.json()["id"])


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("dialect", ["azure", "openai"])
def test_an_upload_whose_answer_is_lost_is_found_at_once(kong: Instance, lost: str, dialect: str) -> None:
    kong.configure(dialect=dialect)
    kong.fault(operation="files.create", **LOST[lost])
    report = upload(upload_plan(kong.url), DATA, {})
    assert report.problem is None
    assert report.input is not None
    assert [file["id"] for file in kong.files()] == [report.file_id]


@pytest.mark.parametrize("dialect", ["azure", "openai"])
def test_a_file_that_an_earlier_try_has_left_is_taken(kong: Instance, dialect: str) -> None:
    kong.configure(dialect=dialect)
    earlier = put(kong, DATA)
    put(kong, DATA, "other-0-1.jsonl")
    report = upload(upload_plan(kong.url, look=True), DATA, {})
    assert (report.file_id, sends(kong)) == (earlier, 0)


def test_what_is_sent_counts_and_not_what_the_input_was(kong: Instance) -> None:
    first = upload(upload_plan(kong.url, model="mine"), DATA + b"\n", {})
    kong.clear_calls()
    report = upload(upload_plan(kong.url, model="mine", look=True), DATA + b"\n", {})
    assert (report.file_id, sends(kong)) == (first.file_id, 0)


@pytest.mark.parametrize(
    "content",
    [DATA[:-10], b"", DATA + DATA, DATA.replace(b"hello", b"hallo")],
    ids=["cut off", "empty", "more", "other"],
)
def test_a_file_of_another_content_is_not_taken(kong: Instance, content: bytes) -> None:
    earlier = put(kong, content)
    report = upload(upload_plan(kong.url, look=True), DATA, {})
    assert report.file_id not in (None, earlier)
    assert sends(kong) == 1


@pytest.mark.parametrize("status", ["error", "deleted"])
def test_a_file_that_is_of_no_use_is_not_taken(kong: Instance, status: str) -> None:
    put(kong, DATA)
    kong.configure(file_final_status=status)
    assert upload(upload_plan(kong.url, look=True), DATA, {}).file_id is not None
    assert sends(kong) == 1


def test_where_content_is_not_shown_the_size_decides(kong: Instance) -> None:
    earlier = put(kong, DATA)
    kong.fault(
        "status", "files.content", status=400, message="Not allowed to download files of purpose: batch", times=-1
    )
    assert upload(upload_plan(kong.url, look=True), DATA, {}).file_id == earlier
    report = upload(upload_plan(kong.url, look=True), DATA + request_line("c").encode(), {})
    assert report.file_id not in (None, earlier)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "reset_before"},
        {"kind": "not_json"},
        {"kind": "status", "status": 429},
    ],
)
def test_nothing_is_sent_before_it_is_known_what_is_there(kong: Instance, fault: dict[str, Any]) -> None:
    kong.fault(operation="files.list", **fault)
    report = upload(upload_plan(kong.url, look=True), DATA, {})
    assert report.problem is not None
    assert not report.unanswered
    assert sends(kong) == 0


@pytest.mark.parametrize("status", [404, 405, 501])
def test_without_a_list_it_is_sent_and_says_that_nobody_can_tell(kong: Instance, status: int) -> None:
    kong.fault("status", "files.list", status=status, times=-1)
    kong.fault("status", "files.create", status=504)
    report = upload(upload_plan(kong.url, look=True), DATA, {})
    assert (sends(kong), report.unanswered, report.listed) == (1, True, False)


def test_a_list_that_ends_without_it_says_so(kong: Instance) -> None:
    kong.fault("status", "files.create", status=504, as_="kong")
    report = upload(upload_plan(kong.url), DATA, {})
    assert (report.unanswered, report.listed) == (True, True)
    assert report.problem is not None
    assert report.problem.reason is Reason.GATEWAY_UNREACHABLE


@pytest.mark.parametrize("status", [400, 401, 403, 413, 415, 422, 429])
def test_a_refusal_is_an_answer(kong: Instance, status: int) -> None:
    kong.fault("status", "files.create", status=status)
    assert not upload(upload_plan(kong.url), DATA, {}).unanswered


@pytest.mark.parametrize("look", [True, False])
def test_a_list_that_fails_after_it_was_whole_is_a_list_all_the_same(kong: Instance, *, look: bool) -> None:
    """An outage: what was sent before is known not to be there, and what is sent now is looked for before the next try."""
    kong.fault("status", "files.list", status=500, skip=int(look), times=-1)
    kong.fault("status", "files.create", status=500)
    report = upload(upload_plan(kong.url, look=look), DATA, {})
    assert (report.file_id, report.unanswered, report.listed) == (None, True, look)


Page = Callable[[str | None], dict[str, Any]]


async def listed(page: Page, **plan: Any) -> Any:
    """Upload to a gateway that answers 504 and lists files in its own way."""
    asked: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            await request.read()
            return web.json_response({"message": "The upstream server is timing out"}, status=504)
        if request.path.endswith("/content"):
            return web.Response(body=DATA)
        asked.append(request.query.get("after"))
        return web.json_response(page(request.query.get("after")))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return await asyncio.to_thread(upload, upload_plan(url, **plan), DATA, {}), asked
    finally:
        await runner.cleanup()


def entry(number: int, name: str = "theirs.jsonl", **more: object) -> dict[str, object]:
    return {
        "id": f"file-{number}",
        "object": "file",
        "filename": name,
        "bytes": len(DATA),
        "status": "processed",
        **more,
    }


async def test_it_is_found_on_a_later_page_whatever_the_order() -> None:
    def page(after: str | None) -> dict[str, Any]:
        begin = 0 if after is None else int(after.removeprefix("file-")) + 1
        data = [entry(number, NAME if number == 7 else "theirs.jsonl") for number in range(begin, begin + 3)]
        return {"data": data, "has_more": begin < 9}

    report, asked = await listed(page)
    assert report.file_id == "file-7"
    assert asked == [None, "file-2", "file-5"]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"data": [], "has_more": True}, id="empty, and there is more"),
        pytest.param({"data": [entry(1)], "has_more": True}, id="the same page again and again"),
        pytest.param({"data": [entry(1), 7], "has_more": False}, id="an entry that is none"),
        pytest.param({"data": [entry(1), {"id": "file-2"}], "has_more": False}, id="an entry without a name"),
        pytest.param({"data": [entry(1), {"object": "file"}], "has_more": False}, id="an entry without anything"),
    ],
)
async def test_a_list_that_was_not_followed_to_its_end_proves_nothing(page: dict[str, Any]) -> None:
    report, _ = await listed(lambda _: page)
    assert (report.unanswered, report.listed) == (True, False)


async def test_a_list_that_is_too_long_to_be_read_keeps_nothing_from_being_sent() -> None:
    """Azure lists every file that the resource has, results among them."""
    report, asked = await listed(lambda _: {"data": [entry(number) for number in range(60_000)]}, look=True)
    assert (report.unanswered, report.listed) == (True, False)
    assert asked == [None, None], "before it is sent, and after"


async def test_a_file_that_is_listed_under_an_id_that_cant_be_used_is_not_sent_again() -> None:
    report, _ = await listed(lambda _: json.loads(json.dumps({"data": [entry(1, NAME, id="a/b")]})))
    assert report.problem is not None
    assert (report.problem.reason, report.problem.final) == (Reason.UNUSABLE_ID, False)
    assert "not sent again" in report.problem.message


# --- an answer about another file ----------------------------------------------------------------------------------------

ANOTHERS = "0b2f9a6e-1111-4222-8333-123456789abc-0-1.jsonl"
LONG_AGO = 1_700_000_000


async def answered(**told: object) -> tuple[UploadReport, int]:
    """Upload to a gateway that tells this of the file; answers how often it was then asked for its list, too."""
    file = {"id": "file-1", "object": "file", "filename": NAME, "bytes": len(DATA), "created_at": LONG_AGO, **told}
    async with HostileGateway(upload=say(reply(file))).serving() as server:
        report = await asyncio.to_thread(upload, upload_plan(server.url), DATA, {})
        return report, server.calls["files"]


@pytest.mark.parametrize("told", [
    pytest.param({"filename": ANOTHERS}, id="of another BatchJob"),
    pytest.param({"filename": ANOTHERS, "created_at": None, "bytes": None}, id="of another BatchJob, and nothing else"),
    pytest.param({"filename": "theirs.jsonl", "bytes": 7}, id="of an older file of another name and size"),
    pytest.param({"filename": "theirs.jsonl", "bytes": "7", "created_at": "2024-01-01T00:00:00Z"}, id="the same in other types"),
])  # fmt: skip
async def test_an_answer_about_another_file_is_none_and_ours_is_looked_for(told: dict[str, object]) -> None:
    report, lists = await answered(**told)
    assert (report.file_id, report.unanswered, report.listed, lists) == (None, True, True, 1)
    assert report.problem is not None
    assert "another file" in report.problem.message


@pytest.mark.parametrize("told", [
    pytest.param({}, id="it is the one that was sent"),
    pytest.param({"filename": None}, id="without a name"),
    pytest.param({"filename": ""}, id="with an empty one"),
    pytest.param({"filename": "stored-under-a-name-of-its-own"}, id="renamed"),
    pytest.param({"bytes": 7}, id="rewritten on the way"),
    pytest.param({"filename": "gs://b/x", "bytes": 7, "created_at": None}, id="renamed and rewritten"),
    pytest.param({"filename": "gs://b/x", "bytes": 7, "created_at": 4_000_000_000}, id="the same by a clock ahead"),
    pytest.param({"filename": "gs://b/x", "bytes": None}, id="renamed, and nobody says how large"),
])  # fmt: skip
async def test_a_file_that_was_renamed_or_rewritten_on_the_way_is_ours(told: dict[str, object]) -> None:
    report, lists = await answered(**told)
    assert (report.file_id, lists) == ("file-1", 0)
