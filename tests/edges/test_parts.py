"""An input that is too large for one file is cut into parts, and each part is sent as a file of its own."""

import json
from pathlib import Path

import httpx
import pytest

from llmbatch.api.reasons import Reason
from llmbatch.jsonl.cut import MOST_PARTS, unpacked
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure.plan import UploadPlan
from llmbatch.transfer.pure.report import REPORT_LIMIT_BYTES, UploadReport, fitted
from tests.edges.plans import jsonl, request_line, upload_plan
from tests.emulator.client import Instance

SEVEN = [request_line(f"r{number}", "x" * number) for number in range(7)]
BOM = "\ufeff"
SHAPES = {
    "as it should be": "".join(f"{line}\n" for line in SEVEN),
    "without the last line feed": "\n".join(SEVEN),
    "with CRLF": "".join(f"{line}\r\n" for line in SEVEN),
    "with blank lines and a mark": BOM + "\n\n" + "".join(f"{line} \n\n" for line in SEVEN),
    "ending in blanks": "\n".join(SEVEN) + "\n \n  ",
}


def cut(kong: Instance, data: bytes | None, **plan: object) -> UploadReport:
    report = upload(upload_plan(kong.url, split=True, **plan), data, {})
    assert report.problem is None, report.problem
    assert kong.files() == []
    return report


def plans_of(report: UploadReport, plan: UploadPlan) -> list[UploadPlan]:
    """Plan the upload of each part."""
    plans, offset = [], 0
    for number, part in enumerate(unpacked(report.cuts or "")):
        window = {"offset": offset, "length": part.source_bytes, "crc32": part.crc32, "split": None}
        plans.append(plan.model_copy(update={**window, "filename": f"uid-{number}-1.jsonl"}))
        offset += part.source_bytes
    return plans


def content(kong: Instance, report: UploadReport) -> bytes:
    assert report.problem is None, report.problem
    return httpx.get(f"{kong.url}/files/{report.file_id}/content").raise_for_status().content


@pytest.mark.parametrize("model", [None, "mine"])
@pytest.mark.parametrize("place", ["memory", "volume"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_parts_are_the_input_in_its_order(
    kong: Instance, tmp_path: Path, shape: str, place: str, model: str | None
) -> None:
    data = SHAPES[shape].encode()
    (tmp_path / "in.jsonl").write_bytes(data)
    where = {"root": str(tmp_path), "path": "in.jsonl"} if place == "volume" else {}
    given = None if place == "volume" else data
    report = cut(kong, given, max_requests=3, model=model, **where)
    parts = [
        upload(plan, given, {})
        for plan in plans_of(report, upload_plan(kong.url, max_requests=3, model=model, **where))
    ]
    sent = [content(kong, part) for part in parts]
    assert [part.input.requests for part in parts if part.input is not None] == [3, 3, 1]
    requests = [json.loads(line) for part in sent for line in part.splitlines()]
    assert [request["custom_id"] for request in requests] == [f"r{number}" for number in range(7)]
    assert {request["body"]["model"] for request in requests} == {model or "gpt-4o"}
    if not (report.input is None or report.input.cleaned or model):
        assert b"".join(sent) == data


def test_parts_are_as_large_as_a_file_may_be(kong: Instance) -> None:
    data = SHAPES["as it should be"].encode()
    most = len("\n".join(SEVEN[5:])) + 1
    parts = unpacked(cut(kong, data, max_bytes=most).cuts or "")
    assert all(part.bytes <= most for part in parts)
    assert [part.requests for part in parts] == [2, 2, 2, 1]
    assert sum(part.source_bytes for part in parts) == len(data)


def test_an_input_that_fits_is_sent_at_once(kong: Instance) -> None:
    report = upload(upload_plan(kong.url, split=True, max_requests=2), jsonl("a", "b"), {})
    assert report.cuts is None
    assert content(kong, report) == jsonl("a", "b")


def test_without_leave_to_split_it_is_refused(kong: Instance) -> None:
    report = upload(upload_plan(kong.url, max_requests=2), jsonl("a", "b", "c"), {})
    assert report.problem is not None
    assert report.problem.reason is Reason.INVALID_INPUT
    assert kong.files() == []


def test_every_line_is_checked_and_a_custom_id_is_no_others_in_any_part(kong: Instance) -> None:
    report = upload(upload_plan(kong.url, split=True, max_requests=2), jsonl("a", "b", "c", "d", "a") + b"{}\n", {})
    assert report.cuts is None
    assert [(error.line, error.field) for error in report.line_errors[:2]] == [(5, "custom_id"), (6, "custom_id")]
    assert kong.files() == []


def test_more_parts_than_a_job_may_have_are_refused_with_the_numbers(kong: Instance) -> None:
    ids = [f"r{number}" for number in range(2 * MOST_PARTS)]
    assert len(unpacked(cut(kong, jsonl(*ids), max_requests=2).cuts or "")) == MOST_PARTS
    report = upload(upload_plan(kong.url, split=True, max_requests=2), jsonl(*ids, "one more"), {})
    assert report.problem is not None
    assert report.problem.final
    assert "more than 200 requests, which is all that 100 files take" in report.problem.message
    size = len(request_line("r100")) + 1
    report = upload(upload_plan(kong.url, split=True, max_bytes=size), jsonl(*ids[:101]), {})
    assert report.problem is not None
    assert "101 parts" in report.problem.message


def test_a_line_larger_than_a_file_may_be_is_named(kong: Instance) -> None:
    data = jsonl("a") + f"{request_line('b', 'x' * 500)}\n".encode() + jsonl("c")
    report = upload(upload_plan(kong.url, split=True, max_bytes=400), data, {})
    assert [error.line for error in report.line_errors] == [2]
    assert report.problem is not None
    assert "maxFileBytes is 400" in report.problem.message


@pytest.mark.parametrize("how", ["another line", "shorter", "longer before it", "much longer before it", "no text"])
def test_an_input_that_was_changed_since_it_was_cut_is_not_sent(kong: Instance, how: str) -> None:
    data = jsonl("a", "b", "c", "d")
    report = cut(kong, data, max_requests=2)
    second = plans_of(report, upload_plan(kong.url, max_requests=2))[1]
    changed = {
        "another line": jsonl("a", "b", "c", "e"),
        "shorter": jsonl("a", "b", "c"),
        "longer before it": jsonl("aa", "b", "c", "d"),
        "much longer before it": jsonl("a" * 50, "b", "c", "d"),
        "no text": b"\x1f\x8b" * len(data),
    }[how]
    told = upload(second, changed, {}).problem
    assert told is not None
    assert told.reason is Reason.INPUT_CHANGED
    assert kong.files() == []
    assert content(kong, upload(second, data, {})) == jsonl("c", "d")


def test_a_hundred_parts_are_reported_whole(kong: Instance) -> None:
    report = cut(kong, jsonl(*(f"r{number}" for number in range(MOST_PARTS))), max_requests=1)
    body = fitted(report)
    assert len(body) <= REPORT_LIMIT_BYTES
    assert UploadReport.parse(json.loads(body)) == report
