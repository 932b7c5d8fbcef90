"""What a compressed answer can do: be read, if it is one layer and whole; and nothing else, whatever is in it."""

import asyncio
import gzip
import io
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from typing import Any

import pytest

from llmbatch.provider.edge import bodies, calling
from llmbatch.provider.edge.client import Gateway, UnknownOutcome
from llmbatch.provider.edge.files import Files, TooLargeError
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound, Refused, Unreachable
from llmbatch.provider.edge.route import resolve
from llmbatch.provider.pure.wire import TOO_MANY_BATCHES, TOO_MANY_FILES
from tests.edges.plans import CHAT, connection_to
from tests.edges.test_files import answering

LINES = b"".join(b'{"custom_id": "%d"}\n' % number for number in range(2000))
BATCH = b'{"id": "batch_1", "status": "in_progress"}'
MOST_MEMORY = 48 * 1024 * 1024


def raw_deflate(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


def answer(body: bytes, encoding: str, status: str = "200 OK", *, announced: bool = True) -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if announced else ""
    return f"HTTP/1.1 {status}\r\nContent-Encoding: {encoding}\r\n{length}\r\n".encode() + body


def chunked(body: bytes, encoding: str, *, ended: bool = True) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"%x\r\n%b\r\n" % (len(body), body) + (b"0\r\n\r\n" if ended else b"")


def downloaded(said: bytes, most: int | None = None) -> tuple[Answered[int] | Failure, bytes]:
    into = io.BytesIO()
    with answering(said) as url, Files(resolve(connection_to(url), {})) as files:
        return files.download("file-1", into, most=most), into.getvalue()


@cache
def bomb(layers: int, size: int = 64 * 1024 * 1024) -> bytes:
    """Compress that many zeros; the last layers make of it a few kilobytes."""
    deflate = zlib.compressobj(9, wbits=31)
    piece = bytes(1024 * 1024)
    data = b"".join(deflate.compress(piece) for _ in range(size // len(piece))) + deflate.flush()
    for _ in range(layers - 1):
        data = gzip.compress(data)
    return data


# --- downloads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(gzip.compress(LINES), "gzip"), id="gzip"),
        pytest.param(answer(gzip.compress(LINES), "X-GZip"), id="gzip under its other name"),
        pytest.param(answer(gzip.compress(LINES), "identity, gzip"), id="one layer and none"),
        pytest.param(answer(zlib.compress(LINES), "deflate"), id="deflate"),
        pytest.param(answer(raw_deflate(LINES), "deflate"), id="deflate without its head"),
        pytest.param(answer(LINES, ""), id="an empty encoding"),
        pytest.param(answer(LINES, "utf-8"), id="an encoding that is none of HTTP's"),
        pytest.param(chunked(gzip.compress(LINES), "gzip"), id="in chunks"),
        pytest.param(answer(gzip.compress(LINES), "gzip", announced=False), id="to the end of the connection"),
        pytest.param(answer(gzip.compress(LINES[:999]) + gzip.compress(LINES[999:]), "gzip"), id="in two members"),
    ],
)
def test_a_compressed_download_is_read_to_its_end(said: bytes) -> None:
    assert downloaded(said) == (Answered(len(LINES)), LINES)


CUT = gzip.compress(LINES)[:-600]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(CUT, "gzip"), id="with the length of the cut"),
        pytest.param(chunked(CUT, "gzip"), id="in chunks"),
        pytest.param(chunked(gzip.compress(LINES), "gzip", ended=False), id="without the last chunk"),
        pytest.param(answer(CUT, "gzip", announced=False), id="to the end of the connection"),
        pytest.param(answer(gzip.compress(LINES)[:-4], "gzip"), id="without its check sum's end"),
        pytest.param(answer(gzip.compress(LINES)[:-8] + bytes(8), "gzip"), id="with another check sum"),
        pytest.param(answer(zlib.compress(LINES)[:-1], "deflate"), id="deflate"),
        pytest.param(answer(raw_deflate(LINES)[:-1], "deflate"), id="deflate without its head"),
        pytest.param(answer(b"x", "deflate"), id="a single byte"),
        pytest.param(answer(b"", "gzip", announced=False), id="nothing, to the end of the connection"),
        pytest.param(answer(gzip.compress(LINES) + gzip.compress(LINES)[:-9], "gzip"), id="in the second member"),
        pytest.param(answer(gzip.compress(LINES) + b"and more", "gzip"), id="something else behind it"),
        pytest.param(answer(zlib.compress(LINES) + b"and more", "deflate"), id="something else behind deflate"),
        pytest.param(answer(LINES, "gzip"), id="not compressed at all"),
    ],
)
def test_a_compressed_download_that_was_cut_or_damaged_is_not_whole(said: bytes) -> None:
    result, _ = downloaded(said)
    assert isinstance(result, Unreachable)
    assert result.sent, "so that it is begun again"


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,deflate", "br", "zstd", "compress", "dcb", "gzip, br"])
def test_more_than_one_layer_or_one_that_was_not_asked_for_is_refused(encoding: str) -> None:
    result, stored = downloaded(answer(gzip.compress(gzip.compress(LINES)), encoding))
    assert isinstance(result, Unreachable)
    assert "switch the compression of this route off" in result.message
    assert stored == b""


def test_a_bomb_is_downloaded_no_further_than_can_be_used() -> None:
    said = answer(bomb(1), "gzip")
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        downloaded(said, most=1024 * 1024)
    assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    tracemalloc.stop()


# --- small calls ---------------------------------------------------------------------------------------------------------

