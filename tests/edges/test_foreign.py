"""Lines that fit no request are kept beside the results: none takes a request's place, and none is lost."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.transfer.edge.discard import discard
from llmbatch.transfer.pure.plan import DiscardPlan
from tests.edges.collecting import Done, counts, problem
from tests.emulator.client import Instance

orders = pytest.mark.parametrize("order", ["Input", "Completion"])


@orders
@pytest.mark.parametrize("mounted", [True, False])
@pytest.mark.parametrize("word", ["stranger", "trimmed"])
def test_a_strangers_line_takes_no_requests_place(
    kong: Instance, tmp_path: Path, order: str, word: str, *, mounted: bool
) -> None:
    done = Done(kong, tmp_path, "a", f"b--{word}", "c")
    report = done.collect(order=order, **({} if mounted else {"input_root": None}))
    assert counts(report) == (3, 2, 1)
    assert sorted(done.results()) == ["a", "c"]
    assert done.results("all.errors.jsonl") == [f"b--{word}"]
    (foreign,) = done.results("all.foreign.jsonl")
    assert foreign not in {"a", f"b--{word}", "c"}
    content = (tmp_path / "out/all.foreign.jsonl").read_bytes()
    assert (report.missing, report.foreign_requests) == (1, 1)
    assert (report.foreign_bytes, report.foreign_sha256) == (len(content), sha256(content).hexdigest())


@orders
def test_a_line_that_cant_be_read_is_kept_as_it_came(kong: Instance, tmp_path: Path, order: str) -> None:
    done = Done(kong, tmp_path, "a", "b--malformed")
    report = done.collect(order=order)
    assert counts(report) == (2, 1, 1)
    assert (report.malformed_lines, report.foreign_requests) == (1, 1)
    assert (tmp_path / "out/all.foreign.jsonl").read_bytes() in done.remote("output_file_id")


@orders
def test_a_second_answer_is_kept_a_repeated_one_is_not(kong: Instance, tmp_path: Path, order: str) -> None:
    done = Done(kong, tmp_path, "a--twice", "b--duplicate", "c--status-400")
    report = done.collect(order=order)
    assert counts(report) == (3, 2, 1)
    assert sorted(done.results()) == ["a--twice", "b--duplicate"]
    assert report.foreign_requests == 1
    (kept,) = (tmp_path / "out/all.foreign.jsonl").read_bytes().splitlines()
    assert json.loads(kept)["response"]["request_id"] == "another"


def test_nothing_is_kept_of_a_batch_whose_lines_all_fit(five: Done) -> None:
    report = five.collect()
    assert (report.foreign_requests, report.foreign_bytes, report.foreign_sha256) == (0, None, None)
    assert [path.name for path in (five.root / "out").iterdir()] == ["all.jsonl"]


def test_a_destination_without_room_gets_the_results_and_the_count(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a", "b--stranger")
    first = done.collect()
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    room = first.bytes + first.errors_bytes + (first.foreign_bytes or 0) - 1
    report = done.collect(max_output_bytes=room)
    assert counts(report) == (2, 1, 1)
    assert (report.foreign_requests, report.foreign_bytes) == (1, None)
    assert not (tmp_path / "out/all.foreign.jsonl").exists()


def test_when_the_input_is_lost_lines_beyond_its_number_are_told(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a", "b")
    told = done.plan().input.model_copy(update={"requests": 1})
    report = done.collect(input=told, input_root=None, input_file_id=None)
    assert (report.requests, report.foreign_requests) == (2, 1)


def test_nothing_but_strangers_is_no_result(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a--stranger", "b--trimmed")
    told = problem(done.collect())
    assert told.reason is Reason.RESULTS_UNREADABLE
    assert "2 name a custom_id that is none of the input's" in told.message


def test_what_is_there_under_that_name_is_not_overwritten(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a", "b--stranger")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/all.foreign.jsonl").write_text("mine")
    assert problem(done.collect()).reason is Reason.OUTPUT_EXISTS
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["all.foreign.jsonl"]


@pytest.mark.parametrize("changed", [True, False])
def test_it_goes_with_the_results_unless_it_was_changed(kong: Instance, tmp_path: Path, *, changed: bool) -> None:
    done = Done(kong, tmp_path, "a", "b--stranger")
    report = done.collect()
    if changed:
        (tmp_path / "out/all.foreign.jsonl").write_text("mine")
    plan = DiscardPlan(
        root=str(tmp_path), path="out/all.jsonl", bytes=report.bytes, sha256=report.sha256, has_errors=True,
        errors_bytes=report.errors_bytes, errors_sha256=report.errors_sha256,
        foreign_bytes=report.foreign_bytes, foreign_sha256=report.foreign_sha256,
    )  # fmt: skip
    kept = discard(plan).kept
    left = [path.name for path in (tmp_path / "out").iterdir()]
    assert (len(kept), left) == ((1, ["all.foreign.jsonl"]) if changed else (0, []))
