"""Results that an ended batch owes: looked at with growing delays for five minutes, then ever more rarely."""

from datetime import timedelta
from typing import Any

import pytest

from llmbatch.api import ACCEPT_MISSING_ANNOTATION
from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.counts import RequestCounts
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import late
from llmbatch.batch.pure.decision import Collect, Done, Stalled, Wait
from llmbatch.job.pure.decide import decide
from llmbatch.transfer.pure.report import Problem
from tests.support import build

PENDING = Problem(reason=Reason.RESULTS_PENDING, message="Two lines are missing.")
UNREADABLE = Problem(reason=Reason.RESULTS_UNREADABLE, message="File file-out is gone")


def ended(status: str = "completed", **batch: Any) -> BatchJobStatus:
    given = {"id": "batch-1", "input_file_id": "file-in", "output_file_id": "file-out", "status": status}
    return BatchJobStatus(batches=[Batch(**{**given, **batch})], observed_generation=1)


def looks(seconds: float) -> list[float]:
    """Give the moments, in seconds from the first, at which results are looked at that never come."""
    now, status, found = build.NOW, ended(), []
    while (now - build.NOW).total_seconds() <= seconds:
        assert late.due_in(build.observation(status, now=now)) == 0
        found.append((now - build.NOW).total_seconds())
        status = late.noted(status, now)
        now += timedelta(seconds=late.due_in(build.observation(status, now=now)))
    return found


def test_the_delays_double_and_the_last_look_is_at_five_minutes() -> None:
    assert looks(300) == [0, 5, 10, 20, 40, 80, 160, 300]


def test_what_is_gone_is_asked_for_about_fifty_times_in_a_month() -> None:
    assert len(looks(30 * 86400)) < 60


def test_a_clock_that_was_put_back_makes_no_wait_longer() -> None:
    status = late.noted(ended(), build.NOW)
    hour_ago = build.NOW - timedelta(hours=1)
    assert late.due_in(build.observation(status, now=hour_ago, looked_seconds=2.0)) == 3
    assert late.due_in(build.observation(status, now=hour_ago, looked_seconds=6.0)) == 0


@pytest.mark.parametrize(
    ("problem", "waited", "kind"),
    [
        pytest.param(PENDING, 0, Wait, id="late results are waited for"),
        pytest.param(UNREADABLE, 0, Wait, id="a file that can't be read may come back"),
        pytest.param(UNREADABLE, 160, Wait, id="for less than five minutes"),
        pytest.param(UNREADABLE, 300, Stalled, id="then a person is needed"),
    ],
)
def test_how_a_pass_ends_that_found_no_results(problem: Problem, waited: int, kind: type) -> None:
    since = build.NOW - timedelta(seconds=waited)
    seen = build.observation(ended(late_since=since, looked_at=build.NOW), trouble=problem)
    ending = decide(seen).ending
    assert isinstance(ending, kind)
    assert not isinstance(ending, Done)
    assert ending.reason is problem.reason
    if isinstance(ending, Stalled):
        assert f"{ACCEPT_MISSING_ANNOTATION}=batch-1" in ending.message


def test_with_nothing_in_the_way_results_are_collected() -> None:
    assert isinstance(decide(build.observation(ended())).effect, Collect)


@pytest.mark.parametrize(
    ("batch", "owed"),
    [
        ({"output_file_id": None}, True),
        ({"output_file_id": None, "error_file_id": "file-err"}, False),
        ({"output_file_id": None, "error_file_id": "file-err", "request_counts": (5, 1, 4)}, True),
        ({"request_counts": (5, 1, 4)}, False),
    ],
)
@pytest.mark.parametrize("status", ["completed", "expired", "cancelled", "failed"])
def test_a_download_is_of_no_use_before_the_file_with_the_answers_is_named(
    status: str, batch: dict[str, Any], owed: bool
) -> None:
    if (counts := batch.get("request_counts")) is not None:
        total, completed, failed = counts
        batch = {**batch, "request_counts": RequestCounts(total=total, completed=completed, failed=failed)}
    assert bool(late.owed(ended(status, **batch).batches[0])) is owed


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        pytest.param({"request_counts": RequestCounts(total=5, completed=1, failed=1)}, 2, id="two were answered"),
        pytest.param({"request_counts": RequestCounts(total=5, completed=0, failed=0)}, 0, id="none was"),
        pytest.param({"request_counts": RequestCounts(total=0, completed=0, failed=0)}, None, id="zeros say nothing"),
        pytest.param(
            {"request_counts": RequestCounts(total=0, completed=0, failed=0), "output_file_id": None},
            0,
            id="but of a batch that came to no file",
        ),
        pytest.param({}, None, id="no counts"),
    ],
)
def test_how_much_of_a_cancelled_batch_there_will_be(batch: dict[str, Any], expected: int | None) -> None:
    assert late.left_out(ended("cancelled", **batch).batches[0]) == expected


@pytest.mark.parametrize("words", [10, 100, 600])
def test_of_one_of_several_batches_the_remedy_is_never_what_is_cut_off(words: int) -> None:
    problem = Problem(reason=Reason.RESULTS_UNREADABLE, message="word " * words)
    long = "batch_" + "0cde4cd6-d12e-4641-ba12-9f4b494bf4bf"
    status = ended(id=long, part=1, attempt=2, late_since=build.ago(4000), looked_at=build.ago(1))
    said = late.ending(problem, status, build.LIMITS)
    assert isinstance(said, Stalled)
    assert len(said.message) <= late.MOST_SAID
    assert said.message.startswith("word word")
    assert f"{ACCEPT_MISSING_ANNOTATION}={long}" in said.message
    assert said.message.endswith("which pays for every request anew.")
