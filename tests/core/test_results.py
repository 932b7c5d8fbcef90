"""Each result line is judged on its own."""

import json
from typing import Any

import pytest

from llmbatch.api.counts import Usage
from llmbatch.jsonl import results
from llmbatch.jsonl.results import LONG_LINE, MALFORMED, MISSING, ResultLine, Tally, judge, missing_line


def line(status: object = 200, body: object = None, error: object = None, **changes: object) -> bytes:
    response = {"status_code": status, "request_id": "r", "body": body or {}}
    return json.dumps({"custom_id": "a", "response": response, "error": error} | changes).encode()


CHAT_USAGE = {"usage": {"completion_tokens": 60, "prompt_tokens": 30, "total_tokens": 90}}
RESPONSES_USAGE = {"usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}}
EMBEDDING_USAGE = {"usage": {"prompt_tokens": 5, "total_tokens": 5}}
FILTERED = {"error": {"message": "The response was filtered", "type": None, "code": "content_filter", "status": 400}}
TOO_BIG = {"error": {"message": "max_tokens\nis too large", "type": "invalid_request_error", "code": None}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(line(), ResultLine("a", succeeded=True), id="200 and no error"),
        pytest.param(line(body=CHAT_USAGE), ResultLine("a", succeeded=True, usage=(30, 60, 90)), id="chat's usage"),
        pytest.param(line(body=RESPONSES_USAGE), ResultLine("a", succeeded=True, usage=(7, 3, 10)), id="responses'"),
        pytest.param(line(body=EMBEDDING_USAGE), ResultLine("a", succeeded=True, usage=(5, 0, 5)), id="embeddings'"),
        pytest.param(
            line(body=json.dumps(CHAT_USAGE)), ResultLine("a", succeeded=True, usage=(30, 60, 90)), id="a body as text"
        ),
        pytest.param(
            line(body=json.dumps(json.dumps(RESPONSES_USAGE | {"x": 'say "\\n\ud800"'}))),
            ResultLine("a", succeeded=True, usage=(7, 3, 10)),
            id="a body as text of text",
        ),
        pytest.param(line(body="usage: none"), ResultLine("a", succeeded=True), id="a body that is mere text"),
        pytest.param(line(body='[{"usage": {"prompt_tokens": 1}}]'), ResultLine("a", succeeded=True), id="a list as text"),
        pytest.param(
            line(400, json.dumps(TOO_BIG)),
            ResultLine("a", succeeded=False, code="400", message="max_tokens is too large", status=400),
            id="an error as text",
        ),
        pytest.param(line() + b"\r", ResultLine("a", succeeded=True), id="a carriage return is white space"),
        pytest.param(
            line(0), ResultLine("a", succeeded=False, code="0", message="HTTP status 0", status=0), id="status 0 told as completed"
        ),
        pytest.param(line(True), ResultLine("a", succeeded=False, code="unknown", message="the result has neither an answer nor an error"), id="true is no status"),
        pytest.param(
            line(400, FILTERED),
            ResultLine("a", succeeded=False, code="content_filter", message="The response was filtered", status=400),
            id="content filter",
        ),
        pytest.param(
            line(400, TOO_BIG),
            ResultLine("a", succeeded=False, code="400", message="max_tokens is too large", status=400),
            id="without a code the HTTP status",
        ),
        pytest.param(
            line(200, error={"code": "batch_expired", "message": "late"}),
            ResultLine("a", succeeded=False, code="batch_expired", message="late"),
            id="an error beats a 200",
        ),
        pytest.param(
            line(response=None, error={"code": "batch_cancelled", "message": "no"}),
            ResultLine("a", succeeded=False, code="batch_cancelled", message="no"),
            id="never ran",
        ),
        pytest.param(
            line(response=None),
            ResultLine("a", succeeded=False, code="unknown", message="the result has neither an answer nor an error"),
            id="neither",
        ),
    ],
)  # fmt: skip
def test_judgement(given: bytes, expected: ResultLine) -> None:
    assert judge(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"custom_id": 3}',
        b'{"custom_id": ""}',
        b'{"custom_id": "a"}',
        b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": []}}',
        b'{"custom_id": "a", "result": {"type": "succeeded", "message": {}}}',
        b"\xff",
        b"[" * 100_000,
        b"9" * 10_000,
    ],
)
def test_a_line_that_cant_be_read_is_nobodys(given: bytes) -> None:
    judged = judge(given)
    assert (judged.custom_id, judged.succeeded, judged.code) == (None, False, MALFORMED)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"text": "\ud800"}, id="in a body"),
        pytest.param("\ud800", id="as the whole of a body that is text"),
        pytest.param('{"text": "\ud800"}', id="in a body that is text"),
        pytest.param(json.dumps({"text": "\ud800"}), id="escaped in a body that is text"),
    ],
)
def test_half_a_surrogate_pair_in_an_answer_does_not_make_it_unreadable(body: Any) -> None:
    assert judge(line(body=body)).succeeded


