"""Stored results are deleted from a volume, and nothing that is not what was stored."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from llmbatch.transfer.edge.discard import discard
from llmbatch.transfer.pure.plan import DiscardPlan

RESULTS, ERRORS = b'{"custom_id":"one"}\n', b'{"custom_id":"two"}\n'


def plan(root: Path, **given: Any) -> DiscardPlan:
    made = {"root": str(root), "path": "out/r.jsonl", "bytes": len(RESULTS), "sha256": sha256(RESULTS).hexdigest()}
    return DiscardPlan.model_validate({**made, **given})


def with_errors(root: Path, **given: Any) -> DiscardPlan:
    stored = {"has_errors": True, "errors_bytes": len(ERRORS), "errors_sha256": sha256(ERRORS).hexdigest()}
    return plan(root, **{**stored, **given})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "r.jsonl").write_bytes(RESULTS)
    (folder / "r.errors.jsonl").write_bytes(ERRORS)
    (folder / "other.jsonl").write_bytes(b"another's")
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_results_and_failed_requests_go_and_what_is_beside_them_stays(tmp_path: Path, out: Path) -> None:
    report = discard(with_errors(tmp_path))
    assert (report.kept, report.problem) == ([], None)
    assert names(out) == {"other.jsonl"}


def test_a_second_try_finds_nothing_to_do(tmp_path: Path, out: Path) -> None:
    discard(with_errors(tmp_path))
    assert discard(with_errors(tmp_path)).kept == []
    assert names(out) == {"other.jsonl"}


def test_an_errors_file_of_nobody_is_left_alone(tmp_path: Path, out: Path) -> None:
    assert discard(plan(tmp_path)).kept == []
    assert names(out) == {"r.errors.jsonl", "other.jsonl"}


@pytest.mark.parametrize("changed", ["r.jsonl", "r.errors.jsonl"])
def test_what_was_changed_since_is_kept_and_told(tmp_path: Path, out: Path, changed: str) -> None:
    content = (out / changed).read_bytes()
    (out / changed).write_bytes(content.swapcase())
    report = discard(with_errors(tmp_path))
    assert report.kept == [f"out/{changed} is not what was stored any more"]
    assert names(out) == {changed, "other.jsonl"}


def test_failed_requests_of_which_nothing_is_recorded_are_kept(tmp_path: Path, out: Path) -> None:
    """An older operator recorded the size and SHA-256 of the results alone."""
    report = discard(with_errors(tmp_path, errors_bytes=None, errors_sha256=None))
    assert len(report.kept) == 1
    assert names(out) == {"r.errors.jsonl", "other.jsonl"}


def test_a_link_is_not_followed_and_not_removed(tmp_path: Path, out: Path) -> None:
    (out / "r.jsonl").rename(tmp_path / "elsewhere")
    (out / "r.jsonl").symlink_to(tmp_path / "elsewhere")
    (kept,) = discard(plan(tmp_path)).kept
    assert "symbolic link" in kept
    assert (tmp_path / "elsewhere").read_bytes() == RESULTS


def test_a_folder_that_is_gone_needs_no_deleting(tmp_path: Path) -> None:
    report = discard(plan(tmp_path))
    assert (report.kept, report.problem) == ([], None)


def test_a_folder_that_is_a_link_is_a_problem(tmp_path: Path, out: Path) -> None:
    out.rename(tmp_path / "real")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    report = discard(plan(tmp_path))
    assert report.problem is not None
    assert "symbolic link" in report.problem.message
    assert names(tmp_path / "real") == {"r.jsonl", "r.errors.jsonl", "other.jsonl"}
