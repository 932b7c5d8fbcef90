"""What is done next with a BatchJob, rule by rule, in the order in which they win."""

import math
from typing import Any

import pytest

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.decision import (
    AddFinalizer,
    Collect,
    Decision,
    Done,
    Effect,
    Finish,
    GiveUpAttempt,
    LookUp,
    RemoveFinalizer,
    Stalled,
    Submit,
    Upload,
    Wait,
)
from llmbatch.batch.pure.observation import FileState, Observation
from llmbatch.job.pure.decide import decide
from llmbatch.job.pure.decide_results import verdict
from llmbatch.transfer.pure.report import Problem
from tests.support import build
from tests.support.build import observation

AWAY = Problem(reason=Reason.GATEWAY_UNREACHABLE, message="away")
BUSY = Problem(reason=Reason.RATE_LIMITED, message="busy", retry_after_seconds=7)
DENIED = Problem(reason=Reason.GATEWAY_UNAUTHORIZED, message="401")
MISSING = Problem(reason=Reason.INPUT_NOT_FOUND, message="no ConfigMap")
INVALID = Problem(reason=Reason.INVALID_INPUT, message="line 1", final=True)
ASKED = build.condition("Stalled", "True", "SubmissionUnknown", message="look it up")
AT_WORK = Problem(reason=Reason.TRANSFER_PENDING, message="starting")
TOO_LARGE = build.condition("Stalled", "True", "OutputTooLarge", message="2 MiB")


def waits(reason: Reason, after: float | None = 0.0, effect: Effect | None = None) -> tuple[Any, ...]:
    return ("Wait", reason, after, effect)


def stalls(reason: Reason, after: float | None) -> tuple[Any, ...]:
    return ("Stalled", reason, after, None)


def does(effect: Effect | None = None) -> tuple[Any, ...]:
    return ("Done", None, None, effect)


def fails(reason: Reason, *files: str) -> tuple[Any, ...]:
    return ("Done", None, None, ("Finish", reason, False, files))


def ends(reason: Reason, *files: str, complete: bool = True) -> tuple[Any, ...]:
    return ("Wait", Reason.CLEANING_UP, 0.0, ("Finish", reason, complete, files))


def shape(decision: Decision) -> tuple[Any, ...]:
    """Give a decision without its words for people."""
    effect: Any = decision.effect
    if isinstance(effect, Finish):
        effect = ("Finish", effect.reason, effect.complete, effect.delete_file_ids)
    match decision.ending:
        case Done():
            return ("Done", None, None, effect)
        case Wait() | Stalled() as ending:
            return (type(ending).__name__, ending.reason, ending.after, effect)


