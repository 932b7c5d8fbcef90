"""What the gateway answers is read tolerantly."""

import json
from datetime import UTC, datetime

import pytest

from llmbatch.provider.pure.lenient import WireError
from llmbatch.provider.pure.refusal import ErrorBody, read_error, retry_after
from llmbatch.provider.pure.wire import BatchError, Counts, read_batch, read_file, read_page

NOW = datetime(2025, 10, 30, 12, 0, tzinfo=UTC)


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def batch(**changes: object) -> bytes:
    return encoded({"id": "batch_1", "status": "in_progress", **changes})


def test_a_new_azure_batch_has_nothing_set_yet() -> None:
    read = read_batch(
        batch(
            status="validating",
            created_at=1761817562,
            expires_at=1761903959,
            endpoint="",
            output_file_id="",
            error_file_id="",
            input_file_id="file-1",
            errors=None,
            metadata=None,
            request_counts={"total": 0, "completed": 0, "failed": 0},
        )
    )
    assert (read.id, read.status, read.is_terminal, read.ended_at) == ("batch_1", "validating", False, None)
    assert (read.input_file_id, read.output_file_id, read.error_file_id) == ("file-1", None, None)
    assert read.counts == Counts(total=0, completed=0, failed=0)
    assert read.created_at == datetime(2025, 10, 30, 9, 46, 2, tzinfo=UTC)
    assert (read.metadata, read.errors) == ({}, ())


@pytest.mark.parametrize(
    ("status", "expected", "terminal"),
    [
        pytest.param("Completed", "completed", True, id="an early preview writes capitals"),
        pytest.param("canceled", "cancelled", True, id="cancelled has two spellings"),
        pytest.param("CANCELLED", "cancelled", True, id="in any case"),
        pytest.param("canceling", "cancelling", False, id="cancelling isn't the end"),
        pytest.param("expired", "expired", True, id="expired is the end"),
        pytest.param("failed", "failed", True, id="failed is the end"),
        pytest.param("InProgress", "in_progress", False, id="run together"),
        pytest.param("pondering", "pondering", False, id="an unknown status means: still going"),
        pytest.param(None, "unknown", False, id="none at all means: still going"),
        pytest.param("", "unknown", False, id="an empty one too"),
        pytest.param({"a": 1}, "unknown", False, id="and a strange one"),
        pytest.param("completed\n", "unknown", False, id="nothing is trimmed into an end"),
        pytest.param("x" * 65, "unknown", False, id="a status without end isn't shown"),
    ],
)
def test_status(status: object, expected: str, terminal: bool) -> None:
    read = read_batch(batch(status=status))
    assert (read.status, read.is_terminal) == (expected, terminal)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(1761817562, datetime(2025, 10, 30, 9, 46, 2, tzinfo=UTC), id="seconds"),
        pytest.param("1761817562", datetime(2025, 10, 30, 9, 46, 2, tzinfo=UTC), id="seconds in a string"),
        pytest.param("2025-10-30T09:46:02Z", datetime(2025, 10, 30, 9, 46, 2, tzinfo=UTC), id="ISO 8601"),
        pytest.param("2025-10-30T09:46:02", datetime(2025, 10, 30, 9, 46, 2, tzinfo=UTC), id="without a zone: UTC"),
        pytest.param(None, None, id="null"),
        pytest.param("", None, id="empty"),
        pytest.param(0, None, id="zero"),
        pytest.param("2025-10-30T11:46:02+02:00", datetime(2025, 10, 30, 9, 46, 2, tzinfo=UTC), id="of another zone"),
        pytest.param("0001-01-01T00:00:00Z", None, id="the year 1 means never"),
        pytest.param("0001-01-01T00:00:00+14:00", None, id="before the year 1"),
        pytest.param("9999-12-31T23:59:59-14:00", None, id="after the year 9999"),
        pytest.param("soon", None, id="words"),
        pytest.param(1e300, None, id="out of range"),
        pytest.param(True, None, id="a truth value"),
    ],
)
def test_moments(value: object, expected: datetime | None) -> None:
    found = read_batch(batch(created_at=value)).created_at
    assert found == expected
    # A status is written as if it were UTC.
    assert found is None or found.tzinfo is UTC


