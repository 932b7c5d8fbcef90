"""Results are written whole, to the place that was named, and over nothing that is there."""

import errno
import os
import resource
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.volumes.problem import of_os_error
from tests.edges.collecting import MIXED, Done, problem
from tests.emulator.client import Instance


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
    told = problem(five.collect(max_output_bytes=100))
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


def test_a_volume_that_cant_be_written_is_told(five: Done, unwritable: Path) -> None:
    told = problem(collect(five.plan(output_root=str(unwritable)), {}))
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
        (errno.ENOSYS, Reason.OUTPUT_UNSUPPORTED),
        (errno.EOPNOTSUPP, Reason.OUTPUT_UNSUPPORTED),
        (errno.EXDEV, Reason.OUTPUT_UNSUPPORTED),
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
