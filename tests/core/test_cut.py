"""Parts are whole lines, cover the input, keep its order, and are as large as the limits allow, whatever the input."""

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbatch.jsonl.cut import MOST_PARTS, Cut, Cutter, packed, unpacked

LINE = st.tuples(st.integers(0, 40), st.booleans())
NUMBERS = st.integers(0, 2**34)


def cut(lines: list[bytes], max_bytes: int, max_requests: int) -> list[Cut]:
    cutter = Cutter(max_bytes, max_requests)
    for line in lines:
        text = line.removesuffix(b"\n")
        cutter.add(text, len(text) + 1 if text else 0)
    return cutter.finish(ended=not lines or lines[-1].endswith(b"\n"))


@given(st.lists(LINE, max_size=60), st.integers(42, 200), st.integers(1, 7), st.booleans())
def test_parts_are_whole_lines_that_cover_the_input_in_its_order(
    shapes: list[tuple[int, bool]], max_bytes: int, max_requests: int, ended: bool
) -> None:
    lines = [b"\n" if blank else b"x" * (size + 1) + b"\n" for size, blank in shapes]
    if lines and not ended and not lines[-1].isspace():
        lines[-1] = lines[-1][:-1]
    whole, requests = b"".join(lines), [line for line in lines if not line.isspace()]
    offset = first = 0
    cuts = cut(lines, max_bytes, max_requests)
    for part in cuts:
        source = whole[offset : offset + part.source_bytes]
        sent = b"".join(line for line in source.splitlines(keepends=True) if not line.isspace())
        assert source.endswith(b"\n") or offset + part.source_bytes == len(whole)
        # Counted with the line feed that the last line is perhaps sent without.
        assert (len(sent) + (not sent.endswith(b"\n")), crc32(source)) == (part.bytes, part.crc32)
        assert sent == b"".join(requests[first : first + part.requests])
        assert 0 < part.requests <= max_requests
        assert part.bytes <= max_bytes
        offset, first = offset + part.source_bytes, first + part.requests
        if first < len(requests):
            # Greedy: the next request, counted in the same way, would not have fitted.
            following = len(requests[first].removesuffix(b"\n")) + 1
            assert part.requests == max_requests or part.bytes + following > max_bytes
    assert (offset, first) == ((len(whole), len(requests)) if requests else (0, 0))


def test_a_line_larger_than_a_file_may_be_is_a_part_of_its_own_and_the_checker_names_it() -> None:
    assert [part.requests for part in cut([b"a\n", b"x" * 50 + b"\n", b"b\n"], 10, 5)] == [1, 1, 1]


@given(
    st.lists(st.builds(Cut, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 2**32 - 1), tokens=NUMBERS), max_size=MOST_PARTS)
)
def test_cuts_come_back_as_they_were(cuts: list[Cut]) -> None:
    assert unpacked(packed(cuts)) == cuts


def test_a_hundred_parts_of_the_largest_files_fit_into_a_report() -> None:
    largest = Cut(100_000, 2_000_000_000, 2_000_000_000, 2**32 - 1, 100_000 * 128_000)
    assert len(packed([largest] * MOST_PARTS)) < 3584


@pytest.mark.parametrize("text", ["1.2.3", "1.2.3.4.5.6", "1.2.3.!", "a,b"])
def test_what_is_no_list_of_cuts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"part|invalid literal"):
        unpacked(text)


def test_cuts_of_a_release_that_knew_of_no_tokens_are_read() -> None:
    assert unpacked("1.2.3.4,a.b.c.d") == [Cut(1, 2, 3, 4), Cut(10, 11, 12, 13)]


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 60))
def test_parts_are_cut_by_tokens_too_as_large_as_the_limit_allows(tokens: list[int], most: int) -> None:
    cutter = Cutter(10**9, 10**9, most)
    for needed in tokens:
        cutter.add(b"x", 2, needed)
    cuts, at = cutter.finish(ended=True), 0
    for part in cuts:
        mine = tokens[at : at + part.requests]
        assert sum(mine) == part.tokens
        assert part.tokens <= most or part.requests == 1
        at += part.requests
        assert at == len(tokens) or part.tokens + tokens[at] > most
    assert at == len(tokens)


def test_many_lines_at_once_are_taken_only_if_their_tokens_fit() -> None:
    cutter = Cutter(10**9, 10**9, 10)
    assert cutter.add_all([b"a", b"b"], 10)
    assert not cutter.add_all([b"c"], 1)
