"""Answers that HTTP allows and nobody expects: each call comes to a value, and to the one that costs nobody anything."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.batch.directory.reading import SHARE_BYTES, Reading
from llmbatch.batch.directory.readings import Readings
from llmbatch.provider.edge.client import Gateway, NotMade, UnknownOutcome
from llmbatch.provider.edge.files import Files
from llmbatch.provider.edge.outcome import Answered, Refused, Unreachable
from llmbatch.provider.edge.route import resolve
from llmbatch.provider.edge.uploaded import EVER
from llmbatch.provider.pure.pages import MOST_BYTES, Following
from llmbatch.transfer.edge.upload import upload
from tests.edges.plans import CHAT, connection_to, jsonl, upload_plan
from tests.support.hostile import HostileGateway, reply, say

ADDRESSES = [
    b"javascript:x", b"mailto:a@b", b"https:a", b"http:", b"x:", b"http://xn--/", b"http://xn---", b"://", b"?", b"", b"/a b\xff",
    b"https://[::1", b"https://[::1]:99h/", b"http://[v1.x]/", b"https://kong.example:99999999/", b"a" * 65_530, b"//", b"\xe9:\xe9",
]  # fmt: skip
SMALL: dict[str, Callable[[Gateway], Awaitable[Any]]] = {
    "create": lambda gateway: gateway.create_batch("file-1", CHAT, "24h", {}),
    "poll": lambda gateway: gateway.get_batch("batch_1"),
    "cancel": lambda gateway: gateway.cancel_batch("batch_1"),
    "list": lambda gateway: gateway.list_batches(),
    "list files": lambda gateway: gateway.list_files(),
    "file": lambda gateway: gateway.get_file("file-1"),
    "delete": lambda gateway: gateway.delete_file("file-1"),
    "probe": lambda gateway: gateway.probe(),
}


def large(url: str) -> dict[str, Callable[[], Any]]:
    def with_files(call: Callable[[Files], Any]) -> Callable[[], Any]:
        def made() -> Any:
            with Files(resolve(connection_to(url), {})) as files:
                return call(files)

        return made

    return {
        "upload": lambda: upload(upload_plan(url), jsonl("a"), {}),
        "page": with_files(lambda files: files.page()),
        "download": with_files(lambda files: files.download("file-1", io.BytesIO())),
        "is gone": with_files(lambda files: files.is_gone("file-1")),
    }


async def told(answer: bytes, call: str = "") -> dict[str, Any]:
    """Give what calls come to that are answered so: one of the small ones, or all."""
    async with HostileGateway(all=say(answer)).serving() as server:
        gateway = Gateway.connect(connection_to(server.url), {})
        try:
            small = {name: await made(gateway) for name, made in SMALL.items() if call in ("", name)}
        finally:
            await gateway.close()
        more = {name: await asyncio.to_thread(made) for name, made in large(server.url).items() if call == ""}
    return {**small, **more}


# --- redirects -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ADDRESSES, ids=[repr(address[:20]) for address in ADDRESSES])
async def test_a_redirect_to_what_is_no_address_is_a_refusal_like_any_other(address: bytes) -> None:
    found = await told(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + address + b"\r\n\r\n")
    assert isinstance(found["create"], NotMade)
    assert isinstance(found["poll"], Refused)
    assert "which is not followed" in found["poll"].message
    assert found["probe"].batches.reason is Reason.NOT_A_BATCH_API
    assert found["upload"].problem.reason is Reason.REQUEST_REFUSED
    assert isinstance(found["download"], Refused)


PERHAPS = (
    *("303 See Other", "304 Not Modified", "306 Switch Proxy", "399 Odd", "101 Switching Protocols"),
    *("408 Request Timeout", "460 Gone Away", "499 Client Closed Request"),
)


@pytest.mark.parametrize("status", PERHAPS)
async def test_what_was_perhaps_done_all_the_same_is_not_taken_for_undone(status: str) -> None:
    answer = reply({"error": {"message": "See there."}}, status, "Location: /batches/batch_1")
    assert isinstance((await told(answer, "create"))["create"], UnknownOutcome)
    async with HostileGateway(upload=say(answer)).serving() as server:
        report = await asyncio.to_thread(upload, upload_plan(server.url), jsonl("a"), {})
        assert report.unanswered
        assert server.calls["files"] == 1, "it is looked for"


async def test_a_call_that_is_not_implemented_did_nothing() -> None:
    found = await told(reply({"error": {"message": "Not implemented."}}, "501 Not Implemented"))
    assert isinstance(found["create"], NotMade)
    assert not found["create"].retryable
    assert {type(found[name]) for name in ("poll", "cancel", "list", "delete", "page", "download")} == {Refused}
    assert not found["upload"].unanswered


@pytest.mark.parametrize(
    "status", ["300 Choices", "302 Found", "307 Elsewhere", "407 Proxy", "421 No", "423 No", "425 Early", "426 Upgrade"]
)
async def test_what_is_not_about_the_call_itself_ends_no_job(status: str) -> None:
    """A page of maintenance, a proxy's credentials, too early: the same call succeeds once that is mended."""
    made = (await told(reply({"message": "not now"}, status), "create"))["create"]
    assert isinstance(made, NotMade)
    assert made.retryable


