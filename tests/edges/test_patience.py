"""A look with patience stores nothing while results may still come; one without it judges by what there is."""

from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.edges.collecting import FIVE, Done, counts, problem
from tests.emulator.client import Instance


def nothing_is_stored(done: Done) -> bool:
    return not [path for path in (done.root / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("order", ["Input", "Completion"])
@pytest.mark.parametrize("error_file_id", ["named", None])
def test_fewer_lines_than_requests_are_waited_for(
    kong: Instance, tmp_path: Path, order: str, error_file_id: str | None
) -> None:
    done = Done(kong, tmp_path, "a", "b--missing", "c--status-400")
    changes: dict[str, Any] = {} if error_file_id else {"error_file_id": None}
    told = problem(done.collect(order=order, patient=True, **changes))
    assert told.reason is Reason.RESULTS_PENDING
    assert ("2 of 3" if error_file_id else "1 of 3") in told.message
    assert nothing_is_stored(done)
    assert counts(done.collect(order=order, **changes)) == (3, 1, 2)


@pytest.mark.parametrize("custom_ids", [("a", "b--malformed"), ("a", "b--stranger"), ("a", "b--trimmed")])
def test_a_line_for_each_request_is_all_there_will_be(kong: Instance, tmp_path: Path, custom_ids: tuple[str]) -> None:
    done = Done(kong, tmp_path, *custom_ids)
    assert counts(done.collect(patient=True)) == (2, 1, 1)


def test_a_line_that_is_cut_off_at_the_end_of_the_file_is_still_being_written(five: Done) -> None:
    whole = five.remote("output_file_id")
    five.kong.configure(quirks={"cut_bytes": 40})
    told = problem(five.collect(patient=True))
    assert told.reason is Reason.RESULTS_PENDING
    assert nothing_is_stored(five)
    five.kong.configure(quirks={"cut_bytes": 0})
    assert counts(five.collect(patient=True)) == (5, 5, 0)
    assert sorted((five.root / "out/all.jsonl").read_bytes().splitlines()) == sorted(whole.splitlines())


@pytest.mark.parametrize(("left_out", "waits"), [(2, False), (3, True), (None, True)])
def test_what_a_cancelled_batch_left_out_is_not_waited_for(
    kong: Instance, tmp_path: Path, left_out: int | None, waits: bool
) -> None:
    done = Done(kong, tmp_path, "a", "b", "c--missing", "d--missing")
    report = done.collect(patient=True, left_out=left_out)
    assert (report.problem is not None) is waits


def test_an_input_that_nobody_knows_is_no_reason_to_take_an_empty_file_for_all(five: Done) -> None:
    unknown = {"bytes": 0, "requests": 0, "sha256": ""}
    five.kong.configure(quirks={"filling_seconds": 10_000_000})
    report = five.collect(patient=True, input=unknown, input_root=None)
    assert problem(report).reason is Reason.RESULTS_PENDING


@pytest.mark.parametrize("missing", ["output_file_id", "error_file_id"])
def test_a_file_that_is_gone_is_a_problem_until_somebody_does_without_it(
    kong: Instance, tmp_path: Path, missing: str
) -> None:
    done = Done(kong, tmp_path, "a", "b--status-400", *FIVE)
    gone = {missing: "file-none"}
    told = problem(done.collect(**gone))
    assert told.reason is Reason.RESULTS_UNREADABLE
    assert "file-none" in told.message
    expected = (7, 0, 7) if missing == "output_file_id" else (7, 6, 1)
    assert counts(done.collect(accept_missing=True, **gone)) == expected


def test_a_page_in_place_of_the_output_is_not_outweighed_by_an_error_file(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a", "b--status-400")
    kong.fault("not_json", "files.content", times=1)
    told = problem(done.collect())
    assert told.reason is Reason.RESULTS_UNREADABLE
    assert str(done.batch["output_file_id"]) in told.message


def test_that_nothing_was_answered_is_not_believed_of_a_file_that_may_still_be_filled(five: Done) -> None:
    five.kong.configure(quirks={"filling_seconds": 10_000_000})
    told = problem(five.collect(patient=True, left_out=0))
    assert told.reason is Reason.RESULTS_PENDING
    assert nothing_is_stored(five)


@pytest.mark.parametrize("order", ["Input", "Completion"])
def test_an_input_that_broke_off_is_fetched_again_before_a_strangers_line_could_pass_for_a_result(
    kong: Instance, tmp_path: Path, order: str
) -> None:
    done = Done(kong, tmp_path, "a", "b--stranger")
    kong.fault("truncate", "files.content", bytes=10, times=3)
    told = problem(done.collect(patient=True, order=order, input_root=None))
    assert told.reason is Reason.RESULTS_UNREADABLE
    assert nothing_is_stored(done)
    assert counts(done.collect(patient=True, order=order, input_root=None)) == (2, 1, 1)
