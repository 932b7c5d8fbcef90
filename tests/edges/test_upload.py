"""An input is sent whole or not at all."""

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import facts
from llmbatch.jsonl import lines
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure.report import Problem, UploadReport
from tests.edges.plans import jsonl, request_line, upload_plan
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer


def problem(report: UploadReport) -> Problem:
    assert report.problem is not None
    assert report.file_id is None
    return report.problem


def stored(kong: Instance, report: UploadReport) -> bytes:
    assert report.problem is None, report.problem
    return httpx.get(f"{kong.url}/files/{report.file_id}/content").raise_for_status().content


def test_the_input_arrives_byte_for_byte(kong: Instance) -> None:
    data = jsonl("a", "b") + request_line("ü\u2028").encode()
    report = upload(upload_plan(kong.url), data, {})
    assert stored(kong, report) == data
    assert report.input is not None
    assert (report.input.bytes, report.input.requests) == (len(data), 3)
    assert report.input.sha256 == sha256(data).hexdigest()
    (call,) = kong.calls("files.create")
    (file,) = kong.files()
    assert call["status"] == 201
    assert (file["filename"], file["purpose"]) == ("uid-0-1.jsonl", "batch")


def test_an_input_of_many_blocks_arrives_byte_for_byte(kong: Instance, tmp_path: Path) -> None:
    data = "".join(f"{request_line(f'r{number}', 'x' * 3000)}\n" for number in range(1000)).encode()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "batch.jsonl").write_bytes(data)
    report = upload(upload_plan(kong.url, root=str(tmp_path), path="in/batch.jsonl"), None, {})
    assert stored(kong, report) == data


def test_a_model_of_the_jobs_own_is_put_on_every_line(kong: Instance) -> None:
    report = upload(upload_plan(kong.url, model="mine"), jsonl("a", "b") + b"\n", {})
    sent = [json.loads(line) for line in stored(kong, report).splitlines()]
    assert [(line["custom_id"], line["body"]["model"]) for line in sent] == [("a", "mine"), ("b", "mine")]


def test_nothing_is_sent_of_an_invalid_input(kong: Instance) -> None:
    report = upload(upload_plan(kong.url), jsonl("a", "b", "a") + b"nonsense\n", {})
    told = problem(report)
    assert (told.reason, told.final) == (Reason.INVALID_INPUT, True)
    assert told.message.startswith('the input can\'t be sent: line 3: custom_id "a" is already on line 1')
    assert [(error.line, error.field) for error in report.line_errors] == [(3, "custom_id"), (4, "")]
    assert report.line_error_count == 2
    assert kong.calls() == []


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"max_bytes": 100}, "maxFileBytes is 100"), ({"max_requests": 1}, "more than 1 requests")],
)
def test_limits_are_checked_before_anything_is_sent(kong: Instance, limits: dict[str, int], words: str) -> None:
    told = problem(upload(upload_plan(kong.url, **limits), jsonl("a", "b"), {}))
    assert (told.reason, told.final) == (Reason.INVALID_INPUT, True)
    assert words in told.message
    assert kong.calls() == []


def test_a_file_that_is_far_too_large_is_not_even_read(kong: Instance, tmp_path: Path) -> None:
    with (tmp_path / "in.jsonl").open("w") as file:
        file.truncate(10**12)  # takes no space
    told = problem(upload(upload_plan(kong.url, root=str(tmp_path), path="in.jsonl"), None, {}))
    assert (told.reason, told.final) == (Reason.INVALID_INPUT, True)
    assert "1000000000000 bytes" in told.message


def test_a_line_without_end_is_refused_and_not_kept(kong: Instance) -> None:
    told = problem(upload(upload_plan(kong.url), b"x" * (lines.MAX_LINE_BYTES + 1), {}))
    assert told.reason is Reason.INVALID_INPUT


@pytest.mark.parametrize(
    ("arrange", "path", "words"),
    [
        pytest.param(lambda _: None, "in.jsonl", "in.jsonl: No such file", id="not there"),
        pytest.param(lambda root: (root / "in.jsonl").mkdir(), "in.jsonl", "not a regular file", id="a folder"),
        pytest.param(lambda root: os.mkfifo(root / "in.jsonl"), "in.jsonl", "not a regular file", id="a pipe"),
        pytest.param(lambda root: (root / "in.jsonl").symlink_to("/etc/passwd"), "in.jsonl", "symbolic", id="a link"),
        pytest.param(lambda root: (root / "d").symlink_to("/etc"), "d/passwd", "d: is a symbolic", id="behind a link"),
        pytest.param(lambda _: None, "../etc/passwd", "relative", id="out of the volume"),
        pytest.param(lambda _: None, "/etc/passwd", "relative", id="absolute"),
    ],
)
def test_an_input_that_is_not_there(
    kong: Instance, tmp_path: Path, arrange: Callable[[Path], Any], path: str, words: str
) -> None:
    arrange(tmp_path)
    told = problem(upload(upload_plan(kong.url, root=str(tmp_path), path=path), None, {}))
    assert told.reason is Reason.INPUT_NOT_FOUND
    assert words in told.message
    assert "spec.input" in told.message
    assert kong.calls() == []