def test_a_line_of_many_megabytes_is_judged_without_its_tree() -> None:
    body = {"data": [{"embedding": [0.12345678] * 600_000}], **EMBEDDING_USAGE}
    long = line(body=body)
    assert len(long) > 4 * 1024 * 1024
    assert judge(long) == ResultLine("a", succeeded=True, usage=(5, 0, 5))
    assert judge(long[:-200]).code == MALFORMED


def test_a_message_is_one_short_line() -> None:
    judged = judge(line(400, {"error": {"message": "x\n" * 1000, "code": "c"}}))
    assert len(judged.message) <= 200
    assert "\n" not in judged.message


@pytest.mark.parametrize("size", [10, 5_000_000])
def test_a_message_that_quotes_the_answer_is_not_shown(size: int) -> None:
    answer = [{"message": {"content": "The patient has a fever. " + "x" * size}}]
    judged = judge(
        line(400, {"choices": answer, "error": {"message": "filtered: THE PATIENT HAS A FEVER", "code": "c"}})
    )
    assert (judged.code, judged.message) == ("c", results.QUOTES_ANSWER)
    judged = judge(line(400, {"usage": {"total_tokens": 5}, "error": {"message": "filtered", "code": "c"}}))
    assert judged.message == "filtered"


def test_a_missing_result_is_a_failed_line() -> None:
    judged = judge(missing_line("ä\ud800"))
    assert (judged.custom_id, judged.succeeded, judged.code) == ("ä\ud800", False, MISSING)


def test_a_tally_shows_one_example_of_each_code_the_most_frequent_first() -> None:
    tally = Tally()
    tally.add_success((1, 2, 3))
    tally.add_success(None)
    tally.add_success((1, 1, 2))
    tally.add_failure("a", "rare", "m")
    for number in range(12):
        tally.add_failure(f"b{number}", "often", "m")
    tally.add_nameless_failures(2)
    shown = [(failure.custom_id, failure.code) for _, failure in tally.failures()]
    assert shown[:3] == [("b0", "often"), ("a", "rare"), ("b1", "often")]
    assert len(shown) == 10
    assert (tally.succeeded, tally.failed) == (3, 15)
    assert tally.usage == Usage(input_tokens=2, output_tokens=3, total_tokens=5)


def test_codes_without_end_do_not_fill_the_memory() -> None:
    tally = Tally()
    for number in range(5000):
        tally.add_failure("a", str(number), "m")
    assert tally.failed == 5000
    assert tally.failures()[0][1].code == "other"


def test_no_usage_told_is_no_usage() -> None:
    tally = Tally()
    tally.add_success()
    assert tally.usage is None


