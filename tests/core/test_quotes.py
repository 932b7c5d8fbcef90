"""No status shows what a provider's message quotes of a request."""

from typing import Any

import pytest

from llmbatch.api.batchjob_status import Failure
from llmbatch.common import comparing
from llmbatch.common.text import folded
from llmbatch.jsonl import results
from llmbatch.provider.pure import quotes

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
        pytest.param('at THE PATIENT, MS "UNLU", HAS HAD', REQUEST, id="in other letters"),
        pytest.param("at the   patient ,Ms ( Ünlü )\thas\n\nhad", REQUEST, id="in other spaces and punctuation"),
        pytest.param('at \\\\\\"\\\\u00dcnl\\\\u00fc\\\\\\",\\\\nhas had a f', REQUEST, id="escaped twice"),
        pytest.param("at Ms%20%22%C3%9Cnl%C3%BC%22%2C%0Ahas%20had%20a", REQUEST, id="as a URL has it"),
        pytest.param("at Ms &quot;&Uuml;nl&#252;&quot;, has had a", REQUEST, id="as HTML has it"),
        pytest.param("at Ms U\u0308nlu\u0308 has had a fever", REQUEST, id="with accents taken apart"),
        pytest.param("Bad word: 'Hunter2'.", with_text("hunter2"), id="a password as a word"),
        pytest.param("Unknown: my secret member", {"body": {"my secret member": 1}}, id="a member's name"),
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
    assert comparing.repeats(f"no: {said}", with_text(text))
    assert not comparing.repeats("no: 9999999 9999998 9999997", with_text(text))


def test_every_run_of_sixteen_is_found_wherever_it_begins() -> None:
    text = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    for begin in range(len(text) - comparing.RUN + 1):
        assert comparing.repeats(f"<{text[begin : begin + comparing.RUN]}>", with_text(text))
        assert not comparing.repeats(f"<{text[begin : begin + comparing.RUN - 1]}>", with_text(text))


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
