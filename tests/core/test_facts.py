"""What was found out, put into the status."""

from datetime import UTC, datetime
from typing import Any

import pytest

from llmbatch.api.counts import RequestCounts
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import facts
from llmbatch.provider.pure.wire import BatchError, Counts, RemoteBatch
from llmbatch.transfer.pure.destination import Destination
from llmbatch.transfer.pure.report import Problem
from tests.support import build

EARLIER = datetime(2026, 3, 1, 11, 30, tzinfo=UTC)


def remote(**given: Any) -> RemoteBatch:
    return RemoteBatch(**{"id": "batch-1", "status": "in_progress", "metadata": {}, **given})


def test_an_upload_states_the_file_and_the_requests() -> None:
    status = facts.with_upload(build.status(), build.upload_report())
    assert (status.batches[0].input_file_id, status.input) == ("file-in", build.uploaded().input)
    assert status.request_counts == RequestCounts(total=5, completed=0, failed=0)


def test_an_intent_is_one_until_the_answer_is_there() -> None:
    intent = facts.with_intent(build.uploaded(), 1, build.NOW)
    assert intent.summary.submission is not None
    assert (intent.summary.submission.attempt, intent.summary.submission.intent_time, intent.summary.attempts) == (
        1,
        build.NOW,
        1,
    )
    known = facts.with_remote(intent, remote(created_at=EARLIER), build.NOW)
    assert (known.summary.submission, known.summary.attempts, known.batches[0].id) == (None, 1, "batch-1")
    assert known.summary.submission_time == EARLIER


@pytest.mark.parametrize(
    ("made_none", "attempts"), [pytest.param(True, 1, id="made none"), pytest.param(False, 2, id="unknown")]
)
def test_the_number_of_an_attempt_that_made_no_call_is_used_again(made_none: bool, attempts: int) -> None:
    status = facts.without_intent(build.owed(attempt=2), made_none=made_none)
    assert (status.summary.submission, status.summary.attempts) == (None, attempts)
    assert facts.without_intent(build.owed(attempt=1), made_none=True).summary.attempts is None


def test_what_a_poll_leaves_out_stays() -> None:
    before = facts.with_remote(
        build.submitted(),
        remote(output_file_id="file-out", counts=Counts(total=5, completed=2, failed=1), in_progress_at=EARLIER),
        build.NOW,
    )
    after = facts.with_remote(before, remote(status="finalizing"), build.NOW)
    assert after.batches[0].status == "finalizing"
    assert after.batches[0].output_file_id == "file-out"
    assert after.batches[0].request_counts == RequestCounts(total=5, completed=2, failed=1)
    assert facts.with_remote(after, remote(status="finalizing"), build.NOW) == after, "the same again is no news"


def test_the_file_is_ours_whatever_the_provider_calls_it() -> None:
    assert facts.with_remote(build.owed(), remote(input_file_id="x"), build.NOW).batches[0].input_file_id == "file-in"


def test_counts_of_nothing_dont_replace_those_of_the_input() -> None:
    before = facts.with_upload(build.status(), build.upload_report())
    after = facts.with_remote(before, remote(counts=Counts(total=0, completed=0, failed=0)), build.NOW)
    assert after.request_counts == before.request_counts


def test_a_batch_that_has_ended_has_an_end() -> None:
    ended = facts.with_remote(build.submitted(), remote(status="failed"), build.NOW)
    assert ended.batches[0].completed_at == build.NOW
    assert facts.with_remote(build.submitted(), remote(), build.NOW).batches[0].completed_at is None


def test_results_replace_the_providers_counts() -> None:
    where = Destination("l", "e", "")
    status = facts.with_results(build.submitted("completed"), build.collect_report(5, 3), where, now=build.NOW)
    assert status.request_counts == RequestCounts(total=5, completed=3, failed=2)
    assert status.output is not None
    assert (status.output.location, status.output.errors_location, status.output.requests) == ("l", "e", 3)
    whole = facts.with_results(build.submitted("completed"), build.collect_report(), where, now=build.NOW)
    assert whole.output is not None
    assert whole.output.errors_location is None


def test_deleted_files_are_forgotten_and_an_empty_batch_with_them() -> None:
    status = facts.without_files(build.stored(), ("file-out", "file-err"))
    assert (status.batches[0].input_file_id, status.batches[0].output_file_id) == ("file-in", None)
    assert facts.without_files(build.uploaded(), ("file-in",)).batches == []
    assert facts.without_files(build.status(), ("x",)) == build.status()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (None, None),
        ((0, 0, 0), None),
        ((5, 0, 0), "0%"),
        ((5, 1, 1), "40%"),
        ((1000, 999, 0), "99%"),
        ((3, 2, 1), "100%"),
        ((2, 3, 0), "100%"),
    ],
)
def test_progress(counts: tuple[int, int, int] | None, expected: str | None) -> None:
    told = dict(zip(("total", "completed", "failed"), counts, strict=True)) if counts else None
    assert facts.progress(build.status(**({"requestCounts": told} if told else {}))) == expected


def test_bad_lines_are_named_one_by_one() -> None:
    lines = [{"line": 2, "field": "custom_id", "message": "repeated"}, {"line": 9, "field": "", "message": "no JSON"}]
    problem = Problem(reason=Reason.INVALID_INPUT, message="3 lines can't be sent.", final=True)
    report = build.upload_report(
        fileID=None, lineErrors=lines, lineErrorCount=3, problem=problem.model_dump(by_alias=True, exclude_none=True)
    )
    told = facts.upload_problem(report)
    assert told is not None
    assert told.message.splitlines() == [
        "3 lines can't be sent.",
        "line 2, custom_id: repeated",
        "line 9: no JSON",
        "… and 1 more",
    ]
    assert told.final


def test_an_upload_without_a_file_is_a_problem() -> None:
    assert facts.upload_problem(build.upload_report()) is None
    told = facts.upload_problem(build.upload_report(fileID=None))
    assert told is not None
    assert told.reason == Reason.TRANSFER_FAILED


def test_the_providers_reasons_are_told_the_first_ten() -> None:
    errors = tuple(BatchError(code="bad", message="Model parameter is required.", line=n or None) for n in range(12))
    told = facts.told_errors(remote(errors=errors))
    assert told.startswith("bad: Model parameter is required.; bad (line 1): Model parameter is required.; ")
    assert told.endswith("bad (line 9): Model parameter is required.; and 2 more")
    assert facts.told_errors(remote()) == ""


def test_a_passage_that_a_reason_quotes_is_left_out() -> None:
    said = BatchError(code="invalid_request", message="Missing 'model' in 'the patient has a fever'", line=3)
    assert facts.told_errors(remote(errors=(said,))) == "invalid_request (line 3): Missing 'model' in '…'"