@pytest.mark.parametrize("change", [jsonl("a", "c"), jsonl("a"), jsonl("a", "b", "c"), b"", b"nonsense\nnonsense\n"])
@pytest.mark.parametrize("model", [None, "mine"])
def test_an_input_that_changes_on_the_way_is_not_sent(
    kong: Instance, tmp_path: Path, change: bytes, model: str | None
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(jsonl("a", "b"))

    def meddle(step: str, done: int, total: int | None) -> None:
        if step == "validate" and done == total:
            source.write_bytes(change)

    plan = upload_plan(kong.url, root=str(tmp_path), path="in.jsonl", model=model)
    told = problem(upload(plan, None, {}, progress=meddle))
    assert (told.reason, told.final) == (Reason.INPUT_CHANGED, False)
    assert kong.files() == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param({"kind": "status", "status": 401, "as_": "kong"}, Reason.GATEWAY_UNAUTHORIZED, id="401"),
        pytest.param({"kind": "status", "status": 413, "as_": "kong"}, Reason.REQUEST_REFUSED, id="413"),
        pytest.param({"kind": "status", "status": 429, "as_": "kong"}, Reason.RATE_LIMITED, id="429"),
        pytest.param({"kind": "status", "status": 503, "as_": "kong"}, Reason.GATEWAY_UNREACHABLE, id="503"),
        pytest.param({"kind": "reset_before"}, Reason.GATEWAY_UNREACHABLE, id="reset"),
        pytest.param({"kind": "not_json"}, Reason.GATEWAY_UNREACHABLE, id="not JSON"),
    ],
)
def test_a_gateway_that_does_not_take_it(kong: Instance, fault: dict[str, Any], reason: Reason) -> None:
    kong.fault(operation="files.create", **fault)
    told = problem(upload(upload_plan(kong.url), jsonl("a"), {}))
    assert (told.reason, told.final) == (reason, False)


def test_a_gateway_with_a_size_limit_of_its_own_is_named(emulator: EmulatorServer) -> None:
    kong = emulator.instance(kong={"max_body_bytes": 1000})
    data = "".join(f"{request_line(f'r{number}', 'x' * 3000)}\n" for number in range(900)).encode()
    told = problem(upload(upload_plan(kong.url), data, {}))
    assert told.reason is Reason.REQUEST_REFUSED
    assert "413" in told.message
    assert "size limit" in told.message


def test_a_full_quota_of_files_is_told(emulator: EmulatorServer) -> None:
    told = problem(upload(upload_plan(emulator.instance(max_files=0).url), jsonl("a"), {}))
    assert told.reason is Reason.QUOTA_EXCEEDED


def test_a_missing_credential_is_told(kong: Instance) -> None:
    plan = upload_plan(kong.url)
    connection = {**plan.connection.dump(), "headers": [{"name": "apikey", "variable": "KEY"}]}
    told = problem(upload(upload_plan(kong.url, connection=connection), jsonl("a"), {}))
    assert told.reason is Reason.CREDENTIALS_NOT_FOUND


def test_nobody_there(closed_port: str) -> None:
    told = problem(upload(upload_plan(closed_port), jsonl("a"), {}))
    assert told.reason is Reason.GATEWAY_UNREACHABLE


def test_progress_is_told_to_the_end(kong: Instance) -> None:
    seen: dict[str, tuple[int, int | None]] = {}
    data = jsonl("a")
    upload(upload_plan(kong.url), data, {}, progress=lambda step, done, total: seen.update({step: (done, total)}))
    assert seen == {"validate": (len(data), len(data)), "upload": (len(data), len(data))}


def test_one_bad_line_is_told_once(kong: Instance) -> None:
    told = facts.upload_problem(upload(upload_plan(kong.url), b"no JSON\n", {}))
    assert told is not None
    assert told.message.count("line 1") == 1
    assert told.message.count("not valid JSON") == 1


def test_of_many_bad_lines_each_is_told_once(kong: Instance) -> None:
    told = facts.upload_problem(upload(upload_plan(kong.url), b"no JSON\n" * 12, {}))
    assert told is not None
    assert [told.message.count(f"line {number}: ") for number in range(1, 11)] == [1] * 10
    assert told.message.endswith("… and 2 more")