Call = Callable[[Gateway], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "a poll": lambda client: client.get_batch("batch_1"),
    "a cancellation": lambda client: client.cancel_batch("batch_1"),
    "a list of batches": lambda client: client.list_batches(),
    "a list of files": lambda client: client.list_files(),
    "a look at a file": lambda client: client.get_file("file-1"),
    "a deletion": lambda client: client.delete_file("file-1"),
}


async def asked(said: bytes, call: Call = CALLS["a poll"]) -> Any:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            writer.write(said)
            await writer.drain()
            writer.write_eof()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    client = Gateway.connect(connection_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), {})
    try:
        return await call(client)
    finally:
        await client.close()
        server.close()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("layers", "encoding"),
    [(1, "gzip"), (2, "gzip"), (2, "gzip, gzip"), (3, "gzip, gzip, gzip"), (2, "br"), (2, "zstd")],
)
async def test_a_bomb_takes_no_more_memory_than_the_largest_answer(call: Call, layers: int, encoding: str) -> None:
    said = answer(bomb(layers), encoding)
    tracemalloc.start()
    result = await asked(said, call)
    assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    tracemalloc.stop()
    # What a deletion's answer says is of no account, and of a list that is too long nothing is known.
    unread = (None, TOO_MANY_BATCHES, TOO_MANY_FILES)
    assert isinstance(result, Unreachable) or (result in map(Answered, unread) and encoding == "gzip")


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "429 Too Many Requests", "503 Unavailable"])
@pytest.mark.parametrize(("layers", "encoding"), [(1, "gzip"), (2, "gzip, gzip"), (1, "br")])
async def test_a_bomb_in_a_refusal_is_read_a_little_and_the_status_counts(
    status: str, layers: int, encoding: str
) -> None:
    said = answer(bomb(layers), encoding, status)
    tracemalloc.start()
    result = await asked(said)
    assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    tracemalloc.stop()
    assert isinstance(result, Refused | Unreachable | NotFound)
    assert f"answered {status[:3]}" in result.message


async def test_a_compressed_answer_of_one_layer_is_read() -> None:
    result = await asked(answer(gzip.compress(BATCH), "gzip"))
    assert isinstance(result, Answered)
    assert result.value.id == "batch_1"


async def test_a_create_calls_answer_that_cannot_be_decoded_may_have_made_a_batch() -> None:
    for said in (answer(gzip.compress(BATCH)[:-5], "gzip"), answer(BATCH, "br"), answer(bomb(2), "gzip, gzip")):
        result = await asked(said, lambda client: client.create_batch("file-1", CHAT, "24h", {}))
        assert isinstance(result, UnknownOutcome)


async def test_compressed_bytes_without_content_are_no_way_around_the_limit() -> None:
    result = await asked(answer(gzip.compress(b"") * 500_000, "gzip"))
    assert isinstance(result, Unreachable)
    assert "nothing in them" in result.message
    # A member's file name, which nobody needs, without an end.
    result = await asked(answer(b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 9_000_000, "gzip"))
    assert isinstance(result, Unreachable)
    assert "larger than" in result.message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 200_000, id="deep"),
        pytest.param(b'{"a":' * 200_000, id="deep objects"),
        pytest.param(b'{"data": [' + b"{}," * 1_000_000 + b"{}]}", id="a million entries"),
        pytest.param(b'{"id": "b", "created_at": ' + b"9" * 1_000_000 + b"}", id="a number of a million digits"),
        pytest.param(b'{"id": "b", "created_at": 1e999999}', id="a number beyond all"),
        pytest.param(b'"' + b"\\u005b" * 1_000_000 + b'"', id="deep, in a text"),
        pytest.param(b'"[' + b"[]\\u002c" * 1_000_000 + b'[]]"', id="a million entries, in a text"),
    ],
)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_json_that_would_fill_memory_or_stack_is_an_answer_that_cannot_be_read(call: Call, body: bytes) -> None:
    result = await asked(answer(gzip.compress(body), "gzip"), call)
    assert isinstance(result, Answered | Unreachable)


async def test_every_call_asks_for_no_compression_whatever_the_spec_says() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    connection = connection_to(url, headers=[{"name": "accept-encoding", "value": "gzip, br"}])
    client = Gateway.connect(connection, {})
    for call in CALLS.values():
        await call(client)
    await client.create_batch("file-1", CHAT, "24h", {})
    await client.close()
    with Files(resolve(connection, {})) as files:
        await asyncio.to_thread(files.upload, "uid-0-1.jsonl", iter([b"x"]), 1)
        await asyncio.to_thread(files.download, "file-1", io.BytesIO())
    server.close()
    assert len(heads) == len(CALLS) + 3
    for head in heads:
        (asked_for,) = [line for line in head.lower().split(b"\r\n") if line.startswith(b"accept-encoding")]
        assert asked_for == b"accept-encoding: identity"


# --- many at once --------------------------------------------------------------------------------------------------------


def test_large_answers_of_one_tenant_leave_room_for_those_of_others() -> None:
    room = bodies.Room(whole=100, share=40)
    room.take("a", 40)
    with pytest.raises(bodies.BodyError):
        room.take("a", 1)
    room.take("b", 40)
    room.give("a", 40)
    with pytest.raises(bodies.BodyError):
        room.take("a", 1)  # it was read just now, which took time too


async def test_an_answer_larger_than_its_tenants_room_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "ROOM", bodies.Room(share=200_000))
    result = await asked(answer(gzip.compress(b'{"id": "batch_1", "x": "' + b"x" * 300_000 + b'"}'), "gzip"))
    assert isinstance(result, Unreachable)
    assert "at the same time" in result.message
    result = await asked(answer(gzip.compress(b'{"id": "batch_1", "x": "' + b"x" * 60_000 + b'"}'), "gzip"))
    assert isinstance(result, Answered)
