"""Lines that hold next to nothing, as often as can be: what is made of them takes many times their size, unless nothing is."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.jsonl.lines import digest
from llmbatch.jsonl.results import judge
from llmbatch.transfer.edge.originals import Originals
from tests.edges.collecting import Done, problem
from tests.edges.plans import jsonl
from tests.emulator.client import Instance

SIZE = 800 * 1024
MOST = 5 * 1024 * 1024
NOTHING = "{}"


@contextmanager
def at_most(size: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size


def many() -> str:
    return ",".join([NOTHING] * (SIZE // (len(NOTHING) + 1)))


def test_an_input_line_of_many_values_is_read_for_its_name_alone() -> None:
    line = f'{{"custom_id":"a","body":{{"messages":[{many()}]}}}}\n'.encode()
    content = line + jsonl("b")
    known = Originals(io.BytesIO(content))
    with at_most(MOST):
        assert list(known.custom_ids()) == ["a", "b"]
    with at_most(MOST):
        found = dict(known.requests({digest("a"), digest("b")}))
    assert found == {digest("b"): json.loads(jsonl("b"))}, "what costs too much is done without"
    assert list(known.lines({digest("a")})) == [line.rstrip()]


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ('"response":{"status_code":200,"body":{"choices":[', "]}}"),
        ('"response":{"status_code":400,"body":{"error":[', "]}}"),
        ('"response":null,"error":{"code":"c","message":"m"},"others":[', "]"),
    ],
)
def test_a_result_line_of_many_values_is_judged_without_them(head: str, tail: str) -> None:
    line = f'{{"custom_id":"a",{head}{many()}{tail}}}'.encode()
    with at_most(MOST):
        result = judge(line)
    assert (result.custom_id, result.succeeded) == ("a", ":200" in head)


def test_nor_are_many_members_of_one_kept() -> None:
    members = ",".join(f'"{number}":0' for number in range(251_000))
    line = f'{{"custom_id":"a","response":{{{members}}},"error":"x",{members}}}'.encode()
    with at_most(MOST + 2 * len(line)):
        assert judge(line).custom_id == "a"


def test_more_requests_than_a_destination_has_room_for_are_not_remembered(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, *(str(number) for number in range(200)))
    found = problem(done.collect(max_output_bytes=200 * len('{"custom_id":""}')))
    assert found.reason is Reason.OUTPUT_TOO_LARGE
