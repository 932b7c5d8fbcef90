"""Results get into volumes of all kinds: what a file system can't do is done another way, what it never will is said."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmbatch import crash
from llmbatch.api.reasons import Reason
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.pure.report import CollectReport
from llmbatch.transfer.volumes import placement, walking
from llmbatch.transfer.volumes.problem import ProblemError
from tests.cluster.paths import REPOSITORY
from tests.edges.collecting import FIVE, MIXED, Done, counts, problem
from tests.emulator.client import Instance
from tests.support.kernel import no_links, with_errors

CANT = [errno.EXDEV, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EIO]
named = pytest.mark.parametrize("code", CANT, ids=errno.errorcode.get)


def collected(done: Done, errors: dict[str, int], **changes: object) -> CollectReport:
    return with_errors(errors, lambda: done.collect(**changes))


@named
@pytest.mark.parametrize("renames", [None, errno.EXDEV, errno.EPERM, errno.ENOSYS, errno.EIO])
def test_without_hard_links_they_are_renamed_or_copied(
    kong: Instance, tmp_path: Path, code: int, renames: int | None
) -> None:
    done = Done(kong, tmp_path, *MIXED)
    report = collected(done, no_links(code, renames=renames))
    assert counts(report) == (8, 3, 5)
    assert (tmp_path / "out/all.jsonl").stat().st_size == report.bytes
    assert (tmp_path / "out/all.errors.jsonl").stat().st_size == report.errors_bytes
    assert done.collect() == report, "a repeat finds its own results"


@pytest.mark.parametrize("renames", [None, errno.EPERM])
def test_what_appears_meanwhile_is_not_overwritten(five: Done, renames: int | None) -> None:
    place = five.root / "out/all.jsonl"

    def act(step: str, _done: int, _total: int | None) -> None:
        if step == "download" and not place.exists():
            place.write_bytes(b"mine")

    errors = no_links(errno.EXDEV, renames=renames)
    told = problem(with_errors(errors, lambda: collect(five.plan(), {}, progress=act)))
    assert told.reason is Reason.OUTPUT_EXISTS
    assert place.read_bytes() == b"mine"


def half_made(folder: Path, content: bytes, *, claimed: bool) -> None:
    (folder / "all.jsonl").write_bytes(content)
    if claimed:
        key = next(iter(folder.parent.glob("key"))).read_text()
        (folder / f"{key}00000000.results.part.claim").write_text("all.jsonl")


@pytest.fixture
def keyed(five: Done) -> Done:
    """A batch that was collected once, so that the names of its temporary files are known; they are written to a file."""
    names: set[str] = set()
    collect(five.plan(), {}, progress=lambda *_: names.update(path.name for path in (five.root / "out").iterdir()))
    (five.root / "key").write_text(next(iter(names)).rpartition("-")[0] + "-")
    return five


@pytest.mark.parametrize("size", [0, 100])
def test_what_a_killed_copy_left_is_made_whole(keyed: Done, size: int) -> None:
    whole = (keyed.root / "out/all.jsonl").read_bytes()
    half_made(keyed.root / "out", whole[:size], claimed=True)
    assert counts(keyed.collect()) == (5, 5, 0)
    assert (keyed.root / "out/all.jsonl").read_bytes() == whole


def test_a_try_that_comes_to_nothing_lets_the_next_one_know_what_is_half_made(keyed: Done) -> None:
    whole = (keyed.root / "out/all.jsonl").read_bytes()
    half_made(keyed.root / "out", whole[:100], claimed=True)
    keyed.kong.fault("not_json", "files.content", times=1)
    assert problem(collect(keyed.plan(), {})).reason is Reason.RESULTS_UNREADABLE
    assert counts(keyed.collect()) == (5, 5, 0)
    assert (keyed.root / "out/all.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    ("content", "claimed"),
    [
        pytest.param(b"", False, id="an empty file that nobody claimed"),
        pytest.param(b"mine", True, id="something else under a claimed name"),
    ],
)
def test_what_is_not_ours_is_not_taken_for_half_made(keyed: Done, content: bytes, *, claimed: bool) -> None:
    half_made(keyed.root / "out", content, claimed=claimed)
    assert problem(keyed.collect()).reason is Reason.OUTPUT_EXISTS
    assert (keyed.root / "out/all.jsonl").read_bytes() == content


@pytest.mark.parametrize("code", sorted(placement.SYNC_UNKNOWN), ids=errno.errorcode.get)
def test_a_volume_that_knows_no_fsync_keeps_results_all_the_same(five: Done, code: int) -> None:
    assert counts(collected(five, {"fsync": code})) == (5, 5, 0)
    assert five.results() == list(FIVE)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EIO, Reason.TRANSFER_FAILED),
        (errno.ENOSPC, Reason.VOLUME_FULL),
        (errno.EDQUOT, Reason.VOLUME_FULL),
    ],
)
def test_content_that_cant_be_made_durable_gets_no_name(five: Done, code: int, reason: Reason) -> None:
    (five.root / "out").mkdir()
    assert problem(collected(five, {"fsync": code})).reason is reason
    assert not list((five.root / "out").iterdir())


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, Reason.VOLUME_FULL),
        (errno.EDQUOT, Reason.VOLUME_FULL),
        (errno.EROFS, Reason.PERMISSION_DENIED),
        (errno.ESTALE, Reason.TRANSFER_FAILED),
    ],
)
def test_what_no_other_way_gets_around_is_told_for_what_it_is(five: Done, code: int, reason: Reason) -> None:
    assert problem(collected(five, no_links(code))).reason is reason
    assert not list((five.root / "out").iterdir())


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSYS])
def test_a_folder_that_is_there_needs_no_making(five: Done, code: int) -> None:
    (five.root / "out").mkdir()
    assert counts(collected(five, {"mkdirat": code})) == (5, 5, 0)


def test_a_folder_that_cant_be_made_is_told_before_anything_is_downloaded(five: Done) -> None:
    five.kong.clear_calls()
    assert problem(collected(five, {"mkdirat": errno.EROFS})).reason is Reason.PERMISSION_DENIED
    assert five.kong.calls() == []


@pytest.mark.parametrize(
    ("arrange", "path"),
    [
        pytest.param(lambda _: None, f"out/{'x' * 250}.jsonl", id="too long"),
        pytest.param(lambda _: None, f"out/{'x' * 243}.jsonl", id="too long with what is put beside it"),
        pytest.param(lambda _: None, f"out/{'é' * 123}.jsonl", id="too long in bytes"),
        pytest.param(lambda out: (out / "all.jsonl").mkdir(), "out/all.jsonl", id="a folder"),
        pytest.param(lambda out: (out / "all.errors.jsonl").mkdir(), "out/all.jsonl", id="a folder beside it"),
        pytest.param(lambda out: os.mkfifo(out / "all.foreign.jsonl"), "out/all.jsonl", id="a pipe beside it"),
    ],
)
def test_a_name_that_no_file_can_have_is_told_before_anything_is_downloaded(
    five: Done, arrange: Callable[[Path], object], path: str
) -> None:
    (five.root / "out").mkdir()
    arrange(five.root / "out")
    five.kong.clear_calls()
    told = problem(five.collect(output_path=path))
    assert told.reason is Reason.OUTPUT_INVALID
    assert "spec.output" in told.message
    assert five.kong.calls() == []


def test_folders_that_are_made_are_made_durable_in_their_parents(tmp_path: Path) -> None:
    def make() -> None:
        with walking.folder(str(tmp_path), ["a", "b"], "output", make=True):
            pass

    # The kernel tells whether it was asked: a parent that can't be synced fails the making of a folder in it.
    with pytest.raises(ProblemError, match="a: Input/output error"):
        with_errors({"fsync": errno.EIO}, make)
    with_errors({"fsync": errno.EINVAL}, make)
    # What is there already may be somebody else's, and not ours to sync.
    with_errors({"fsync": errno.EACCES}, make)


DYING = """
import json, sys
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.pure.plan import CollectPlan
from tests.support.kernel import with_errors
plan = CollectPlan.model_validate_json(sys.argv[2])
with_errors(json.loads(sys.argv[1]), lambda: collect(plan, {}))
"""
"""Python, for a process of its own: one that was forked from here might wait for ever for a lock that a thread of ours held."""


@pytest.mark.parametrize("renames", [None, errno.EPERM])
def test_a_death_while_a_file_gets_its_name_is_made_good(five: Done, tmp_path: Path, renames: int | None) -> None:
    errors = no_links(errno.EXDEV, renames=renames)
    whole = collected(five, errors)
    for side in ("before", "after"):
        (five.root / "out/all.jsonl").unlink()
        dies = {crash.AT: f"{side} {crash.Effect.PUBLISH_FILE}", crash.MARK: str(tmp_path / side)}
        command = [sys.executable, "-c", DYING, json.dumps(errors), five.plan().model_dump_json()]
        environ = {**os.environ, **dies, "PYTHONPATH": "operator:."}
        assert subprocess.run(command, cwd=REPOSITORY, env=environ, check=False).returncode == crash.EXIT_CODE
        assert collected(five, errors) == whole


def test_lines_are_read_many_at_once_and_not_byte_by_byte(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes((b"x" * 99 + b"\n") * 10_000)

    def reads() -> int:
        told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(told["syscr"])

    with walking.folder(str(tmp_path), [], "output") as folder, folder.open("lines") as file:
        before = reads()
        assert sum(1 for _ in file) == 10_000
        assert reads() - before < 100
