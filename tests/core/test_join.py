"""Result lines find their requests by custom_id, whatever order they come in."""

import pytest

from llmbatch.jsonl.join import Fit, Join
from llmbatch.jsonl.results import ResultLine, Tally


def ok(custom_id: str) -> ResultLine:
    return ResultLine(custom_id, succeeded=True, usage=(1, 1, 2))


def bad(custom_id: str) -> ResultLine:
    return ResultLine(custom_id, succeeded=False, code="x")


def joined(expected: list[str] | None, *lines: ResultLine) -> tuple[Join, Tally]:
    tally = Tally()
    join = Join(tally)
    if expected is not None:
        join.expect(expected)
    for number, item in enumerate(lines):
        join.place(item, 0, number * 10, 9)
    return join, tally


def offsets(join: Join, *, by_completion: bool = False) -> list[int]:
    return [place.offset if place.length >= 0 else -1 for place in join.places(by_completion=by_completion)]


def test_the_order_is_that_of_the_input() -> None:
    join, _ = joined(["a", "b", "c"], ok("c"), ok("a"), bad("b"))
    assert offsets(join) == [10, 20, 0]
    assert [place.succeeded for place in join.places(by_completion=False)] == [True, False, True]


def test_the_order_of_completion_has_the_missing_last() -> None:
    join, _ = joined(["a", "b", "c"], ok("c"), ok("b"))
    assert offsets(join, by_completion=True) == [0, 10, -1]


def test_the_first_success_wins() -> None:
    join, tally = joined(["a"], bad("a"), ok("a"), ok("a"), bad("a"))
    assert offsets(join) == [10]
    assert (tally.succeeded, join.foreign) == (1, 3)


def test_among_failures_the_first_wins() -> None:
    assert offsets(joined(["a"], bad("a"), bad("a"))[0]) == [0]


def test_results_of_nobody_are_left_out_and_counted() -> None:
    join, tally = joined(["a"], ok("stranger"), ResultLine(None, succeeded=False), ok("a"))
    assert (len(join), join.foreign, join.malformed, tally.succeeded) == (1, 1, 1, 1)


def test_without_the_input_the_results_themselves_make_the_order() -> None:
    join, _ = joined(None, ok("b"), ok("a"))
    assert offsets(join) == [0, 10]


def test_the_unanswered_are_named_from_the_input() -> None:
    join, _ = joined(["a", "b", "c"], ok("b"))
    assert list(join.unanswered(["a", "b", "c", "d"])) == [(0, "a"), (2, "c"), (-1, "d")]
    assert join.missing == 2


@pytest.mark.parametrize("back", ["a ", " a", "A", "a\u200b", "a\n", "", "a-1"])
def test_a_custom_id_that_came_back_changed_is_a_strangers(back: str) -> None:
    join, _ = joined(["a", "b"])
    assert join.place(ResultLine(back or None, succeeded=True), 0, 0, 1) in {Fit.STRANGER, Fit.UNREADABLE}
    assert join.missing == 2


def test_a_line_is_told_for_what_it_is_to_the_requests() -> None:
    join, _ = joined(["a", "b"])
    lines = [("a", False), ("a", False), ("a", True), ("a", True), ("a", False), ("c", True), (None, True)]
    found = [join.place(ResultLine(name, succeeded=good), 0, 0, 1) for name, good in lines]
    assert found == [
        Fit.OURS, Fit.REPEATED, Fit.OURS, Fit.ANOTHER_ANSWER, Fit.REPEATED, Fit.STRANGER, Fit.UNREADABLE,
    ]  # fmt: skip
