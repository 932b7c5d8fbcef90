"""No status shows what a provider's message quotes of a request."""

from typing import Any

import pytest

from llmbatch.api.batchjob_status import Failure
from llmbatch.core import quotes, results
from llmbatch.core.text import folded

PROMPT = 'The patient, Ms "Ünlü",\nhas had a fever since Tuesday.'
REQUEST: dict[str, Any] = {
    "custom_id": "a-custom-id-that-is-long",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini-global-batch", "messages": [{"role": "assistant", "content": PROMPT}]},
}


def with_text(*texts: str) -> dict[str, Any]:
    return {"body": {"input": [{"type": "input_text", "text": text} for text in texts]}}


@pytest.mark.parametrize(
    ("message", "request_"),
    [
        pytest.param("Invalid prompt: 'has had a fever since Tuesday.'", REQUEST, id="as it is"),
        pytest.param(f"bad: {PROMPT}".replace("\n", " "), REQUEST, id="folded into one line"),
        pytest.param('at The patient, Ms \\"\\u00dcnl\\u00fc\\"', REQUEST, id="as JSON in ASCII"),
        pytest.param('Ms \\"Ünlü\\",\\nhas', REQUEST, id="as JSON"),
        pytest.param("…patient, Ms and so on, a fever since Tue…", REQUEST, id="cut"),
        pytest.param("'Say hello.' is no question", with_text("Say hello."), id="a short text as a whole"),
        pytest.param(
            "filtered: the password is hunter", with_text("hi", "the password is hunter2"), id="one of several texts"
        ),
    ],
)
def test_a_quote_is_found(message: str, request_: object) -> None:
    shown = quotes.checked(Failure(custom_id="a", code="400", message=message), request_)
    assert (shown.code, shown.message) == ("400", quotes.QUOTED)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("The response was filtered", id="about it"),
        pytest.param("The model 'gpt-4o-mini-global-batch' does not exist", id="the model's name"),
        pytest.param("/v1/chat/completions is not for a-custom-id-that-is-long", id="what is no text of the body"),
        pytest.param("'assistant' is no role here", id="a name that everybody knows"),
        pytest.param("a patient has had", id="a few words in common"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_is_no_quote_is_shown(message: str) -> None:
    failure = Failure(custom_id="a", code="400", message=message)
    assert quotes.checked(failure, REQUEST) == failure


@pytest.mark.parametrize("at", [0, 65_520, 65_536, 65_786, 131_060, 199_980])
@pytest.mark.parametrize("mark", ["", "\n", "ü"])
def test_a_quote_is_found_anywhere_in_a_long_text(at: int, mark: str) -> None:
    text = "".join(f"{number:07} " for number in range(25_000)) + mark
    said = folded(text[at : at + 20] if at + 20 <= len(text) else text[-20:])
    assert quotes.quotes(f"no: {said}", with_text(text))
    assert not quotes.quotes("no: 9999999 9999998 9999997", with_text(text))


def test_every_run_of_sixteen_is_found_wherever_it_begins() -> None:
    text = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    for begin in range(len(text) - quotes.RUN + 1):
        assert quotes.quotes(f"<{text[begin : begin + quotes.RUN]}>", with_text(text))
        assert not quotes.quotes(f"<{text[begin : begin + quotes.RUN - 1]}>", with_text(text))


def test_a_code_that_quotes_is_not_shown_either() -> None:
    shown = quotes.checked(Failure(custom_id="a", code="has had a fever since", message="no"), REQUEST)
    assert shown.code == "other"


@pytest.mark.parametrize("message", ["HTTP status 429", results.MISSING_MESSAGE, results.NO_ANSWER])
def test_our_own_messages_need_no_request(message: str) -> None:
    failure = Failure(custom_id="a", code="429", message=message)
    assert quotes.unchecked(failure) == failure


@pytest.mark.parametrize("message", ["The response was filtered", "HTTP status of my prompt", ""])
def test_without_the_request_no_message_of_the_providers_is_shown(message: str) -> None:
    shown = quotes.unchecked(Failure(custom_id="a", code="my secret prompt", message=message))
    assert shown.message == (quotes.UNCHECKED if message else "")
    assert shown.code == "other"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        pytest.param("bad line: 'my secret prompt' there", "bad line: '…' there", id="a passage"),
        pytest.param('bad line: "my secret prom…', 'bad line: "…', id="one that is cut"),
        pytest.param("Use one of 'batch', 'user'", "Use one of 'batch', 'user'", id="short names"),
        pytest.param("it doesn't fit and can't be sent", "it doesn't fit and can't be sent", id="apostrophes"),
        pytest.param("in 'it isn't mine, you know'", "in '…'", id="an apostrophe in a passage"),
        pytest.param(
            "\u2018a few words of it\u2019 and “more of the same”", "\u2018…\u2019 and “…”", id="typographic marks"
        ),
        pytest.param(f"'{'x' * 100}' is long", "'…' is long", id="a word too long for a name"),
        pytest.param("model 'gpt-4o-mini-batch' is none", "model 'gpt-4o-mini-batch' is none", id="a name"),
    ],
)
def test_passages_between_quotation_marks_are_left_out(message: str, shown: str) -> None:
    assert quotes.without_passages(message) == shown