def test_a_failed_azure_batch_ended_when_it_says_completed() -> None:
    read = read_batch(batch(status="failed", failed_at=None, completed_at=1761817562))
    assert read.ended_at == datetime(2025, 10, 30, 9, 46, 2, tzinfo=UTC)


def test_a_batch_that_was_cancelled_ended_when_it_was_cancelled() -> None:
    read = read_batch(batch(status="cancelled", cancelled_at=1761817562, completed_at=1))
    assert read.ended_at == datetime(2025, 10, 30, 9, 46, 2, tzinfo=UTC)


def test_counts_may_be_null_or_strings() -> None:
    counts = read_batch(batch(request_counts={"total": "5", "completed": None, "failed": -1})).counts
    assert counts == Counts(total=5, completed=None, failed=None)


@pytest.mark.parametrize("count", [2**63, 10**30, 1e30, "1e30", str(2**64)])
def test_a_count_that_fits_into_no_field_is_unset(count: object) -> None:
    read = read_batch(batch(request_counts={"total": count, "completed": 4, "failed": 2**53}))
    assert read.counts == Counts(total=None, completed=4, failed=2**53)
    assert read_file(encoded({"id": "file-1", "bytes": count})).bytes is None


def test_the_providers_errors_have_lines_as_numbers_or_strings() -> None:
    data = [
        {"code": "invalid_json_line", "message": "bad\nline", "line": "2", "param": None},
        {"code": None, "message": None},
        "nonsense",
    ]
    read = read_batch(batch(status="failed", errors={"object": "list", "data": data}))
    assert read.errors == (
        BatchError(code="invalid_json_line", message="bad line", line=2),
        BatchError(code="unknown", message=""),
    )


def test_metadata_keeps_what_is_text() -> None:
    assert read_batch(batch(metadata={"llmbatch_uid": "u", "n": None})).metadata == {"llmbatch_uid": "u"}


def test_a_body_may_be_json_in_a_json_string() -> None:
    assert read_batch(encoded(batch().decode())).id == "batch_1"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="HTML"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="no id"),
        pytest.param(b'{"id": ""}', id="an empty id"),
        pytest.param(b'{"id": "../batches"}', id="an id that leaves its place in a path"),
        pytest.param(b'{"id": ".."}', id="an id of two dots"),
        pytest.param(encoded({"id": "x" * 1025}), id="an id that is too long"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b'{"id": ' + b"9" * 10_000 + b"}", id="a number without end"),
        pytest.param(b'{"id": "\xff"}', id="not UTF-8"),
        pytest.param(b'{"id": "req_1", "object": "error", "error": {"message": "x"}}', id="an error and its call's id"),
    ],
)
def test_what_cant_be_told_is_an_error_of_our_own(body: bytes) -> None:
    with pytest.raises(WireError):
        read_batch(body)
    with pytest.raises(WireError):
        read_file(body)


def test_a_file_may_lack_its_size() -> None:
    read = read_file(encoded({"id": "file-1", "bytes": None, "status": "Processed", "status_details": ""}))
    assert (read.id, read.bytes, read.status, read.status_details) == ("file-1", None, "processed", None)


def test_a_page_keeps_apart_what_has_no_usable_id_and_knows_where_to_go_on() -> None:
    strange = {"id": "jobs/b", "input_file_id": "file-1"}
    page = read_page(encoded({"data": [{"id": "b1"}, {}, strange, 7, {"id": "b2"}], "has_more": True}))
    assert [item.id for item in page.batches] == ["b1", "b2"]
    assert [(item.id, item.input_file_id) for item in page.unusable] == [("", None), ("", "file-1")]
    assert (page.has_more, page.last_id) == (True, "b2")


def test_a_page_of_an_old_preview_calls_its_data_value() -> None:
    page = read_page(encoded({"value": [{"id": "b1"}]}))
    assert ([item.id for item in page.batches], page.has_more) == (["b1"], False)
    assert read_page(encoded({"data": None, "value": [{"id": "b1"}]})).batches == page.batches


