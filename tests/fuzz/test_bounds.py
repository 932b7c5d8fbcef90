"""Large texts that are made to cost more than their size: in memory, or in time."""

import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest

from llmbatch.jsonl import results, scan
from llmbatch.jsonl.lines import LineChecker
from llmbatch.jsonl.rewrite import Rewriter
from llmbatch.provider.edge.calling import MAX_BODY_BYTES
from llmbatch.provider.pure import wire
from llmbatch.provider.pure.lenient import WireError
from tests.fuzz.model import ENDPOINT

pytestmark = pytest.mark.timeout(60)
"""What takes time by the square of the size takes hours here; there's no other bound on the time."""

SIZE = 300_000
FACTOR = 48
"""Most bytes of memory for each byte of a line: a tree of small objects takes about 27, noting many edits 42."""

REQUEST = b'{"custom_id":"a","method":"POST","url":"%s","body":{%%s}}' % ENDPOINT.encode()
ANSWER = b'{"custom_id":"a","response":{"status_code":200,"body":{%s}},"error":null}'
FILLINGS = {
    "a long name": b'"model":"' + b"x" * SIZE + b'"',
    "a long name of escapes": b'"model":"' + b"\\n" * (SIZE // 2) + b'"',
    "a long text": b'"model":"m","x":"' + b"x" * SIZE + b'"',
    "many small objects": b'"model":"m","x":[' + b'{"":0},' * (SIZE // 7) + b"0]",
    "many small lists": b'"model":"m","x":[' + b"[]," * (SIZE // 3) + b"0]",
    "many members": b'"model":"m"' + b"".join(b',"%d":0' % number for number in range(SIZE // 10)),
    "many times the same": b'"model":"m"' + b',"model":"n"' * (SIZE // 12),
    "many brackets": b'"model":"m","x":' + b"[" * 190 + b"]" * 190,
}


def peak(act: Callable[[], object]) -> int:
    """Give the most memory that was held at once."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("filling", FILLINGS)
def test_a_line_of_an_input_takes_no_more_than_so_many_times_its_size(filling: str) -> None:
    line = REQUEST % FILLINGS[filling]
    checker = LineChecker(ENDPOINT, "o3", 10)
    most = FACTOR * len(line) + 2**20
    assert peak(lambda: checker.check(line)) < most
    assert checker.errors == []
    assert peak(lambda: Rewriter("o3").rewrite(line)) < most


@pytest.mark.parametrize("filling", FILLINGS)
def test_a_result_line_takes_no_more_than_so_many_times_its_size(filling: str) -> None:
    line = ANSWER % FILLINGS[filling]
    assert peak(lambda: results.judge(line)) < FACTOR * len(line) + 2**20
    # Skimmed, it takes what is kept of it, and never a tree.
    assert peak(lambda: results.judge(line, long=0)) < 4 * len(line) + 2**20


def test_a_member_that_is_there_very_often_is_replaced_in_one_pass() -> None:
    line = REQUEST % (b'"model":"m"' + b',"model":"n"' * SIZE)
    assert Rewriter("o3").rewrite(line).count(b'"o3"') == SIZE + 1


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b'{"":0},', id="objects"),
        pytest.param(b"[],", id="lists"),
        pytest.param(b"1.5,", id="numbers"),
        pytest.param(b'"ab",', id="texts"),
        pytest.param("\U0001f600".encode(), id="one long text"),
    ],
)
@pytest.mark.parametrize("share", [1, 40])
def test_an_answer_takes_no_more_memory_than_a_small_operator_has(value: bytes, share: int) -> None:
    whole = b'{"id":"a","metadata":{"x":["' + value * (MAX_BODY_BYTES // share // len(value)) + b'"]}}'
    most = 96 * 2**20

    def read() -> None:
        with suppress(WireError):
            wire.read_batch(whole.replace(b'["', b"[").replace(b'"]', b"0]") if b"," in value else whole)

    assert peak(read) < most


@pytest.mark.parametrize(
    "unfinished",
    [
        pytest.param(b'{"a":"' + b'\\"' * 10 * SIZE, id="escaped quotation marks in a string without an end"),
        pytest.param(b'{"' + b'\\"' * SIZE, id="in a key"),
        pytest.param(b'{"a":' + b'[{"' * SIZE, id="brackets that are never closed"),
        pytest.param(b'{"a":' + b", " + b" " * SIZE, id="blanks"),
        pytest.param(b'{"a":1' + b" " * SIZE, id="blanks after a value"),
        pytest.param(b'{"a":"' + b"\\" * SIZE, id="backslashes"),
    ],
)
def test_what_does_not_end_is_given_up_in_one_pass(unfinished: bytes) -> None:
    with pytest.raises(scan.SkimError):
        list(scan.members(unfinished))
    assert results.judge(unfinished, long=0) == results.UNREADABLE
