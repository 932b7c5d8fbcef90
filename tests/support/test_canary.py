"""The search finds what it looks for in every form in which it may be told, and nothing else."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from tests.e2e import objects
from tests.support.canary import CREDENTIAL, PROMPT, scan

WRITINGS = [
    pytest.param(lambda text: text, id="plain"),
    pytest.param(lambda text: text.upper(), id="in capitals"),
    pytest.param(json.dumps, id="JSON"),
    pytest.param(lambda text: json.dumps(json.dumps(json.dumps({"log": text}))), id="JSON in JSON in JSON"),
    pytest.param(lambda text: json.dumps(text, ensure_ascii=False), id="JSON with letters as they are"),
    pytest.param(quote, id="in a path"),
    pytest.param(quote_plus, id="in a query"),
    pytest.param(repr, id="a Python repr"),
    pytest.param(lambda text: repr(text.encode()), id="a repr of bytes"),
    pytest.param(lambda text: text.encode().hex(), id="hexadecimal"),
    *(
        pytest.param(
            lambda text, before=before: base64.b64encode(before + text.encode() + b"!").decode(), id=f"base64 {number}"
        )
        for number, before in enumerate((b"", b"x", b"xy", b'{"key": "'))
    ),
    pytest.param(lambda text: base64.urlsafe_b64encode(text.encode()).decode(), id="base64 for URLs"),
]


@pytest.mark.parametrize("write", WRITINGS)
@pytest.mark.parametrize("secret", [CREDENTIAL, PROMPT], ids=["credential", "prompt"])
def test_what_is_looked_for_is_found_in_every_writing(secret: str, write: "object") -> None:
    assert callable(write)
    line = json.dumps({"level": "info", "message": f"sent {write(secret)} to the gateway"})
    (found,) = scan(["nothing here", line])
    assert found.startswith(f"the {'credential' if secret is CREDENTIAL else 'prompt'}: …")


def test_the_requests_of_the_tests_on_the_cluster_hold_the_prompt() -> None:
    assert scan([objects.requests("a")])
    assert scan([objects.requests("a", text="a text of its own")])


@pytest.mark.parametrize("text", ["", "apikey", "Name the colour", "canary", '{"name": "kong", "key": "apikey"}'])
def test_what_anybody_may_see_is_not_found(text: str) -> None:
    assert scan([text]) == []
