"""An input is checked line by line before anything is sent."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbatch.jsonl.lines import BOM, MAX_LINE_BYTES, LineChecker, why_no_text
from llmbatch.jsonl.rewrite import Rewriter

CHAT = "/v1/chat/completions"
SECRET_PROMPT = "the merger is on Tuesday"


def line(custom_id: str = "a", **changes: object) -> bytes:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": SECRET_PROMPT}]}
    request = {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body} | changes
    return json.dumps(request).encode()


def checked(*lines: bytes, model: str | None = None, endpoint: str = CHAT, most: int = 100) -> LineChecker:
    checker = LineChecker(endpoint, model, most)
    for item in lines:
        checker.check(item)
    checker.finish()
    return checker


def found(*lines: bytes, model: str | None = None) -> list[tuple[int, str]]:
    return [(error.line, error.field) for error in checked(*lines, model=model).errors]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([line("a"), line("b")], id="plain"),
        pytest.param([line("a") + b"\r", line("b") + b" \t\r"], id="white space at the end of a line"),
        pytest.param([b"", line("a"), b"\t", line("b"), b"", b"  ", b"\r"], id="blank lines anywhere"),
        pytest.param([BOM + line("a"), BOM, BOM + BOM + line("b")], id="byte-order marks, as of files put together"),
        pytest.param([line("a\u2028b", body={"model": "m", "x": "\u2028"})], id="a line separator is data"),
        pytest.param([line(url="/chat/completions")], id="Azure writes the url without /v1"),
        pytest.param([line(body={"model": "m", "stream": False})], id="stream false is no stream"),
        pytest.param([json.dumps({"custom_id": "ä", "method": "POST", "url": CHAT, "body": {"model": "m"}}, ensure_ascii=False).encode()], id="UTF-8"),
    ],
)  # fmt: skip
def test_accepted(lines: list[bytes]) -> None:
    assert found(*lines) == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([b"\xff" + line()], [(1, "")], id="not UTF-8"),
        pytest.param([b"{nonsense"], [(1, "")], id="not JSON"),
        pytest.param([line(), b"[1]"], [(2, "")], id="not an object"),
        pytest.param([line(body={"model": "m"})[:-2] + b', "t": NaN}}'], [(1, "")], id="NaN"),
        pytest.param([line()[:-2] + b', "t": -Infinity}}'], [(1, "")], id="Infinity"),
        pytest.param([b"[" * 100_000], [(1, "")], id="nested without end"),
        pytest.param([b'{"custom_id": ' + b"9" * 10_000 + b"}"], [(1, "")], id="a number without end"),
        pytest.param([line().replace(b"merger", b"\\ud800")], [(1, "")], id="half of a surrogate pair"),
        pytest.param([line(custom_id=None)], [(1, "custom_id")], id="custom_id is null"),  # type: ignore[arg-type]
        pytest.param([line("")], [(1, "custom_id")], id="custom_id is empty"),
        pytest.param([line("x" * 513)], [(1, "custom_id")], id="custom_id is too long"),
        pytest.param([line("a"), line("b"), line("a")], [(3, "custom_id")], id="custom_id twice"),
        pytest.param([line(method="post")], [(1, "method")], id="method"),
        pytest.param([line(url="/v1/embeddings")], [(1, "url")], id="another endpoint"),
        pytest.param([line(url=None)], [(1, "url")], id="no url"),
        pytest.param([line(body=[])], [(1, "body")], id="body is no object"),
        pytest.param([line(body={})], [(1, "body.model")], id="no model"),
        pytest.param([line(body={"model": ""})], [(1, "body.model")], id="an empty model"),
        pytest.param([line("a"), line("b", body={"model": "o3"})], [(2, "body.model")], id="two models"),
        pytest.param([line(body={"model": "m", "stream": True})], [(1, "body.stream")], id="a stream"),
        pytest.param([], [(1, "")], id="an empty input"),
        pytest.param([b"", b" "], [(1, "")], id="nothing but blank lines"),
        pytest.param([BOM, b"\r"], [(1, "")], id="nothing but what is cleaned away"),
        pytest.param(
            [b"", BOM, b"x", b"\r", line(method="get")], [(3, ""), (5, "method")], id="numbers of lines are the file's"
        ),
    ],
)
def test_refused(lines: list[bytes], expected: list[tuple[int, str]]) -> None:
    assert found(*lines) == expected


def test_a_duplicate_names_the_line_it_repeats() -> None:
    assert '"a" is already on line 1' in checked(line("a"), line("b"), line("a")).errors[0].message


def test_with_a_model_of_its_own_the_job_does_not_care_for_the_lines_models() -> None:
    assert found(line("a", body={}), line("b", body={"model": 3}), model="mine") == []


def test_too_many_requests_are_told_once() -> None:
    checker = checked(*(line(str(number)) for number in range(5)), most=3)
    assert [(error.line, error.message[:20]) for error in checker.errors] == [(4, "more than 3 requests")]


def test_the_first_ten_are_told_and_all_are_counted() -> None:
    checker = checked(*[b"x"] * 25)
    assert (len(checker.errors), checker.error_count) == (10, 25)


def test_a_line_that_was_too_long_to_keep_is_refused_with_the_limits_name() -> None:
    checker = LineChecker(CHAT, None, 10)
    checker.too_long()
    checker.finish()
    assert str(MAX_LINE_BYTES) in checker.errors[0].message
    assert "limits.maxLineBytes of the BatchGateway" in checker.errors[0].message


def test_a_line_may_be_as_long_as_the_gateway_says_white_space_at_its_end_left_out() -> None:
    checker = LineChecker(CHAT, None, 10, len(line()))
    checker.check(BOM + line() + b" \r")
    checker.check(line("b") + b" ")
    assert checker.errors == []
    checker.check(line("cc"))
    assert [(error.line, error.field) for error in checker.errors] == [(3, "")]
    assert f"longer than {len(line())} bytes" in checker.errors[0].message


RESPONSES, STORED = "/v1/responses", {"prompt": {"id": "pmpt_1", "version": "2"}}


@pytest.mark.parametrize(
    ("endpoint", "body", "accepted"),
    [
        pytest.param("/v1/moderations", {"input": "x"}, True, id="moderations"),
        pytest.param("/moderations", {"input": "x", "model": None}, True, id="null is unset"),
        pytest.param("/v1/moderations/", {"input": "x"}, True, id="a slash at the end"),
        pytest.param("/openai/v1/moderations", {"input": "x"}, True, id="below another path"),
        pytest.param("/v1/images/generations", {"prompt": "x"}, True, id="images"),
        pytest.param("/openai/deployments/mine/chat/completions", {"messages": []}, True, id="named by the path"),
        pytest.param(RESPONSES, STORED, True, id="a stored prompt"),
        pytest.param(RESPONSES, {**STORED, "model": None}, True, id="a stored prompt and null"),
        pytest.param(RESPONSES, {"agent": {"name": "mine", "type": "agent_reference"}}, True, id="an agent"),
        pytest.param(RESPONSES, {"input": "x"}, False, id="responses without either"),
        pytest.param(RESPONSES, {"prompt": "x"}, False, id="a prompt that is none"),
        pytest.param(RESPONSES, {"prompt": {"id": ""}}, False, id="a prompt without id"),
        pytest.param(RESPONSES, {**STORED, "model": 3}, False, id="a model that is none"),
        pytest.param("/v1/moderations", {"input": "x", "model": ""}, False, id="an empty model"),
        pytest.param(CHAT, STORED, False, id="chat knows no stored prompts"),
        pytest.param("/v1/embeddings", {"input": "x"}, False, id="embeddings"),
        pytest.param("/v1/completions", {"prompt": {"id": "x"}}, False, id="completions"),
    ],
)
def test_a_model_is_asked_for_where_one_is_needed(endpoint: str, body: dict[str, object], accepted: bool) -> None:
    found = checked(line(url=endpoint, body=body), endpoint=endpoint).errors
    assert [error.field for error in found] == ([] if accepted else ["body.model"])


def test_lines_with_and_without_a_model_may_stand_in_one_input() -> None:
    lines = [
        line(str(number), url=RESPONSES, body=body)
        for number, body in enumerate(({"model": "m"}, STORED, {"model": "m"}))
    ]
    assert checked(*lines, endpoint=RESPONSES).errors == []


@pytest.mark.parametrize(
    ("start", "word"),
    [
        pytest.param("\ufeff{".encode("utf-16-le"), "UTF-16", id="UTF-16, little end first"),
        pytest.param("\ufeff{".encode("utf-16-be"), "UTF-16", id="UTF-16, big end first"),
        pytest.param("\ufeff{".encode("utf-32-le"), "UTF-32", id="UTF-32"),
        pytest.param('{"'.encode("utf-16-le"), "UTF-16", id="UTF-16 without a mark"),
        pytest.param(b"\x1f\x8b\x08\0", "compressed", id="gzip"),
        pytest.param(b"PK\x03\x04", "compressed", id="zip"),
        pytest.param(BOM + b'{"', None, id="UTF-8 with a mark"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_a_file_that_is_no_text_is_told_as_a_whole(start: bytes, word: str | None) -> None:
    told = why_no_text(start)
    assert told is None if word is None else word in (told or "")


@pytest.mark.parametrize(
    "bad",
    [
        line(method=SECRET_PROMPT),
        line(url=SECRET_PROMPT),
        line(body=SECRET_PROMPT),
        line(body={"model": [SECRET_PROMPT]}),
        line()[:-1],
        line() + b"x",
        line().replace(b"Tuesday", b"\xff"),
    ],
)
def test_no_message_quotes_the_line(bad: bytes) -> None:
    messages = " ".join(error.message for error in checked(bad).errors)
    assert messages
    assert not any(word in messages for word in SECRET_PROMPT.split() if len(word) > 3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            '{"custom_id": "a", "body": {"model" :  "gpt-4o", "n": 1.10, "t": "\u2028ä\\u00e4"}}',
            '{"custom_id": "a", "body": {"model" :  "mine", "n": 1.10, "t": "\u2028ä\\u00e4"}}',
            id="every other byte stays",
        ),
        pytest.param(
            '{"body":{"messages":[{"content":"say \\"model\\": x"}],"model":"a"}}',
            '{"body":{"messages":[{"content":"say \\"model\\": x"}],"model":"mine"}}',
            id="the word in a prompt is no member",
        ),
        pytest.param(
            '{"body":{"tools":{"model":"t"},"model":"a"},"model":"b"}',
            '{"body":{"tools":{"model":"t"},"model":"mine"},"model":"b"}',
            id="only the body's own",
        ),
        pytest.param('{"body":{"model":"a","model":"b"}}', '{"body":{"model":"mine","model":"mine"}}', id="twice"),
        pytest.param('{"body":{"mo\\u0064el":"a"}}', '{"body":{"mo\\u0064el":"mine"}}', id="a key with escapes"),
        pytest.param('{"body":{"model": null }}', '{"body":{"model": "mine" }}', id="null"),
        pytest.param('{"body": {"a": 1}}', '{"body": {"model": "mine", "a": 1}}', id="added where there is none"),
        pytest.param('{"body": {}}', '{"body": {"model": "mine"}}', id="added to nothing"),
        pytest.param(
            '{"body":1,"body":{"model":"x"}}',
            '{"body":1,"body":{"model":"mine"}}',
            id="an earlier body may be anything",
        ),
        pytest.param('{"x":{"model":"t"},"body":{}}', '{"x":{"model":"t"},"body":{"model": "mine"}}', id="elsewhere"),
    ],
)
def test_rewriting_replaces_the_model_alone(before: str, after: str) -> None:
    assert Rewriter("mine").rewrite(before.encode()) == after.encode()


def test_a_models_name_is_escaped() -> None:
    assert Rewriter('a"ü').rewrite(b'{"body":{"model":"x"}}') == '{"body":{"model":"a\\"ü"}}'.encode()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(max_size=8)
    | st.sampled_from(["model", '"model": x']),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.just("model"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    body=st.dictionaries(st.text(max_size=4) | st.just("model"), VALUES, max_size=4),
    more=st.dictionaries(st.sampled_from(["x", "model", "\\", '"']), VALUES, max_size=2),
    ascii_only=st.booleans(),
    indent=st.booleans(),
)
def test_rewriting_changes_nothing_but_the_model(
    body: dict[str, object], more: dict[str, object], ascii_only: bool, indent: bool
) -> None:
    request = {**more, "body": body}
    separators = (" , ", "\t:\r") if indent else (",", ":")
    text = json.dumps(request, ensure_ascii=ascii_only, separators=separators)
    again = Rewriter("mine").rewrite(text.encode("utf-8", "surrogatepass"))
    assert json.loads(again) == {**request, "body": {**body, "model": "mine"}}
