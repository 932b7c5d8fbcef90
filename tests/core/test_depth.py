"""JSON that is deeper than anything that is ever looked at, which hides nothing of what stands beside it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbatch.common.depth import MOST, bounded

TEXTS = st.text(alphabet='"\\{}[]ab\n\u2028é', max_size=12)
FLAT = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def deep(levels: int, value: Any, *, within: type[list[Any]] | type[dict[str, Any]] = list) -> Any:
    for _ in range(levels):
        value = [value] if within is list else {"{": value, "}": "]"}
    return value


def shallow(value: Any, most: int = MOST) -> Any:
    """Say it once more, in the plain way."""
    if not isinstance(value, dict | list):
        return value
    if most == 0:
        return None
    if isinstance(value, list):
        return [shallow(item, most - 1) for item in value]
    return {key: shallow(item, most - 1) for key, item in value.items()}


@given(FLAT, FLAT, st.integers(0, MOST + 8), st.sampled_from([list, dict]), st.booleans())
def test_what_lies_too_deep_is_null_and_all_else_is_as_it_was(
    value: Any, beside: Any, levels: int, within: Any, ensure_ascii: bool
) -> None:
    whole = [beside, deep(levels, value, within=within), beside]
    raw = json.dumps(whole, ensure_ascii=ensure_ascii).encode()
    assert json.loads(bounded(raw)) == shallow(whole)


@given(FLAT)
def test_what_is_not_too_deep_is_not_even_copied(value: Any) -> None:
    raw = json.dumps(value).encode()
    assert bounded(raw) is raw


@pytest.mark.parametrize("form", ['{"a":', "["])
def test_no_depth_is_too_much(form: str) -> None:
    levels = 100_000
    raw = f"[1, {form * levels}1{('}' if form[0] == '{' else ']') * levels}, 2]".encode()
    first, *_, last = json.loads(bounded(raw))
    assert (first, last) == (1, 2)


def test_a_text_of_nothing_but_escapes_takes_no_memory_of_its_own() -> None:
    text = '"' * 1_000_000
    raw = json.dumps([text, deep(MOST, 1)]).encode()
    assert json.loads(bounded(raw))[0] == text


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"[" * 100_000 + b"]" * 99_000, b'["' + b"[" * 5000, b"]" * 5000, b""])
def test_what_is_no_json_stays_none(raw: bytes) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(bounded(raw))
