"""The estimate of a request's tokens: bytes of its prompt, divided, and the longest answers that it asks for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbatch.common.tokens import ANSWER_TOKENS, estimate

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=10,
)
NAMES = (
    "messages",
    "input",
    "prompt",
    "instructions",
    "max_tokens",
    "max_output_tokens",
    "max_completion_tokens",
    "n",
    "best_of",
)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"messages": [{"role": "user", "content": "x" * 400}], "max_tokens": 60}, 160),
        ({"messages": [{"role": "user", "content": "x" * 401}], "max_tokens": 60}, 161),
        ({"messages": [{"role": "user", "content": "xxxx"}]}, 1 + ANSWER_TOKENS),
        ({"input": "xxxx", "max_output_tokens": 5}, 6),
        ({"input": ["xxxx", "xxxx"], "max_tokens": 0}, 2),
        ({"input": [[1, 2, 3], [4]], "max_tokens": 0}, 4),
        ({"prompt": "xxxx", "max_completion_tokens": 7, "max_tokens": 60}, 8),
        ({"messages": [{"role": "user", "content": "ä" * 4}], "max_tokens": 0}, 2),
        ({"messages": [{"content": [{"type": "text", "text": "x" * 8}]}], "max_tokens": 0}, 2),
        ({"messages": [{"content": [{"image_url": {"url": "data:" + "x" * 9000}}]}], "max_tokens": 0}, 0),
        ({"prompt": "xxxx", "max_tokens": 7, "n": 3}, 22),
        ({"prompt": "xxxx", "max_tokens": 7, "n": 3, "best_of": 5}, 36),
        ({"prompt": "xxxx", "n": 2}, 1 + 2 * ANSWER_TOKENS),
        ({"max_tokens": 7, "n": 10**9}, 7),
        ({"max_tokens": 7, "n": 0}, 7),
        ({"max_tokens": 7, "n": True, "best_of": "3"}, 7),
        ({"max_tokens": -1}, ANSWER_TOKENS),
        ({"max_tokens": True}, ANSWER_TOKENS),
        ({"max_tokens": "60"}, ANSWER_TOKENS),
        ({"max_tokens": 1e400}, ANSWER_TOKENS),
        ({}, ANSWER_TOKENS),
    ],
)
def test_it_counts_the_prompt_and_the_longest_answer(body: dict[str, Any], tokens: int) -> None:
    assert estimate(body) == tokens


@pytest.mark.parametrize(("bytes_per_token", "tokens"), [(1, 100), (4, 25), (16, 7)])
def test_a_gateway_says_how_many_bytes_a_token_has(bytes_per_token: int, tokens: int) -> None:
    assert estimate({"prompt": "x" * 100, "max_tokens": 0}, bytes_per_token) == tokens


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), ANYTHING, max_size=6), st.integers(1, 16))
def test_whatever_a_request_holds_it_comes_to_a_number_that_is_not_negative(body: dict[str, Any], each: int) -> None:
    assert estimate(body, each) >= 0