IN, OUT, ERR = "file-in", "file-out", "file-err"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        # --- job_has_ended
        pytest.param(observation(build.ended()), does(RemoveFinalizer()), id="an ended job lets go of its object"),
        pytest.param(observation(build.ended(), finalizer=False), does(), id="an ended job is left alone"),
        pytest.param(
            observation(build.ended(), acknowledged=False, trouble=AWAY), does(RemoveFinalizer()), id="an end is an end"
        ),
        # --- generation_is_new
        pytest.param(observation(acknowledged=False), waits(Reason.ACCEPTED), id="a new job is acknowledged first"),
        pytest.param(
            observation(build.submitted(), acknowledged=False, trouble=INVALID),
            waits(Reason.ACCEPTED),
            id="a new generation is acknowledged before anything else",
        ),
        # --- news_is_unrecorded
        pytest.param(
            observation(build.uploaded(), unrecorded=True), waits(Reason.SUBMITTING), id="an uploaded file is recorded"
        ),
        pytest.param(
            observation(build.submitted("completed"), unrecorded=True),
            waits(Reason.COLLECTING),
            id="the end of a batch is recorded before its results are collected",
        ),
        pytest.param(
            observation(build.stored(), unrecorded=True),
            waits(Reason.CLEANING_UP),
            id="stored results are recorded before remote files are deleted",
        ),
        # --- output_is_known_to_be_of_no_use
        pytest.param(
            observation(build.submitted("completed", conditions=[TOO_LARGE])),
            stalls(Reason.OUTPUT_TOO_LARGE, math.inf),
            id="results that do not fit are not downloaded again",
        ),
        pytest.param(
            observation(build.submitted("completed", conditions=[TOO_LARGE]), trouble=AWAY),
            stalls(Reason.OUTPUT_TOO_LARGE, math.inf),
            id="whatever else is in the way",
        ),
        pytest.param(
            observation(build.submitted("completed", conditions=[TOO_LARGE]), generation=2),
            waits(Reason.COLLECTING, 0.0, Collect()),
            id="a new spec may name a place with room",
        ),
        # --- something_is_in_the_way
        pytest.param(observation(trouble=AWAY), waits(Reason.GATEWAY_UNREACHABLE, None), id="a gateway that is away"),
        pytest.param(observation(trouble=BUSY), waits(Reason.RATE_LIMITED, 7), id="a gateway that names its time"),
        pytest.param(observation(trouble=MISSING), waits(Reason.INPUT_NOT_FOUND, 15), id="what is missing may come"),
        pytest.param(observation(trouble=DENIED), stalls(Reason.GATEWAY_UNAUTHORIZED, 15), id="a refusal needs a hand"),
        pytest.param(observation(trouble=INVALID), fails(Reason.INVALID_INPUT), id="a final problem ends the job"),
        pytest.param(
            observation(build.uploaded(), trouble=INVALID),
            fails(Reason.INVALID_INPUT, IN),
            id="a final problem ends the job and its files",
        ),
        pytest.param(
            observation(build.submitted(), trouble=AWAY), waits(Reason.GATEWAY_UNREACHABLE, None), id="a failed poll"
        ),
        pytest.param(
            observation(build.stored(), trouble=AWAY),
            waits(Reason.GATEWAY_UNREACHABLE, None),
            id="cleaning up waits for the gateway",
        ),
        pytest.param(
            observation(build.stored(output={"storedTime": "2026-03-01T11:50:00Z"}), trouble=AWAY),
            ends(Reason.SUCCEEDED, IN, OUT, ERR),
            id="but not for ever",
        ),
        # --- results_are_stored
        pytest.param(observation(build.stored()), ends(Reason.SUCCEEDED, IN, OUT, ERR), id="stored results end the job"),
        pytest.param(
            observation(build.stored(), spec=build.spec(remoteFiles="Retain")),
            ends(Reason.SUCCEEDED),
            id="and leave the remote files if the user wants them",
        ),
        # --- batch_was_refused
        pytest.param(
            observation(build.submitted("failed"), batch_errors="bad line"),
            fails(Reason.BATCH_FAILED, IN),
            id="a refused batch ends the job",
        ),
        pytest.param(
            observation(build.submitted("failed"), spec=build.spec(remoteFiles="Retain")),
            fails(Reason.BATCH_FAILED),
            id="a refused batch leaves its file if the user wants it",
        ),
        pytest.param(
            observation(build.submitted("failed", {"outputFileID": OUT})),
            waits(Reason.COLLECTING, 0.0, Collect()),
            id="a failed batch with results has results",
        ),
        # --- batch_has_ended
        *(
            pytest.param(
                observation(build.submitted(end)), waits(Reason.COLLECTING, 0.0, Collect()), id=f"{end}: collect"
            )
            for end in ("completed", "expired", "cancelled")
        ),
        pytest.param(
            observation(build.submitted("completed"), transferring=AT_WORK),
            waits(Reason.TRANSFER_PENDING, 1.0),
            id="one transfer Job at a time",
        ),
        # --- batch_is_under_way
        *(
            pytest.param(observation(build.submitted(remote), poll_in=42), waits(reason, 42), id=f"{remote}: poll later")
            for remote, reason in (
                ("validating", Reason.VALIDATING),
                ("in_progress", Reason.IN_PROGRESS),
                ("finalizing", Reason.FINALIZING),
                ("cancelling", Reason.CANCELLING),
                ("unheard_of", Reason.IN_PROGRESS),
            )
        ),
        pytest.param(observation(build.submitted()), waits(Reason.IN_PROGRESS, 0.05), id="never in a tight loop"),
        # --- answer_is_owed
        pytest.param(
            observation(build.owed()), waits(Reason.SUBMISSION_PENDING, 0.0, LookUp()), id="an owed answer is looked up"
        ),
        pytest.param(
            observation(build.owed(), lists_batches=False),
            stalls(Reason.SUBMISSION_UNKNOWN, math.inf),
            id="without a list a person decides",
        ),
        pytest.param(
            observation(build.owed(121, conditions=[ASKED]), lists_batches=False, resubmit="2"),
            waits(Reason.SUBMITTING, 0.0, GiveUpAttempt()),
            id="and says so by naming the next attempt",
        ),
        pytest.param(
            observation(build.owed(20, conditions=[ASKED]), lists_batches=False, resubmit="2"),
            stalls(Reason.SUBMISSION_UNKNOWN, 100.0),
            id="which holds once no call can be under way any more",
        ),
        pytest.param(
            observation(build.owed(121), resubmit="2"),
            waits(Reason.SUBMISSION_PENDING, 0.0, LookUp()),
            id="an annotation that nobody asked for is no reason to submit again",
        ),
        pytest.param(
            observation(build.owed(), lists_batches=False, resubmit="1"),
            stalls(Reason.SUBMISSION_UNKNOWN, math.inf),
            id="an old annotation says nothing about this attempt",
        ),
        # --- transfer_is_at_work
        pytest.param(
            observation(transferring=AT_WORK), waits(Reason.TRANSFER_PENDING, 1.0), id="an upload under way is left to it"
        ),
        # --- file_is_uploaded
        pytest.param(
            observation(build.uploaded()), waits(Reason.SUBMITTING, 0.0, Submit(1)), id="an uploaded input is submitted"
        ),
        pytest.param(
            observation(build.uploaded(attempts=1)),
            waits(Reason.SUBMITTING, 0.0, Submit(2)),
            id="the next attempt has the next number",
        ),
        pytest.param(
            observation(build.uploaded(), file_state=FileState.PENDING, poll_in=9),
            waits(Reason.FILE_PENDING, 9),
            id="a file that is processed is waited for",
        ),
        pytest.param(
            observation(build.uploaded(), file_state=FileState.FAILED),
            fails(Reason.REMOTE_FILE_FAILED, IN),
            id="a file that can't be processed ends the job",
        ),
        pytest.param(
            observation(build.uploaded(), slot_free=False),
            waits(Reason.WAITING_FOR_SLOT, math.inf),
            id="no more batches at a time than the gateway allows",
        ),
        # --- input_is_to_be_uploaded
        pytest.param(
            observation(finalizer=False), waits(Reason.UPLOADING, 0.0, AddFinalizer()), id="the finalizer comes first"
        ),
        pytest.param(observation(), waits(Reason.UPLOADING, 0.0, Upload(1)), id="then the upload"),
    ],
)  # fmt: skip
def test_decide(seen: Observation, expected: tuple[Any, ...]) -> None:
    assert shape(decide(seen)) == expected


