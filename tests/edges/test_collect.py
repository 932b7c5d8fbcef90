"""The results are stored whole, joined with the input, or not at all."""

import errno
import json
import os
import resource
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmbatch.api.batchjob_status import InputStatus
from llmbatch.api.reasons import Reason
from llmbatch.core.plan import CollectPlan, CollectReport, Problem
from llmbatch.edges.problem import of_os_error
from llmbatch.edges.transfer import collect, upload
from tests.edges.conftest import CHAT, connection_to, jsonl, request_line, upload_plan
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer

FIVE = ("p1", "p2", "p3", "p4", "p5")


class Done:
    """A batch that is done, and a volume to store its results in."""

    def __init__(self, kong: Instance, root: Path, *custom_ids: str, data: bytes | None = None) -> None:
        self.kong = kong
        self.root = root
        self.data = jsonl(*custom_ids) if data is None else data
        (root / "in.jsonl").write_bytes(self.data)
        report = upload(upload_plan(kong.url), self.data, {})
        order = {"input_file_id": report.file_id, "endpoint": CHAT, "completion_window": "24h"}
        batch_id = httpx.post(f"{kong.url}/batches", json=order).json()["id"]
        kong.advance(100_000)
        self.batch = httpx.get(f"{kong.url}/batches/{batch_id}").json()
        self.input = report.input

    def plan(self, **changes: Any) -> CollectPlan:
        given = {
            "connection": connection_to(self.kong.url),
            "input_file_id": self.batch["input_file_id"] or None,
            "output_file_id": self.batch["output_file_id"] or None,
            "error_file_id": self.batch["error_file_id"] or None,
            "endpoint": CHAT,
            "order": "Input",
            "input": self.input,
            "input_root": str(self.root),
            "input_path": "in.jsonl",
            "output_root": str(self.root),
            "output_path": "out/all.jsonl",
        }
        return CollectPlan.model_validate({**given, **changes})

    def collect(self, **changes: Any) -> CollectReport:
        report = collect(self.plan(**changes), {})
        assert not [path for path in self.root.rglob("*") if path.name.startswith(".")], "temporary files are gone"
        return report

    def results(self, name: str = "all.jsonl") -> list[str]:
        return [json.loads(line)["custom_id"] for line in (self.root / "out" / name).read_bytes().splitlines()]

    def remote(self, kind: str) -> bytes:
        return httpx.get(f"{self.kong.url}/files/{self.batch[kind]}/content").raise_for_status().content


def problem(report: CollectReport) -> Problem:
    assert report.problem is not None
    return report.problem


@pytest.fixture
def five(kong: Instance, tmp_path: Path) -> Done:
    return Done(kong, tmp_path, *FIVE)


def counts(report: CollectReport) -> tuple[int, int, int]:
    assert report.problem is None, report.problem
    assert report.request_counts is not None
    return report.request_counts.total, report.request_counts.completed, report.request_counts.failed


def test_the_results_are_in_the_inputs_order_and_byte_for_byte(five: Done) -> None:
    report = five.collect()
    content = (five.root / "out/all.jsonl").read_bytes()
    assert five.results() == list(FIVE)
    assert sorted(content.splitlines()) == sorted(five.remote("output_file_id").splitlines())
    assert (report.bytes, report.requests) == (len(content), 5)
    assert report.sha256 == sha256(content).hexdigest()
    assert counts(report) == (5, 5, 0)
    assert report.usage is not None
    assert report.usage.total_tokens > 0
    assert not (five.root / "out/all.errors.jsonl").exists()


def test_the_order_of_completion_is_the_providers(five: Done) -> None:
    five.collect(order="Completion")
    assert (five.root / "out/all.jsonl").read_bytes() == five.remote("output_file_id")


def test_an_input_that_was_changed_is_not_trusted_but_downloaded(five: Done) -> None:
    (five.root / "in.jsonl").write_bytes(five.data[:-10] + b"x" * 10)
    assert counts(five.collect()) == (5, 5, 0)
    assert five.results() == list(FIVE)


def test_an_input_that_isnt_mounted_is_downloaded(five: Done) -> None:
    five.collect(input_root=None, input_path=None)
    assert five.results() == list(FIVE)


def test_without_any_input_the_results_are_stored_as_they_came(five: Done) -> None:
    httpx.delete(f"{five.kong.url}/files/{five.batch['input_file_id']}")
    report = five.collect(input_root=None)
    assert counts(report) == (5, 5, 0)
    assert (five.root / "out/all.jsonl").read_bytes() == five.remote("output_file_id")


MIXED = ("a", "b--status-429", "c--missing", "d--duplicate", "e--malformed", "f--content-filter", "g--status-0", "h")


