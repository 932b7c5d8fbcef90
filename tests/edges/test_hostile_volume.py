"""Whoever may write into the volume, at any moment, leads no transfer out of it: neither to read nor to write."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmbatch.api.reasons import Reason
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure.report import CollectReport
from tests.edges.collecting import Done, problem
from tests.edges.plans import jsonl, upload_plan
from tests.emulator.client import Instance

SECRET = "somebody else's\n"
Act = Callable[[Path, Path], None]
"""What a hostile neighbour does: the volume, a folder that is none of his business."""


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pod has besides the volume."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.jsonl").write_text(SECRET)
    return folder


def untouched(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == ["secret.jsonl"] and (
        (outside / "secret.jsonl").read_text() == SECRET
    )


class Once:
    """Acts at the first piece of news of a step, as a neighbour who has waited for it."""

    def __init__(self, step: str, act: Callable[[], None], *, skip: int = 0) -> None:
        self._step, self._act, self._left, self.acted = step, act, skip, False

    def __call__(self, step: str, _done: int, _total: int | None) -> None:
        if step == self._step and not self.acted:
            if self._left == 0:
                self.acted = True
                self._act()
            self._left -= 1


def hostile_collect(done: Done, act: Callable[[], None], *, skip: int = 0, **plan: Any) -> CollectReport:
    neighbour = Once("download", act, skip=skip)
    report = collect(done.plan(**plan), {}, progress=neighbour)
    assert neighbour.acted
    return report


# --- writing -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_becomes_a_link_on_the_way_changes_nothing(five: Done, outside: Path) -> None:
    def act() -> None:
        (five.root / "out").rename(five.root / "moved")
        (five.root / "out").symlink_to(outside)

    report = hostile_collect(five, act)
    assert untouched(outside)
    assert report.problem is None
    assert (five.root / "moved/all.jsonl").stat().st_size == report.bytes


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_a_link_that_appears_at_the_destination_is_not_written_through(five: Done, outside: Path, kind: str) -> None:
    place = five.root / "out/all.jsonl"

    def act() -> None:
        if kind == "hard":
            os.link(outside / "secret.jsonl", place)
        else:
            place.symlink_to(outside / "secret.jsonl")

    told = problem(hostile_collect(five, act))
    assert told.reason in {Reason.OUTPUT_EXISTS, Reason.OUTPUT_INVALID}
    assert untouched(outside)


@pytest.mark.parametrize(
    "target", [pytest.param("secret.jsonl", id="of a file"), pytest.param("new.jsonl", id="of nothing yet")]
)
def test_a_link_in_place_of_a_temporary_file_is_not_written_through(
    kong: Instance, tmp_path: Path, outside: Path, target: str
) -> None:
    done = Done(kong, tmp_path, "a", "b--status-400")

    def act() -> None:
        for path in (tmp_path / "out").iterdir():
            path.unlink()
            path.symlink_to(outside / target)

    # At the third download every temporary file that is downloaded into is there.
    hostile_collect(done, act, skip=2, order="Completion", input_root=None)
    assert untouched(outside)


def test_links_that_wait_in_the_place_of_temporary_files_are_removed_not_followed(five: Done, outside: Path) -> None:
    names: set[str] = set()
    collect(five.plan(), {}, progress=lambda *_: names.update(path.name for path in (five.root / "out").iterdir()))
    (five.root / "out/all.jsonl").unlink()
    temporary = {name for name in names if name.startswith(".")}
    assert temporary
    for name in temporary:
        (five.root / "out" / name).symlink_to(outside / "secret.jsonl")
    assert five.collect().problem is None
    assert untouched(outside)


@pytest.mark.parametrize(
    "path", ["../secret.jsonl", "/etc/out.jsonl", "a/../../b", "./a", "a//b", "a/", "..", ".", "a\0b"]
)
def test_a_path_out_of_the_volume_is_refused_whatever_the_api_server_let_through(
    five: Done, outside: Path, path: str
) -> None:
    assert problem(five.collect(output_path=path)).reason is Reason.OUTPUT_INVALID
    assert untouched(outside)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(os.mkfifo, id="a pipe"),
        pytest.param(lambda path: path.mkdir(), id="a folder"),
        pytest.param(lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), id="a socket"),
    ],
)
def test_what_is_no_file_is_not_written_to(five: Done, make: Callable[[Path], None], monkeypatch: Any) -> None:
    (five.root / "out").mkdir()
    monkeypatch.chdir(five.root / "out")  # a socket's path is short
    make(Path("all.jsonl"))
    assert problem(five.collect()).reason in {Reason.OUTPUT_INVALID, Reason.OUTPUT_EXISTS}


# --- reading -----------------------------------------------------------------------------------------------------------


def device(root: Path, _outside: Path) -> None:
    try:
        os.mknod(root / "in.jsonl", stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("only root makes devices, here as in a pod")


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda root, outside: (root / "in.jsonl").symlink_to(outside / "secret.jsonl"), id="a link"),
        pytest.param(lambda root, _: (root / "in.jsonl").symlink_to("in.jsonl"), id="a link to itself"),
        pytest.param(lambda root, _: os.mkfifo(root / "in.jsonl"), id="a pipe"),
        pytest.param(lambda root, _: (root / "in.jsonl").mkdir(), id="a folder"),
        pytest.param(device, id="a device"),
    ],
)
def test_what_is_no_file_is_no_input(kong: Instance, tmp_path: Path, outside: Path, act: Act) -> None:
    act(tmp_path, outside)
    report = upload(upload_plan(kong.url, root=str(tmp_path), path="in.jsonl"), None, {})
    assert report.problem is not None
    assert report.problem.reason is Reason.INPUT_NOT_FOUND
    assert SECRET.strip() not in report.model_dump_json()
    assert kong.calls() == []


@pytest.mark.parametrize("path", ["../secret.jsonl", "/etc/passwd", "a/../../b", "..", "a//b"])
def test_a_path_out_of_the_volume_is_no_input(kong: Instance, tmp_path: Path, path: str) -> None:
    report = upload(upload_plan(kong.url, root=str(tmp_path), path=path), None, {})
    assert report.problem is not None
    assert report.problem.reason is Reason.INPUT_NOT_FOUND


def test_an_input_that_is_swapped_on_the_way_is_still_the_one_that_was_checked(
    kong: Instance, tmp_path: Path, outside: Path
) -> None:
    data = jsonl("a", "b")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/batch.jsonl").write_bytes(data)
    (outside / "batch.jsonl").write_text(SECRET)

    def act() -> None:
        (tmp_path / "in").rename(tmp_path / "moved")
        (tmp_path / "in").symlink_to(outside)
        (tmp_path / "moved/batch.jsonl").unlink()
        (tmp_path / "moved/batch.jsonl").symlink_to(outside / "secret.jsonl")

    plan = upload_plan(kong.url, root=str(tmp_path), path="in/batch.jsonl")
    report = upload(plan, None, {}, progress=Once("validate", act))
    assert report.problem is None
    assert httpx.get(f"{kong.url}/files/{report.file_id}/content").content == data