@pytest.mark.parametrize(
    ("status", "reason", "complete"),
    [
        pytest.param(build.stored(5, 5), Reason.SUCCEEDED, True, id="all succeeded"),
        pytest.param(build.stored(5, 4), Reason.COMPLETED_WITH_FAILURES, True, id="some failed"),
        pytest.param(
            build.stored(5, 0), Reason.ALL_REQUESTS_FAILED, False, id="all failed, though the batch completed"
        ),
        pytest.param(build.stored(5, 3, "expired"), Reason.BATCH_EXPIRED, False, id="expired with some answers"),
        pytest.param(build.stored(5, 5, "expired"), Reason.BATCH_EXPIRED, False, id="expired with all answers"),
        pytest.param(build.stored(5, 3, "cancelled"), Reason.BATCH_CANCELLED, False, id="cancelled by somebody else"),
        pytest.param(build.stored(5, 3, "failed"), Reason.BATCH_FAILED, False, id="failed with some answers"),
        pytest.param(build.stored(0, 0), Reason.ALL_REQUESTS_FAILED, False, id="nothing at all"),
    ],
)
def test_the_verdict_is_that_of_the_lines(status: BatchJobStatus, reason: Reason, complete: bool) -> None:
    seen = observation(status)
    assert verdict(seen)[0] == reason
    finish = decide(seen).effect
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.complete) == (reason, complete)


def test_the_verdict_says_where_the_failed_requests_are() -> None:
    seen = observation(build.stored(5, 4, output={"errorsLocation": "secret/results key r.jsonl.errors"}))
    assert verdict(seen)[1] == "4 of 5 requests succeeded; the failed ones are in secret/results key r.jsonl.errors."


def test_a_refused_batch_is_told_in_the_providers_words() -> None:
    finish = decide(observation(build.submitted("failed"), batch_errors="model_mismatch: no")).effect
    assert isinstance(finish, Finish)
    assert finish.message == "The provider refused the batch: model_mismatch: no"


def test_a_person_is_told_how_to_submit_again() -> None:
    ending = decide(observation(build.owed(attempt=3), lists_batches=False)).ending
    assert isinstance(ending, Stalled)
    assert "llmbatch.io/resubmit=4" in ending.message
