"""What carries no meaning is left out of what is sent, and what is sent counts as the input."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from llmbatch.api.reasons import Reason
from llmbatch.common.tokens import estimate
from llmbatch.jsonl.lines import BOM
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure.report import UploadReport
from tests.edges.collecting import Done, counts
from tests.edges.plans import jsonl, request_line, upload_plan
from tests.emulator.client import Instance

A, B = (request_line(name).encode() for name in "ab")
CLEAN = A + b"\n" + B + b"\n"
UNCLEAN = [
    pytest.param(BOM + CLEAN, id="a byte-order mark"),
    pytest.param(A + b"\r\n" + B + b"\r\n", id="CRLF"),
    pytest.param(A + b"\r\n" + B, id="CRLF, none at the end"),
    pytest.param(b"\n" + CLEAN, id="a blank line at the beginning"),
    pytest.param(A + b"\n\n \n" + B + b"\n", id="blank lines in between"),
    pytest.param(CLEAN + b"\n \n\n", id="blank lines at the end"),
    pytest.param(CLEAN + b"  ", id="a blank line without end"),
    pytest.param(A + b" \t\n" + B + b" ", id="white space at line ends"),
    pytest.param(BOM + A + b"\r\n\r\n" + BOM + B + b"\t\r\n\r\n", id="everything"),
]
AsInput = Callable[[bytes], UploadReport]


@pytest.fixture(params=["in memory", "in a volume"])
def send(request: pytest.FixtureRequest, kong: Instance, tmp_path: Path) -> AsInput:
    """Upload an input from a ConfigMap or Secret, or from a volume."""

    def act(data: bytes) -> UploadReport:
        if request.param == "in memory":
            return upload(upload_plan(kong.url), data, {})
        (tmp_path / "in.jsonl").write_bytes(data)
        return upload(upload_plan(kong.url, root=str(tmp_path), path="in.jsonl"), None, {})

    return act


def stored(kong: Instance, report: UploadReport) -> bytes:
    assert report.problem is None, report.problem
    return httpx.get(f"{kong.url}/files/{report.file_id}/content").raise_for_status().content


@pytest.mark.parametrize("data", UNCLEAN)
def test_it_is_left_out_and_what_is_sent_counts(kong: Instance, send: AsInput, data: bytes) -> None:
    report = send(data)
    assert stored(kong, report) == CLEAN
    assert report.input is not None
    told = {"bytes": len(CLEAN), "requests": 2, "sha256": sha256(CLEAN).hexdigest(), "cleaned": True}
    tokens = sum(estimate(json.loads(line)["body"]) for line in CLEAN.splitlines())
    assert report.input.dump() == {**told, "estimatedTokens": tokens}


@pytest.mark.parametrize("data", [CLEAN, CLEAN[:-1], b" " + CLEAN, A + b"\n" + request_line("\u2028\ufeff ").encode()])
def test_what_needs_no_cleaning_is_sent_byte_for_byte(kong: Instance, send: AsInput, data: bytes) -> None:
    report = send(data)
    assert stored(kong, report) == data
    assert report.input is not None
    assert (report.input.bytes, report.input.sha256) == (len(data), sha256(data).hexdigest())
    assert report.input.cleaned is None


def test_with_a_model_of_the_jobs_own_too_what_is_sent_counts(kong: Instance) -> None:
    report = upload(upload_plan(kong.url, model="mine"), BOM + A + b"\r\n\r\n" + B, {})
    sent = stored(kong, report)
    assert [json.loads(line)["body"]["model"] for line in sent.splitlines()] == ["mine", "mine"]
    assert report.input is not None
    assert (report.input.bytes, report.input.sha256) == (len(sent), sha256(sent).hexdigest())


@pytest.mark.parametrize("data", [b"\n", b"\r\n \n", BOM, BOM + b"\n", b""])
def test_an_input_of_nothing_else_is_invalid(kong: Instance, send: AsInput, data: bytes) -> None:
    told = send(data).problem
    assert told is not None
    assert (told.reason, told.final) == (Reason.INVALID_INPUT, True)
    assert "empty" in told.message
    assert kong.calls() == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_an_input_in_another_encoding_is_told_once(kong: Instance, send: AsInput, encoding: str) -> None:
    report = send(CLEAN.decode().encode(encoding))
    assert report.problem is not None
    assert report.problem.reason is Reason.INVALID_INPUT
    assert "UTF-16" in report.problem.message
    assert report.line_error_count == 1
    assert kong.calls() == []


def test_lines_are_numbered_as_in_the_users_file(send: AsInput) -> None:
    report = send(BOM + b"\n" + A + b"\r\n\r\nnonsense\r\n")
    assert [error.line for error in report.line_errors] == [4]


def test_white_space_does_not_count_against_the_gateways_limit(kong: Instance) -> None:
    data = CLEAN.replace(b"\n", b" \r\n\n")
    assert upload(upload_plan(kong.url, max_bytes=len(CLEAN)), data, {}).problem is None
    assert upload(upload_plan(kong.url, max_bytes=len(CLEAN) - 1), data, {}).problem is not None


@pytest.mark.parametrize("size", [1024, 6 * 1024 * 1024])
def test_a_line_is_as_long_as_the_gateway_takes_it(kong: Instance, size: int) -> None:
    line = request_line("a", "x" * (size - len(request_line("a", "")))).encode()
    plan = upload_plan(kong.url, max_line_bytes=size)
    assert len(line) == size
    assert upload(plan, line + b" \r\n", {}).problem is None
    told = upload(plan, line.replace(b"xx", b"xxx", 1) + b"\n", {}).problem
    assert told is not None
    assert "maxLineBytes" in told.message


@pytest.mark.parametrize("mounted", [True, False])
@pytest.mark.parametrize("model", [None, "gpt-4o"])
@pytest.mark.parametrize("data", UNCLEAN)
def test_results_are_joined_with_what_was_sent(
    kong: Instance, tmp_path: Path, data: bytes, model: str | None, *, mounted: bool
) -> None:
    done = Done(kong, tmp_path, data=data, model=model)
    kong.clear_calls()
    report = done.collect(model=model, **({} if mounted else {"input_root": None}))
    assert counts(report) == (2, 2, 0)
    assert done.results() == ["a", "b"]
    assert len(kong.calls("files.content")) == (1 if mounted else 2), (
        "the input in the volume is known for what was sent"
    )


def test_a_change_of_white_space_alone_on_the_way_is_a_change(kong: Instance, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(jsonl("a") + b"\n")

    def meddle(step: str, done: int, total: int | None) -> None:
        if step == "validate" and done == total:
            source.write_bytes(jsonl("a") + b" ")

    report = upload(upload_plan(kong.url, root=str(tmp_path), path="in.jsonl"), None, {}, progress=meddle)
    assert report.problem is not None
    assert report.problem.reason is Reason.INPUT_CHANGED