# --- deletions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"id": "file-1", "object": "file", "deleted": False}, "not deleted"),
        ({"id": "file-1", "deleted": "false"}, "not deleted"),
        ({"error": {"message": "in use"}}, "error"),
        (b"\n<!DOCTYPE html><title>Sign in</title>", "web page"),
        (b"\xef\xbb\xbf<html><title>Sign in</title>", "web page"),
    ],
)
async def test_a_deletion_whose_answer_contradicts_it_is_none(body: object, why: str) -> None:
    found = (await told(reply(body), "delete"))["delete"]
    assert isinstance(found, Unreachable)
    assert why in found.message


async def test_a_file_that_is_gone_for_good_is_deleted() -> None:
    assert isinstance((await told(reply(b"", "410 Gone"), "delete"))["delete"], Answered)


@pytest.mark.parametrize(
    "body", [b"", {"id": "file-1", "object": "file", "deleted": True}, {"deleted": None, "error": None}, b"OK", b"null"]
)
async def test_any_other_answer_to_a_deletion_is_believed(body: object) -> None:
    assert isinstance((await told(reply(body), "delete"))["delete"], Answered)


# --- cookies -------------------------------------------------------------------------------------------------------------


async def test_no_cookie_is_taken() -> None:
    cookies = [f"Set-Cookie: session{number}=s; Path=/" for number in range(20)]
    body = {"id": "batch_1", "status": "in_progress", "data": []}
    async with HostileGateway(all=say(reply(body, "200 OK", *cookies))).serving() as server:
        gateway = Gateway.connect(connection_to(server.url), {})
        for _ in range(3):
            assert isinstance(await gateway.get_batch("batch_1"), Answered)
        await gateway.close()

        def twice() -> None:
            with Files(resolve(connection_to(server.url), {})) as files:
                files.page()
                files.page()

        await asyncio.to_thread(twice)
        assert len(server.heads) == 5
        assert not [head for head in server.heads if "cookie" in head.lower()]


# --- lists ---------------------------------------------------------------------------------------------------------------


