"""What a job owes next follows from the facts in its status alone."""

import pytest

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure.decide_submission import answer_settles
from llmbatch.batch.pure.stage import Stage, stage_of
from tests.support import build


@pytest.mark.parametrize(
    ("status", "stage"),
    [
        pytest.param(build.status(), Stage.INPUT, id="nothing done"),
        pytest.param(build.status(batches=[{}]), Stage.INPUT, id="its file was deleted"),
        pytest.param(build.uploaded(), Stage.FILE, id="input uploaded"),
        pytest.param(build.owed(), Stage.ANSWER, id="intent written"),
        pytest.param(build.submitted(batch={"status": None}), Stage.BATCH, id="id known, state not"),
        pytest.param(build.submitted("odd"), Stage.BATCH, id="a state that nobody knows"),
        pytest.param(build.submitted("expired"), Stage.RESULTS, id="ended at the provider"),
        pytest.param(build.stored(), Stage.CLEANUP, id="results stored"),
        pytest.param(build.ended(), Stage.ENDED, id="Complete"),
        pytest.param(build.ended("Failed"), Stage.ENDED, id="Failed"),
        pytest.param(
            build.submitted(submission={"attempt": 1, "intentTime": "2026-03-01T12:00:00Z"}),
            Stage.BATCH,
            id="an id counts for more than an intent",
        ),
    ],
)
def test_stage(status: BatchJobStatus, stage: Stage) -> None:
    assert stage_of(status) == stage


def test_files_are_named_once_and_input_first() -> None:
    assert build.observation(build.stored()).file_ids == ("file-in", "file-out", "file-err")
    twice = build.submitted(batch={"outputFileID": "file-in", "errorFileID": ""})
    assert build.observation(twice).file_ids == ("file-in",)


def test_the_next_attempt_is_one_more() -> None:
    assert build.observation().next_attempt == 1
    assert build.observation(build.owed(attempt=4)).next_attempt == 5


def test_an_end_that_the_provider_dates_in_the_future_makes_no_clean_up_endless() -> None:
    failed = build.submitted("failed", {"completedAt": "9999-01-01T00:00:00Z"})
    young, old = (build.observation(failed, over_seconds=seconds) for seconds in (1.0, 100_000.0))
    assert (young.cleanup_overdue, old.cleanup_overdue) == (False, True)


def test_a_list_that_shows_no_batch_is_believed_after_ever_longer_times() -> None:
    waits = [answer_settles(build.observation(build.owed(attempt=attempt))) for attempt in (1, 2, 3, 4, 100)]
    assert waits == [120, 240, 480, 960, 120 * 512]


def test_nothing_is_waited_for_longer_where_no_further_call_follows() -> None:
    refused = {"attempt": 4, "intentTime": "2026-03-01T12:00:00Z", "refusal": "no"}
    assert answer_settles(build.observation(build.uploaded(submission=refused, attempts=4))) == 120
    assert answer_settles(build.observation(build.owed(attempt=4), deleted_at=build.ago(1))) == 120