@pytest.mark.parametrize("more", [True, 1, "true", "True", "1"])
def test_more_may_be_said_in_other_words(more: object) -> None:
    assert read_page(encoded({"data": [{"id": "b1"}], "has_more": more})).has_more


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        pytest.param(
            b'{"message":"no Route matched with those values","request_id":"1"}',
            {},
            ErrorBody(source="kong", code=None, message="no Route matched with those values"),
            id="Kong has a message and no error",
        ),
        pytest.param(
            b'{"error":{"code":"quotaExceeded","message":"500 files"}}',
            {},
            ErrorBody(source="provider", code="quotaExceeded", message="500 files"),
            id="Azure",
        ),
        pytest.param(
            b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}',
            {},
            ErrorBody(source="provider", code="invalid_request_error", message="no"),
            id="OpenAI",
        ),
        pytest.param(
            b'{"error":{"code":429,"message":"slow"}}',
            {},
            ErrorBody(source="provider", code="429", message="slow"),
            id="a code may be a number",
        ),
        pytest.param(
            b'{"object":"error","message":"No such batch","type":"NotFoundError","param":null,"code":404}',
            {},
            ErrorBody(source="provider", code="404", message="No such batch"),
            id="an error without an envelope, of vLLM and Mistral",
        ),
        pytest.param(
            b"upstream\x1b[31m\r\n gone",
            {},
            ErrorBody(source="unknown", code=None, message="upstream [31m gone"),
            id="plain text loses its control characters",
        ),
        pytest.param(
            b"<html><head><title>502 Bad Gateway</title></head></html>",
            {"Content-Type": "text/html"},
            ErrorBody(source="unknown", code=None, message="502 Bad Gateway"),
            id="HTML has a title",
        ),
        pytest.param(b"", {}, ErrorBody(source="unknown", code=None, message="HTTP 502 without a message"), id="empty"),
        pytest.param(b"[]", {}, ErrorBody(source="unknown", code=None, message="HTTP 502"), id="something else"),
        pytest.param(
            b'{"error":{},"message":"gone"}',
            {},
            ErrorBody(source="kong", code=None, message="gone"),
            id="an empty error is none",
        ),
        pytest.param(
            b'{"error":"\\n"}',
            {},
            ErrorBody(source="provider", code=None, message="HTTP 502"),
            id="a message of blanks",
        ),
        pytest.param(
            b'{"message":"\\n"}', {}, ErrorBody(source="unknown", code=None, message="HTTP 502"), id="no words"
        ),
        pytest.param(
            b'{"error":{"code":"a\\nb","message":"m"}}',
            {},
            ErrorBody(source="provider", code="a b", message="m"),
            id="a code is one line",
        ),
    ],
)
def test_errors(body: bytes, headers: dict[str, str], expected: ErrorBody) -> None:
    assert read_error(502, headers, body) == expected


def test_a_long_message_is_cut() -> None:
    assert len(read_error(500, {}, b"x" * 100_000).message) == 256


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({"Retry-After": "7"}, 7.0, id="seconds"),
        pytest.param({"retry-after": "Thu, 30 Oct 2025 12:00:30 GMT"}, 30.0, id="a date"),
        pytest.param({"Retry-After": "Thu, 30 Oct 2025 11:00:00 GMT"}, 0.0, id="a date that has passed"),
        pytest.param(
            {"Retry-After": "Thu, 30 Oct 2025 12:10:30 GMT", "Date": "Thu, 30 Oct 2025 12:10:00 GMT"},
            30.0,
            id="a date by the gateway's own clock",
        ),
        pytest.param({"Retry-After": "-5"}, 0.0, id="never negative"),
        pytest.param({"X-AI-RateLimit-Retry-After": "12"}, 12.0, id="Kong's own"),
        pytest.param({"Retry-After": "soon", "X-AI-RateLimit-Retry-After": "3"}, 3.0, id="the one that can be read"),
        pytest.param({"Retry-After": "inf"}, None, id="not for ever"),
        pytest.param({"Retry-After": "1e300"}, 86400.0, id="a number without end"),
        pytest.param({"Retry-After": "1.5"}, 1.5, id="a fraction"),
        pytest.param({"Retry-After": "30s"}, 30.0, id="with its unit"),
        pytest.param({"Retry-After": "7, 60"}, 7.0, id="two, of which a proxy has added one"),
        pytest.param({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5, id="milliseconds"),
        pytest.param({"retry-after-ms": "x", "Retry-After": "2"}, 2.0, id="milliseconds that can't be read"),
        pytest.param({"Retry-After": "1761825600"}, 86400.0, id="a moment in place of seconds: no longer than a day"),
        pytest.param({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86400.0, id="a date far off"),
        pytest.param({}, None, id="nothing said"),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after(headers, NOW) == expected
