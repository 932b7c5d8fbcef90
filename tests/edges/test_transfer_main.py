"""The transfer Job's process, as the operator starts it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from llmbatch.api.batchjob_status import Failure, InputStatus
from llmbatch.api.reasons import Reason
from llmbatch.jsonl.lines import LineError
from llmbatch.transfer.pure.plan import CollectPlan, MergePlan, StoredPart, written
from llmbatch.transfer.pure.report import REPORT_LIMIT_BYTES, CollectReport, MergeReport, Problem, UploadReport, fitted
from tests.edges.plans import CHAT, connection_to, jsonl, request_line, upload_plan
from tests.emulator.client import Instance

ROOT = Path(__file__).parents[2]
LIMIT_KIB = 128 * 1024
PROMPT = "the merger is on Tuesday"
# The kernel's account of this program. That of getrusage begins with what the starting process had.
PROGRAM = """
import re, sys
from pathlib import Path
from llmbatch.transfer.edge.main import run_transfer
code = run_transfer(sys.argv[1])
print("peak", re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(code)
"""


def started(kind: str, plan: Any, report: Path, **environ: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "LLMBATCH_REPORT": str(report), **environ}
    if plan is not None:
        environment["LLMBATCH_PLAN"] = written(plan)
    command = [sys.executable, "-c", PROGRAM, kind]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(kind: str, plan: Any, report: Path, **environ: str) -> tuple[int, str, int]:
    """Run to the end: exit code, standard output, peak memory in KiB."""
    process = started(kind, plan, report, **environ)
    out, err = process.communicate(timeout=120)
    peak = int(err.rpartition("peak ")[2]) if "peak " in err else 0
    return process.returncode, out, peak


def test_an_upload_answers_through_its_report(kong: Instance, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(request_line("a", PROMPT))
    plan = upload_plan(kong.url, root=str(tmp_path), path="in.jsonl")
    connection = {**plan.connection.dump(), "headers": [{"name": "apikey", "variable": "KEY"}]}
    plan = upload_plan(kong.url, root=str(tmp_path), path="in.jsonl", connection=connection)
    code, out, _ = run("upload", plan, tmp_path / "report", KEY="s3cret")
    report = UploadReport.model_validate_json((tmp_path / "report").read_bytes())
    assert code == 0
    assert report.problem is None
    assert report.file_id is not None
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["validate", "validate", "upload", "done"]
    assert events[-2]["percent"] == 100
    assert "s3cret" not in out
    assert PROMPT not in out


def test_a_problem_is_a_report_too(kong: Instance, tmp_path: Path) -> None:
    plan = upload_plan(kong.url, root=str(tmp_path), path="none.jsonl")
    code, out, _ = run("upload", plan, tmp_path / "report")
    report = UploadReport.model_validate_json((tmp_path / "report").read_bytes())
    assert code == 0
    assert report.problem is not None
    assert report.problem.reason is Reason.INPUT_NOT_FOUND
    assert json.loads(out.splitlines()[-1])["reason"] == "InputNotFound"


def test_the_most_that_there_can_be_to_put_together_fits_into_a_variable(tmp_path: Path) -> None:
    parts = [several(part, attempt) for part in range(100) for attempt in range(1, 7)]
    plan = MergePlan(root=str(tmp_path), path="r.jsonl", folder=".parts", parts=parts, judged=True)
    assert len(plan.model_dump_json(by_alias=True, exclude_none=True)) > 128 * 1024, "no program starts with that"
    code, out, _ = run("merge", plan, tmp_path / "report")
    assert code == 0, out
    report = MergeReport.model_validate_json((tmp_path / "report").read_bytes())
    assert report.problem is not None
    assert ".parts: No such file" in report.problem.message, "it has looked for what it is to put together"


def several(part: int, attempt: int) -> StoredPart:
    digests = [hashlib.sha256(f"{kind} {part} {attempt}".encode()).hexdigest() for kind in ("good", "bad", "foreign")]
    return StoredPart(
        part=part,
        attempt=attempt,
        parts=[part],
        rest=True,
        bytes=200_000_000,
        sha256=digests[0],
        errors_bytes=200_000_000,
        errors_sha256=digests[1],
        foreign_bytes=200_000_000,
        foreign_sha256=digests[2],
    )


@pytest.mark.parametrize("value", ["", "{}", "zlib:", "zlib:!", "zlib:AAAA", "zlib:eJw=", "zlib:\u00e9"])
def test_what_is_no_plan_is_told_of(tmp_path: Path, value: str) -> None:
    code, out, _ = run("merge", None, tmp_path / "report", LLMBATCH_PLAN=value)
    assert code == 1
    assert "LLMBATCH_PLAN can't be read" in out


def test_without_a_plan_there_is_no_report(tmp_path: Path) -> None:
    code, out, _ = run("collect", None, tmp_path / "report")
    assert code == 1
    assert "LLMBATCH_PLAN" in out
    assert not (tmp_path / "report").exists()


def test_a_plan_that_cant_be_read_is_not_quoted(tmp_path: Path) -> None:
    code, out, _ = run("collect", None, tmp_path / "report", LLMBATCH_PLAN='{"kind": "s3cret"}')
    assert code == 1
    assert "s3cret" not in out


@pytest.mark.parametrize("text", ["x", "ü", "😀", '"', "\\"])
def test_a_report_always_fits_and_keeps_what_matters(text: str) -> None:
    long = text * 1000
    failures = [Failure(custom_id=text * 128, code=text * 64, message=text * 200) for _ in range(10)]
    problem = Problem(reason=Reason.REQUEST_REFUSED, message=long)
    body = fitted(CollectReport(bytes=1, requests=2, sha256="f" * 64, failures=failures, problem=problem))
    assert len(body) <= REPORT_LIMIT_BYTES
    report = CollectReport.model_validate_json(body)
    assert (report.bytes, report.requests, report.sha256) == (1, 2, "f" * 64)
    assert report.failures[0].code == text * 64
    assert report.problem is not None
    assert report.problem.reason is Reason.REQUEST_REFUSED

    errors = [LineError(line=number, field="body.model", message=long) for number in range(10)]
    body = fitted(UploadReport(file_id="f" * 256, line_errors=errors, line_error_count=10, problem=problem))
    assert len(body) <= REPORT_LIMIT_BYTES
    upload = UploadReport.model_validate_json(body)
    assert (upload.file_id, upload.line_error_count) == ("f" * 256, 10)
    assert upload.line_errors[0].line == 0


class Provider(ThreadingHTTPServer):
    """A files route that keeps nothing: takes any upload, and streams files from a folder."""

    daemon_threads = True

    def __init__(self, folder: Path, bytes_per_second: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.bytes_per_second = bytes_per_second
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed."""


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""

    def do_GET(self) -> None:
        path = self.server.folder / self.path.split("/")[2]
        self.send_response(200)
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        with path.open("rb") as file:
            while chunk := file.read(self.server.bytes_per_second or 1 << 20):
                self.wfile.write(chunk)
                if self.server.bytes_per_second:
                    time.sleep(1)

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        body = b'{"id": "file-1", "status": "processed"}'
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def provider(folder: Path, bytes_per_second: int | None = None) -> Iterator[Provider]:
    with Provider(folder, bytes_per_second) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def collect_plan(url: str, root: Path, status: InputStatus, **changes: object) -> CollectPlan:
    given = {"connection": connection_to(url), "endpoint": CHAT, "order": "Input", "input": status}
    place = {"output_root": str(root), "output_path": "out/all.jsonl", "output_file_id": "results"}
    return CollectPlan.model_validate({**given, **place, **changes})


@pytest.mark.timeout(120)
def test_two_hundred_megabytes_pass_within_128_mib(tmp_path: Path) -> None:
    """100,000 requests; the results are in another order, and neither input nor results fit into the limit."""
    count, prompt, answer = 100_000, "word " * 365, "text " * 400
    request = request_line("request-NUMBER", prompt) + "\n"
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    response = {"status_code": 200, "body": {"choices": [{"message": {"content": answer}}], "usage": usage}}
    result = json.dumps({"custom_id": "request-NUMBER", "response": response, "error": None}) + "\n"
    with (tmp_path / "in.jsonl").open("w") as file:
        file.writelines(request.replace("NUMBER", str(number)) for number in range(count))
    with (tmp_path / "results").open("w") as file:
        file.writelines(result.replace("NUMBER", str(number * 7919 % count)) for number in range(count))
    assert (tmp_path / "in.jsonl").stat().st_size > 195_000_000
    assert (tmp_path / "results").stat().st_size > 200_000_000
    with provider(tmp_path) as server:
        plan = upload_plan(server.url, root=str(tmp_path), path="in.jsonl", max_bytes=10**9, max_requests=count)
        code, _, upload_peak = run("upload", plan, tmp_path / "report")
        uploaded = UploadReport.model_validate_json((tmp_path / "report").read_bytes())
        assert (code, uploaded.problem) == (0, None)
        assert uploaded.input is not None
        mounted = {"input_root": str(tmp_path), "input_path": "in.jsonl"}
        code, _, collect_peak = run(
            "collect", collect_plan(server.url, tmp_path, uploaded.input, **mounted), tmp_path / "report"
        )
        report = CollectReport.model_validate_json((tmp_path / "report").read_bytes())
    assert (code, report.problem) == (0, None)
    assert report.requests == count
    print(f"peak: upload {upload_peak >> 10} MiB, collect {collect_peak >> 10} MiB")
    assert upload_peak < LIMIT_KIB
    assert collect_peak < LIMIT_KIB


def test_very_long_lines_pass_within_128_mib(kong: Instance, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(request_line("a", "x" * 15_000_000) + "\n" + request_line("b") + "\n")
    plan = upload_plan(kong.url, root=str(tmp_path), path="in.jsonl")
    code, _, peak = run("upload", plan, tmp_path / "report")
    assert code == 0
    assert UploadReport.model_validate_json((tmp_path / "report").read_bytes()).problem is None
    assert peak < LIMIT_KIB


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_transfer_leaves_no_results_and_a_second_one_makes_them(tmp_path: Path, how: signal.Signals) -> None:
    result = {"custom_id": "a", "response": {"status_code": 200, "body": {}}, "error": None}
    (tmp_path / "results").write_text(json.dumps(result) + "\n" + " " * 1_000_000 + "\n")
    out = tmp_path / "out"
    status = InputStatus(bytes=len(jsonl("a")), requests=1, sha256="x")
    with provider(tmp_path, bytes_per_second=1000) as server:
        process = started("collect", collect_plan(server.url, tmp_path, status), tmp_path / "report")
        deadline = time.monotonic() + 20
        while not (out.is_dir() and list(out.iterdir())):
            assert time.monotonic() < deadline, process.poll()
            time.sleep(0.02)
        process.send_signal(how)
        process.communicate(timeout=20)
    left = [path.name for path in out.iterdir()]
    if how is signal.SIGTERM:
        assert (process.returncode, left) == (128 + signal.SIGTERM, [])
    else:
        assert all(name.startswith(".") for name in left)
    with provider(tmp_path) as server:
        code, _, _ = run("collect", collect_plan(server.url, tmp_path, status), tmp_path / "report")
    assert code == 0
    assert [path.name for path in out.iterdir()] == ["all.jsonl"]
