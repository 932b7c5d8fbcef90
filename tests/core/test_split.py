"""A line feed ends a line, and nothing else does."""

import pytest

from llmbatch.core.split import Overlong, lines


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