@pytest.mark.parametrize("order", ["Input", "Completion"])
def test_failed_lines_go_beside_the_results_and_missing_ones_are_failed(
    kong: Instance, tmp_path: Path, order: str
) -> None:
    done = Done(kong, tmp_path, *MIXED)
    report = done.collect(order=order)
    assert counts(report) == (8, 3, 5)
    good, bad = done.results(), done.results("all.errors.jsonl")
    assert sorted(good) == ["a", "d--duplicate", "h"]
    assert sorted(bad) == ["b--status-429", "c--missing", "e--malformed", "f--content-filter", "g--status-0"]
    if order == "Input":
        assert good == sorted(good)
        assert bad == sorted(bad)
    assert (report.requests, report.errors_requests) == (3, 5)
    assert report.errors_bytes == (tmp_path / "out/all.errors.jsonl").stat().st_size
    assert report.malformed_lines == 1
    assert report.failures[0].code == "missing_result"
    codes = {failure.custom_id: failure.code for failure in report.failures}
    assert set(codes) == set(bad)
    assert codes["g--status-0"] == "0"


def test_missing_results_without_an_input_are_counted_though_nameless(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a", "b--missing", "c")
    report = done.collect(input_root=None, input_file_id=None)
    assert counts(report) == (3, 2, 1)
    assert report.errors_requests == 0


def test_a_batch_in_which_every_line_failed_has_an_empty_result(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a--status-400", "b--status-400")
    assert not done.batch["output_file_id"]
    assert counts(done.collect()) == (2, 0, 2)
    assert done.results() == []
    assert done.results("all.errors.jsonl") == ["a--status-400", "b--status-400"]


def test_a_batch_without_any_file_has_every_request_missing(five: Done) -> None:
    assert counts(five.collect(output_file_id=None, error_file_id=None)) == (5, 0, 5)
    assert five.results("all.errors.jsonl") == list(FIVE)


def test_an_errors_file_that_does_not_exist_does_no_harm_when_nothing_failed(five: Done) -> None:
    assert counts(five.collect(error_file_id="file-none")) == (5, 5, 0)


def test_an_errors_file_that_does_not_exist_is_a_problem_when_something_did(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a", "b--status-400")
    assert problem(done.collect(error_file_id="file-none")).reason is Reason.RESULTS_UNREADABLE
    assert not (tmp_path / "out/all.jsonl").exists()


def test_an_empty_errors_file_does_no_harm(emulator: EmulatorServer, tmp_path: Path) -> None:
    done = Done(emulator.instance(quirks={"error_file": "empty_file"}), tmp_path, "a")
    assert done.batch["error_file_id"]
    assert counts(done.collect()) == (1, 1, 0)
    assert not (tmp_path / "out/all.errors.jsonl").exists()


def test_a_download_that_broke_off_begins_again(five: Done) -> None:
    five.kong.fault("truncate", "files.content", bytes=100, times=2)
    assert counts(five.collect()) == (5, 5, 0)


def test_a_download_that_always_breaks_off_leaves_nothing_behind(five: Done) -> None:
    five.kong.fault("truncate", "files.content", bytes=100, times=-1)
    assert problem(five.collect()).reason is Reason.RESULTS_UNREADABLE
    assert not list((five.root / "out").iterdir())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param({"kind": "status", "status": 404, "message": "gone"}, Reason.RESULTS_UNREADABLE, id="gone"),
        pytest.param({"kind": "status", "status": 401, "as_": "kong"}, Reason.GATEWAY_UNAUTHORIZED, id="401"),
        pytest.param({"kind": "status", "status": 429, "as_": "kong"}, Reason.RATE_LIMITED, id="429"),
    ],
)
def test_results_that_cant_be_had(five: Done, fault: dict[str, Any], reason: Reason) -> None:
    five.kong.fault(operation="files.content", times=-1, **fault)
    assert problem(five.collect()).reason is reason


def test_a_repeat_after_a_crash_finds_its_own_results(five: Done) -> None:
    first = five.collect()
    assert five.collect() == first


def test_a_crash_between_the_two_files_is_made_good(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, *MIXED)
    first = done.collect()
    (tmp_path / "out/all.jsonl").unlink()
    assert done.collect() == first
    assert (tmp_path / "out/all.jsonl").exists()


@pytest.mark.parametrize("taken", ["all.jsonl", "all.errors.jsonl"])
def test_what_is_there_already_is_never_overwritten(kong: Instance, tmp_path: Path, taken: str) -> None:
    done = Done(kong, tmp_path, *MIXED)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / taken).write_text("mine")
    told = problem(done.collect())
    assert told.reason is Reason.OUTPUT_EXISTS
    assert told.message.startswith(f"out/{taken}: exists")
    assert (tmp_path / "out" / taken).read_text() == "mine"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [taken]


