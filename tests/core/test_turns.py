"""What waits in line, taken in turns by whose it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbatch.common.turns import Turns


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=40))
def test_each_has_a_turn_before_anybody_has_another_and_his_own_come_in_their_order(
    given_: list[tuple[str, int]],
) -> None:
    turns: Turns[tuple[str, int], int] = Turns()
    lines: dict[str, list[int]] = {}
    for whose, number in given_:
        turns.put(whose, (whose, number), number)
        if number not in lines.setdefault(whose, []):
            lines[whose].append(number)
    assert len(turns) == sum(map(len, lines.values()))
    taken = [turns.take()[0] for _ in range(len(turns))]
    expected, order = [], list(lines)
    for turn in range(10):
        expected += [(whose, lines[whose][turn]) for whose in order if turn < len(lines[whose])]
    assert taken == expected
    with pytest.raises(KeyError):
        turns.take()


def test_what_is_dropped_is_the_last_of_whoever_has_most() -> None:
    turns: Turns[int, None] = Turns()
    turns.put("few", 1, None)
    for number in range(2, 5):
        turns.put("many", number, None)
    assert [turns.drop(), turns.drop()] == ["many", "many"]
    assert len(turns) == turns.waiting("few") + turns.waiting("many") == 2
    assert turns.has("few", 1)
    assert not turns.has("many", 4)
    assert turns.drop() in {"few", "many"}
    assert turns.drop() in {"few", "many"}
    assert len(turns) == 0