async def test_a_list_without_an_end_takes_no_more_memory_than_its_part() -> None:
    made = 0

    async def way(writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        # So small that it needs no room of its own to be read, and many times as large in memory.
        writer.write(reply({"data": [{"id": f"{made}-{n}"} for n in range(3000)], "has_more": True}))
        await writer.drain()

    async with HostileGateway(batches=way).serving() as server:
        gateway = Gateway.connect(connection_to(server.url), {})
        readings = Readings(Gateway.list_batches)
        try:
            reading, following = Reading(gateway, Gateway.list_batches, readings.room), Following(EVER, 500)
            cursors: list[str | None] = [None]
            answer = await reading.page(None)
            while isinstance(answer, Answered) and following.take(answer.value):
                cursors.append(following.after)
                answer = await reading.page(following.after)
            assert isinstance(answer, Answered)
            assert not following.whole
            size = answer.value.size
            assert made == len(cursors) == -(-MOST_BYTES // size)
            for cursor in cursors:
                await reading.page(cursor)
            assert 2 * len(cursors) - made == SHARE_BYTES // size, "as many pages are kept for others, and no more"
        finally:
            await gateway.close()


# --- everything else -----------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
RAW = {
    "nothing": b"",
    "half a status line": b"HTTP/1.",
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "HTTP/0.9": b'{"id": "batch_1"}',
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status that nobody knows": b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
    "100 and nothing": b"HTTP/1.1 100 Continue\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00",
    "103, and then an answer": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}",
    "206": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\n{}",
    "205 with a body": b"HTTP/1.1 205 Reset\r\nContent-Length: 2\r\n\r\n{}",
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n{}",
    "a huge length": OK + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "a length that is none": OK + b"Content-Length: two\r\n\r\n{}",
    "a length in other digits": OK + "Content-Length: ٢\r\n\r\n{}".encode(),
    "too little": OK + b"Content-Length: 9\r\n\r\n{}",
    "too much": OK + b"Content-Length: 2\r\n\r\n{} and more",
    "a length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "an unknown transfer encoding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a chunk without an end": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}",
    "a chunk of no size": OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n{}\r\n",
    "a chunk of a huge size": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n{}",
    "long trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
    "a head without an end": OK + b"X: " + b"x" * 200_000,
    "a header without a colon": OK + b"nothing\r\n\r\n{}",
    "a header without a name": OK + b": x\r\nContent-Length: 2\r\n\r\n{}",
    "bytes in a header": OK + b"X-Request-Id: \xff\xfe\x80\r\nRetry-After: \xb2\r\nContent-Length: 2\r\n\r\n{}",
    "a folded header": OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "odd types": OK + b"Content-Type: \xff; charset=utf-16\r\nContent-Length: 2\r\n\r\n{}",
    "an odd cookie": OK + b"Set-Cookie: =\xff;;;expires=x;domain=.\r\nContent-Length: 2\r\n\r\n{}",
    "a refusal with odd headers": b"HTTP/1.1 429 \xff\r\nRetry-After: \xb2\xff\r\nDate: x\r\nContent-Length: 0\r\n\r\n",
    "a refusal in UTF-16": b"HTTP/1.1 400 No\r\nContent-Length: 4\r\n\r\n\xff\xfe{\x00",
    "a refusal that ends early": b"HTTP/1.1 413 Too Large\r\nContent-Length: 99\r\n\r\n<html>",
    "a refusal, badly compressed": b"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx",
    "numbers without end": OK + b"Content-Length: 25\r\n\r\n" + b'{"id":' + b"9" * 18 + b"}",
    "NaN": OK + b'Content-Length: 25\r\n\r\n{"id":NaN,"data":Infinity}'[:62],
    "half a letter": OK + b'Content-Length: 16\r\n\r\n{"id": "\\ud800" }',
    "a byte-order mark": OK + b"Content-Length: 5\r\n\r\n\xef\xbb\xbf{}",
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
async def test_whatever_is_answered_every_call_comes_to_a_value(name: str) -> None:
    async def way(writer: asyncio.StreamWriter) -> None:
        writer.write(RAW[name])
        await writer.drain()
        writer.close()

    async with HostileGateway(all=way).serving() as server:
        gateway = Gateway.connect(connection_to(server.url), {})
        try:
            for call in SMALL.values():
                assert await call(gateway) is not None
        finally:
            await gateway.close()
        for made in large(server.url).values():
            assert await asyncio.to_thread(made) is not None
