"""A line feed ends a line, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbatch.jsonl.split import Overlong, lines


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param([b"a\nb\n"], [b"a", b"b"], id="whole"),
        pytest.param([b"a\nb"], [b"a", b"b"], id="the last line has no end"),
        pytest.param([b"a", b"b", b"\nc", b"\n"], [b"ab", b"c"], id="in pieces"),
        pytest.param([b"a\n", b"\n", b"\n"], [b"a", b"", b""], id="blank lines are lines"),
        pytest.param(["a\u2028b\r\x0b\x0c\n".encode()], ["a\u2028b\r\x0b\x0c".encode()], id="nothing else ends a line"),
        pytest.param([], [], id="nothing"),
        pytest.param([b"12345", b"6789", b"01\nab\n"], [Overlong(11), b"ab"], id="too long"),
        pytest.param([b"12345", b"67890"], [Overlong(10)], id="too long to the end"),
        pytest.param([b"12345", b"678\n", b"x"], [b"12345678", b"x"], id="just not too long"),
    ],
)
def test_lines(chunks: list[bytes], expected: list[bytes | Overlong]) -> None:
    assert list(lines(chunks, 8)) == expected


@given(st.lists(st.binary(max_size=6) | st.just(b"\n"), max_size=12))
def test_nothing_is_lost_wherever_the_chunks_end(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    expected = whole.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert list(lines(chunks, 1000)) == expected


@given(st.lists(st.binary(max_size=6) | st.just(b"\n"), max_size=12))
def test_lengths_add_up_to_the_whole(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    found = [item.length if isinstance(item, Overlong) else len(item) for item in lines(chunks, 7)]
    assert sum(length + 1 for length in found) == len(whole) + (1 if whole and not whole.endswith(b"\n") else 0)
