"""Lines are gone over many at once, which makes no difference to what comes of them."""

import json
from collections.abc import Iterator
from hashlib import sha256
from zlib import crc32

from hypothesis import example, given
from hypothesis import strategies as st

from llmbatch.jsonl import sending, split
from llmbatch.jsonl.cut import Cutter
from llmbatch.jsonl.lines import LineChecker

ENDPOINT = "/v1/chat/completions"


def request(custom_id: object = "a", model: object = "gpt-4o", **given: object) -> bytes:
    """Make a line."""
    body = {"model": model, "messages": []}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body, **given}).encode()


LINES = st.one_of(
    st.sampled_from([
        request(),
        request("b"),
        request("c", url="/chat/completions"),
        request("d", url=1),
        request("e", url=[]),
        request("f", model=None),
        request("g", model="another"),
        request("h", method="GET"),
        request("i", body=[]),
        request("j", body={"model": "gpt-4o", "stream": True}),
        request(1),
        request(""),
        request("x" * 513),
        request("k" * 20, more="y" * 600),
        b"{}",
        b"{]}",
        b"{\xff}",
        b'{"custom_id": NaN}',
        b'{"a":' * 300 + b"1" + b"}" * 300,
    ]),
    st.integers(0, 9).map(lambda number: request(f"request-{number}")),
)  # fmt: skip


@given(st.lists(LINES), st.sampled_from([None, "other"]), st.integers(1, 5))
def test_the_check_finds_the_same_faults(lines: list[bytes], override: str | None, most: int) -> None:
    together, apart = (LineChecker(ENDPOINT, override, most, 600) for _ in range(2))
    together.check_all(lines)
    for line in lines:
        apart.check(line)
    assert (together.errors, together.error_count, together.requests) == (
        apart.errors,
        apart.error_count,
        apart.requests,
    )
    # What comes after them is numbered and compared alike.
    for checker in (together, apart):
        checker.check(request("b"))
    assert together.errors == apart.errors


@given(st.lists(st.lists(st.binary(min_size=1, max_size=9).filter(lambda line: b"\n" not in line), min_size=1)))
def test_an_input_is_cut_at_the_same_places(sheaves: list[list[bytes]]) -> None:
    together, apart = (Cutter(40, 4) for _ in range(2))
    for sheaf in sheaves:
        if not together.add_all(sheaf):
            for line in sheaf:
                together.add(line, len(line) + 1)
        for line in sheaf:
            apart.add(line, len(line) + 1)
    assert together.finish(ended=True) == apart.finish(ended=True)


def chunks_of(content: bytes, size: int) -> Iterator[bytes]:
    """Cut bytes into pieces."""
    return (content[at : at + size] for at in range(0, len(content), size))


@given(st.text("{}\n\r a").map(str.encode), st.integers(1, 4))
@example(b"{}\n{}\n", 1)
@example(b"{}\n{}", 2)
@example(b"{}\n\n{}", 3)
@example(b"\n", 1)
def test_an_input_is_plain_where_each_line_is_and_then_it_is_sent_byte_for_byte(content: bytes, size: int) -> None:
    lines = list(sending.lines(chunks_of(content, size), 100))
    found = sending.plain(chunks_of(content, size))
    if not lines or not sending.are_plain(lines):
        assert found is None
        return
    assert found == (len(content), sha256(content).hexdigest(), len(lines), crc32(content))
    sent = sending.Sent(rewritten=False)
    for sheaf in sending.sheaves(sent.watched(chunks_of(content, size)), 100):
        assert sending.are_plain(sheaf)
        sent.add_all(sheaf)
    sent.finish()
    assert (sent.length, sent.sha256) == found[:2]


@given(st.text("ab\n").map(str.encode), st.integers(1, 4), st.integers(4, 9))
def test_sheaves_hold_the_same_lines(content: bytes, size: int, limit: int) -> None:
    sheaves = list(split.sheaves(chunks_of(content, size), limit))
    assert [line for sheaf in sheaves for line in sheaf] == list(split.lines(chunks_of(content, size), limit))
    assert all(isinstance(line, bytes) for sheaf in sheaves for line in sheaf[1:])
    assert all(sheaves)
