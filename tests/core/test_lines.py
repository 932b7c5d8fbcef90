"""An input is checked line by line before anything is sent."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbatch.core.lines import MAX_LINE_BYTES, LineChecker

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
        pytest.param([line("a") + b"\r", line("b") + b"\r"], id="a carriage return is white space"),
        pytest.param([line("a"), b"", b"  ", b"\r"], id="blank lines at the end are left out"),
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
        pytest.param([b"\xef\xbb\xbf" + line()], [(1, "")], id="a byte-order mark"),
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
        pytest.param([line("a"), b"", line("b")], [(2, "")], id="a blank line between requests"),
        pytest.param([b"", line("a")], [(1, "")], id="a blank line at the beginning"),
        pytest.param([], [(1, "")], id="an empty input"),
        pytest.param([b"", b" "], [(1, "")], id="nothing but blank lines"),
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


def test_a_line_that_was_too_long_to_keep_is_refused() -> None:
    checker = LineChecker(CHAT, None, 10)
    checker.too_long()
    checker.finish()
    assert str(MAX_LINE_BYTES) in checker.errors[0].message


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
    assert LineChecker(CHAT, "mine", 10).rewrite(before.encode()) == after.encode()


def test_a_models_name_is_escaped() -> None:
    assert LineChecker(CHAT, 'a"ü', 10).rewrite(b'{"body":{"model":"x"}}') == '{"body":{"model":"a\\"ü"}}'.encode()


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
    again = LineChecker(CHAT, "mine", 10).rewrite(text.encode("utf-8", "surrogatepass"))
    assert json.loads(again) == {**request, "body": {**body, "model": "mine"}}
