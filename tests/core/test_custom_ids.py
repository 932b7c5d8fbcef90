"""Which custom_ids an input has had so far, however many there are."""

from hypothesis import given
from hypothesis import strategies as st

from llmbatch.jsonl.ids import FirstLines


@given(st.lists(st.text(max_size=3)))
def test_each_is_known_by_the_line_on_which_it_was_first(ids: list[str]) -> None:
    known, wanted = FirstLines(), dict[str, int]()
    for line, custom_id in enumerate(ids, 1):
        assert known.first(custom_id, line) == wanted.setdefault(custom_id, line)


def test_they_are_known_still_when_the_table_has_grown() -> None:
    known = FirstLines()
    for line in range(1, 20_001):
        assert known.first(f"request-{line}", line) == line
    assert [known.first(f"request-{line}", 99_999) for line in range(1, 20_001)] == list(range(1, 20_001))


def test_half_a_surrogate_pair_is_a_name_too() -> None:
    known = FirstLines()
    assert [known.first("\ud800", 1), known.first("\ud801", 2), known.first("\ud800", 3)] == [1, 2, 1]