def test_what_a_killed_try_left_is_removed(five: Done) -> None:
    out = five.root / "out"
    temporary: set[str] = set()

    def look(_step: str, _done: int, _total: int | None) -> None:
        temporary.update(path.name for path in out.iterdir())

    collect(five.plan(), {}, progress=look)
    (out / "all.jsonl").unlink()
    assert temporary
    for name in [*temporary, ".llmbatch-somebody-else.part"]:
        (out / name).write_text("half")
    collect(five.plan(), {})
    assert sorted(path.name for path in out.iterdir()) == [".llmbatch-somebody-else.part", "all.jsonl"]


@pytest.mark.parametrize("path", ["../out.jsonl", "/out.jsonl", "out/../../x", "out//x", ""])
def test_a_path_that_leaves_the_volume_is_refused(five: Done, path: str) -> None:
    assert problem(five.collect(output_path=path)).reason is Reason.OUTPUT_INVALID


def test_links_in_the_volume_are_not_followed(five: Done, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (five.root / "out").symlink_to(outside)
    told = problem(five.collect())
    assert (told.reason, told.message[:26]) == (Reason.OUTPUT_INVALID, "out: is a symbolic link, w")
    (five.root / "out").unlink()
    (five.root / "out").mkdir()
    (five.root / "out/all.jsonl").symlink_to(outside / "x")
    assert problem(five.collect()).reason is Reason.OUTPUT_INVALID
    assert not list(outside.iterdir())


def test_a_file_in_the_way_of_a_folder_is_told(five: Done) -> None:
    (five.root / "out").write_text("x")
    assert problem(five.collect()).reason is Reason.OUTPUT_INVALID


def test_results_too_large_for_their_destination_say_so(five: Done) -> None:
    told = problem(five.collect(max_output_bytes=100))
    assert told.reason is Reason.OUTPUT_TOO_LARGE
    assert "PersistentVolumeClaim in spec.output" in told.message
    size = (five.collect().bytes, five.root / "out/all.jsonl")
    size[1].unlink()
    assert problem(five.collect(max_output_bytes=size[0] - 1)).reason is Reason.OUTPUT_TOO_LARGE
    assert five.collect(max_output_bytes=size[0]).problem is None


def test_far_too_much_is_not_even_downloaded(five: Done) -> None:
    five.kong.clear_calls()
    told = problem(five.collect(max_output_bytes=10))
    assert f"{len(five.remote('output_file_id'))} bytes" in told.message


def test_a_full_volume_is_told_and_left_clean(five: Done) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        told = problem(collect(five.plan(), {}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told.reason is Reason.VOLUME_FULL
    assert not list((five.root / "out").iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_volume_that_cant_be_written_is_told(five: Done) -> None:
    five.root.chmod(0o500)
    told = problem(collect(five.plan(), {}))
    five.root.chmod(0o700)
    assert told.reason is Reason.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, Reason.VOLUME_FULL),
        (errno.EDQUOT, Reason.VOLUME_FULL),
        (errno.EFBIG, Reason.VOLUME_FULL),
        (errno.EACCES, Reason.PERMISSION_DENIED),
        (errno.EPERM, Reason.PERMISSION_DENIED),
        (errno.EROFS, Reason.PERMISSION_DENIED),
        (errno.ENAMETOOLONG, Reason.OUTPUT_INVALID),
        (errno.ENOTDIR, Reason.OUTPUT_INVALID),
        (errno.EIO, Reason.TRANSFER_FAILED),
        (errno.ESTALE, Reason.TRANSFER_FAILED),
    ],
)
def test_errors_of_the_file_system(code: int, reason: Reason) -> None:
    told = of_os_error(OSError(code, os.strerror(code)), "output", "out/all.jsonl").problem
    assert told.reason is reason
    assert told.message.startswith("out/all.jsonl: ")
    if code in {errno.EACCES, errno.EPERM}:
        assert f"user {os.geteuid()}" in told.message
        assert "spec.transfer.securityContext" in told.message


def test_a_long_line_is_stored_like_any_other(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a", "b--large-9000000", "c")
    report = done.collect()
    assert counts(report) == (3, 3, 0)
    assert report.bytes > 9_000_000
    assert done.results() == ["a", "b--large-9000000", "c"]


def test_custom_ids_of_any_form_are_joined(kong: Instance, tmp_path: Path) -> None:
    custom_ids = ('quo"te', "ünï", "new\nline", "\u2028", " ", "x" * 512)
    done = Done(kong, tmp_path, data="".join(f"{request_line(item)}\n" for item in custom_ids).encode())
    assert counts(done.collect()) == (6, 6, 0)
    assert done.results() == list(custom_ids)


def test_an_input_status_alone_tells_how_many_are_missing(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a")
    told = InputStatus(bytes=1, requests=10, sha256="x")
    report = done.collect(input=told, input_root=None, input_file_id=None, order="Completion")
    assert counts(report) == (10, 1, 9)
