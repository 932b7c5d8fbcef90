"""Of a provider's words only what is known to be free of the input is shown, where there is no input to compare with."""

import pytest

from llmbatch.batch.pure import facts
from llmbatch.common.text import one_line
from llmbatch.provider.pure import wire, words
from tests.support import canary

PROMPT = "my patient Ünlü has had a fever since Tuesday"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(PROMPT, id="alone"),
        pytest.param(f"Invalid content: {PROMPT}", id="without quotation marks"),
        pytest.param(f"Unauthorized: {PROMPT}", id="after a known word"),
        pytest.param(f"The response was filtered. {PROMPT}", id="after a known sentence"),
        pytest.param(f"The model '{PROMPT}' does not exist", id="where a name belongs"),
        pytest.param(f"The model `{PROMPT}` does not exist or you have no access", id="with a rest"),
        pytest.param(f"Missing required parameter: '{PROMPT}'.", id="where a member belongs"),
        pytest.param("Missing required parameter: 'patient.fever[0].tuesday'.", id="where a path belongs"),
        pytest.param(f"blocked: {PROMPT.upper()}", id="in capitals"),
        pytest.param(PROMPT[:20] + "…", id="cut"),
        pytest.param("my\\n patient\\u0020has", id="escaped"),
        pytest.param(f"HTTP 400 {PROMPT}", id="after our own word"),
    ],
)
def test_nothing_of_the_input_is_shown(message: str) -> None:
    for code in (None, "invalid_request", "patient", "has had a fever", "my_patient", "myPatient7f3a9"):
        shown = words.told(code, message).lower()
        assert "patient" not in shown
        assert "fever" not in shown
        assert "nl\u00fc" not in shown


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        pytest.param("no Route matched with those values", None, id="Kong's"),
        pytest.param("unauthorized", "Unauthorized", id="in other letters"),
        pytest.param("Bad Gateway", None, id="a status' own phrase"),
        pytest.param("502 Bad Gateway", "Bad Gateway", id="and its number"),
        pytest.param("HTTP 404", None, id="ours"),
        pytest.param(
            "Rate limit is exceeded. Try again in 2 seconds.",
            "Rate limit is exceeded. Try again in … seconds.",
            id="two sentences; what changes each time is left out",
        ),
        pytest.param("Missing required parameter: 'custom_id'.", None, id="a member of the API"),
        pytest.param(
            "The model 'gpt-4o' does not exist", "The model '…' does not exist…", id="a name that was filled in"
        ),
        pytest.param(
            "Enqueued token limit reached for gpt-4o-mini in organization org-1. Limit: 2,000,000 enqueued tokens. Please try",
            "Enqueued token limit reached for … in organization …. Limit: 2,000,000 enqueued tokens. …",
            id="a number",
        ),
    ],
)
def test_a_known_sentence_is_shown_in_our_own_letters(message: str, shown: str | None) -> None:
    assert words.told("whatever", message) == (shown or message)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("invalid_json_line", "invalid_json_line"),
        ("fileImportFailed", "fileImportFailed"),
        ("invalid_patient_id", words.OTHER),
        ("context_length_exceeded", "context_length_exceeded"),
        ("429", "429"),
        ("20240731", words.OTHER),
        ("heronphone7f3a9", words.OTHER),
        ("has had a fever", words.OTHER),
        ("", words.OTHER),
    ],
)
def test_a_code_is_shown_when_it_is_made_of_words_of_codes(code: str, shown: str) -> None:
    assert words.code_of(code) == shown


@pytest.mark.parametrize(
    ("param", "shown"),
    [
        ("body.model", "body.model"),
        ("body.messages[0].content", "body.messages[0].content"),
        ("metadata.patient", "metadata.…"),
        ("my patient", None),
        (None, None),
        ("", None),
    ],
)
def test_a_param_is_shown_as_far_as_the_api_has_it(param: str | None, shown: str | None) -> None:
    assert words.param_of(param) == shown


@pytest.mark.parametrize("code", ["invalid_json_line", "token_limit_exceeded", "invalid_request", "quotaExceeded"])
def test_a_documented_code_is_explained(code: str) -> None:
    assert words.explanation(code)
    assert f"code {code}: " in words.told(code, "whatever it says")


def failed(*errors: str) -> wire.RemoteBatch:
    listed = ",".join(errors)
    return wire.read_batch(b'{"id":"batch_1","status":"failed","errors":{"data":[%s]}}' % listed.encode())


def test_a_failed_batch_tells_code_line_and_member_and_where_the_rest_is() -> None:
    said = f'{{"code":"invalid_value","line":7,"param":"body.messages[0].content","message":"bad: {PROMPT}"}}'
    told = facts.told_errors(failed(said, '{"code":"model_not_found","message":"it is gone","line":"2","param":null}'))
    assert told.startswith("invalid_value (line 7, body.messages[0].content): ")
    assert "; model_not_found (line 2): the provider has no such deployment" in told
    assert told.endswith(facts.FULL_TEXT)
    assert "patient" not in told


def test_a_known_sentence_of_a_failed_batch_needs_no_pointer() -> None:
    told = facts.told_errors(failed('{"code":"empty_file","message":"The input file is empty."}'))
    assert told == "empty_file: The input file is empty."


@pytest.mark.parametrize("as_code", [True, False])
def test_no_canary_passes_in_any_field(as_code: bool) -> None:
    prompt = one_line(canary.PROMPT).replace('"', "'")
    code = canary.PROMPT_WORD if as_code else "invalid_request"
    told = facts.told_errors(
        failed(f'{{"code":"{code}","line":"{prompt}","param":"body.{canary.PROMPT_WORD}","message":"x {prompt}"}}')
    )
    assert canary.scan([told]) == []
