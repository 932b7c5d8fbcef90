"""The smallest merge patch."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmbatch.common.patch import merge_patch
from tests.support.apistore import merged

Json = dict[str, Any]
VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(before=OBJECTS, after=OBJECTS)
def test_it_makes_the_one_of_the_other(before: Json, after: Json) -> None:
    assert merged(before, merge_patch(before, after)) == after


@given(found=OBJECTS)
def test_it_is_empty_when_nothing_changes(found: Json) -> None:
    assert merge_patch(found, found) == {}


def test_it_holds_only_what_changes() -> None:
    before = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": 0}
    after = {"a": 1, "b": {"c": 1, "d": 3}, "e": [1, 2], "g": {}}
    assert merge_patch(before, after) == {"b": {"d": 3}, "e": [1, 2], "f": None, "g": {}}