@pytest.mark.parametrize("layers", [1, 2])
def test_usage_is_found_in_a_body_of_many_megabytes_that_is_text(layers: int) -> None:
    body: object = {"data": 'a "b"\\ \n' * 600_000, **CHAT_USAGE}
    for _ in range(layers):
        body = json.dumps(body)
    long = line(body=body)
    assert len(long) > LONG_LINE
    assert judge(long).usage == (30, 60, 90)


@pytest.mark.parametrize(
    "usage",
    [
        pytest.param(
            {"prompt_tokens": 30.0, "completion_tokens": 6e1, "total_tokens": 90.0}, id="with a fraction of nothing"
        ),
        pytest.param({"prompt_tokens": "30", "completion_tokens": "60", "total_tokens": "90"}, id="as text"),
        pytest.param(
            {"input_tokens": "30", "output_tokens": 60.0, "prompt_tokens": None}, id="in other words, and mixed"
        ),
    ],
)
@pytest.mark.parametrize("long", [LONG_LINE, 10])
def test_tokens_are_whole_numbers_however_they_are_written(usage: dict[str, object], long: int) -> None:
    assert judge(line(body={"usage": usage}), long=long) == ResultLine("a", succeeded=True, usage=(30, 60, 90))


@pytest.mark.parametrize("status", [500, 500.0, "500"])
def test_an_http_status_is_a_whole_number_however_it_is_written(status: object) -> None:
    """So that a rule about it applies."""
    assert judge(line(status)).status == 500
    assert judge(line(status, error={"message": "Down"})).code == "500"
    assert judge(line(200.0)).succeeded


@pytest.mark.parametrize("error", [
    None, "", {}, [], False, {"code": None, "message": None}, {"code": "", "message": "", "param": None, "line": 0},
])  # fmt: skip
@pytest.mark.parametrize("long", [LONG_LINE, 10])
def test_an_error_that_says_nothing_fails_no_request(error: object, long: int) -> None:
    given = line(body=CHAT_USAGE, error=error)
    assert judge(given, long=long) == ResultLine("a", succeeded=True, usage=(30, 60, 90))
    assert not judge(line(500, error=error), long=long).succeeded


@pytest.mark.parametrize(
    "error", ["null", True, {"code": None, "message": "late"}, {"code": "batch_expired"}, {"x": {"y": 0}}]
)
def test_an_error_that_says_anything_does(error: object) -> None:
    assert not judge(line(error=error)).succeeded


@pytest.mark.parametrize("tokens", [2**63, 10**30, 1e300, 0.5, "9" * 14, "9" * 5000, "1_0", "\u0663", float("inf"), -1])
def test_tokens_that_nobody_believes_are_not_added_up(tokens: object) -> None:
    judged = judge(line(body={"usage": {"prompt_tokens": tokens, "completion_tokens": 2}}))
    assert judged.usage == (0, 2, 2)


@pytest.mark.parametrize("code", [" ", "\n", "\u2028"])
def test_a_code_of_blanks_is_no_code(code: str) -> None:
    assert judge(line(429, error={"code": code, "message": "slow"})).code == "429"
    assert judge(line(None, error={"code": code})).code == "unknown"


def test_a_type_that_is_no_text_is_no_code() -> None:
    assert judge(line(None, error={"type": {"a": "prompt"}, "message": "m"})).code == "unknown"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(b"\xef\xbb\xbf" + line(body={"usage": {"prompt_tokens": 5}}), id="a byte-order mark"),
        pytest.param(
            line(body={"usage": {"prompt_tokens": 5}}).replace(b'"usage"', b'"\\u0075sage"'), id="an escaped key"
        ),
        pytest.param(line(body={"usage": {"prompt_tokens": 5}, "x": "\ud800"}), id="half of a surrogate pair"),
    ],
)
def test_a_long_line_is_judged_as_a_short_one(given: bytes) -> None:
    expected = ResultLine("a", succeeded=True, usage=(5, 0, 5))
    assert judge(given) == expected
    assert judge(given, long=0) == expected
