"""Folders of a volume that others use too: some may be gone through but not be read, some have any number of files."""

import ctypes
import os
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.volumes import spool, walking
from llmbatch.transfer.volumes.problem import ProblemError, Side
from tests.edges.collecting import FIVE, Done, problem
from tests.edges.plans import jsonl, upload_plan
from tests.emulator.client import Instance

Result = TypeVar("Result")
USER = 65532


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """The volume's folder, which may be reached by everybody."""
    above = [folder for folder in tmp_path.parents if folder.stat().st_uid == os.geteuid() and folder != Path("/")]
    before = [(folder, stat.S_IMODE(folder.stat().st_mode)) for folder in above]
    for folder, mode in before:
        folder.chmod(mode | 0o011)
    tmp_path.chmod(0o777)
    yield tmp_path
    for folder, mode in before:
        folder.chmod(mode)


def as_user(act: Callable[[], Result]) -> Result:
    """Do something in a thread that may do with files what a transfer pod's user may."""
    if os.geteuid() != 0:
        return act()

    def work() -> Result:
        libc = ctypes.CDLL(None)
        libc.setfsgid(USER)
        libc.setfsuid(USER)
        return act()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


@pytest.mark.parametrize("path", ["in.jsonl", "shared/in.jsonl", "shared/team/in.jsonl"])
def test_an_input_is_read_wherever_it_can_be_gone_to(kong: Instance, volume: Path, path: str) -> None:
    (volume / path).parent.mkdir(parents=True, exist_ok=True)
    (volume / path).write_bytes(jsonl(*FIVE))
    (volume / path).chmod(0o644)
    for folder in [(volume / path).parent, *(volume / path).parent.parents]:
        if folder.is_relative_to(volume):
            folder.chmod(0o311)
    report = as_user(lambda: upload(upload_plan(kong.url, root=str(volume), path=path), None, {}))
    assert report.problem is None
    assert report.input is not None
    assert report.input.requests == 5


def test_results_are_stored_behind_a_folder_that_can_only_be_gone_through(kong: Instance, volume: Path) -> None:
    done = Done(kong, volume, *FIVE)
    (volume / "in.jsonl").chmod(0o644)
    (volume / "shared/out").mkdir(parents=True)
    (volume / "shared/out").chmod(0o777)
    (volume / "shared").chmod(0o311)
    volume.chmod(0o311)
    assert as_user(lambda: done.collect(output_path="shared/out/all.jsonl")).problem is None
    assert len((volume / "shared/out/all.jsonl").read_bytes().splitlines()) == 5


def test_a_folder_that_takes_results_is_also_to_be_read(kong: Instance, volume: Path) -> None:
    done = Done(kong, volume, *FIVE)
    (volume / "out").mkdir()
    (volume / "out").chmod(0o333)
    assert problem(as_user(done.collect)).reason is Reason.PERMISSION_DENIED


@pytest.mark.parametrize("side", ["input", "output"])
def test_what_can_not_even_be_gone_through_is_told(volume: Path, side: Side) -> None:
    (volume / "shared/team").mkdir(parents=True)
    (volume / "shared").chmod(0o600)

    def walk() -> None:
        with walking.folder(str(volume), ["shared", "team"], side):
            pass

    with pytest.raises(ProblemError, match="shared/team: Permission denied"):
        as_user(walk)
    (volume / "shared").chmod(0o700)


@pytest.mark.parametrize("side", ["input", "output"])
def test_no_link_is_gone_through_either(volume: Path, side: Side) -> None:
    (volume / "elsewhere/team").mkdir(parents=True)
    (volume / "elsewhere").chmod(0o311)
    (volume / "shared").symlink_to("elsewhere")

    def walk() -> None:
        with walking.folder(str(volume), ["shared", "team"], side):
            pass

    with pytest.raises(ProblemError, match="is a symbolic link"):
        as_user(walk)


def test_any_number_of_files_beside_the_results_takes_no_memory(tmp_path: Path) -> None:
    for number in range(20_000):
        os.mknod(tmp_path / f"a-file-of-somebody-else-{number:08d}.jsonl")
    ours = [".llmbatch-key-1234.results.part", ".llmbatch-key-1234.results.part.claim"]
    for name in ours:
        (tmp_path / name).touch()
    with walking.folder(str(tmp_path), [], "output") as folder:
        tracemalloc.start()
        try:
            with spool.spool(folder, "key"):
                peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 512 * 1024
    assert not any((tmp_path / name).exists() for name in ours)
