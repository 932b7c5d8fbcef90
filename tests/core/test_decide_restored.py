"""What is decided about a copy of another object, and about a job whose status was lost."""

from dataclasses import replace

import pytest

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob_status import BatchJobStatus, Phase
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import facts
from llmbatch.batch.pure.decision import (
    BeginAnew,
    Cancel,
    Collect,
    Done,
    Finish,
    LookUp,
    RemoveFinalizer,
    Stalled,
    Wait,
)
from llmbatch.batch.pure.observation import Observation
from llmbatch.batch.pure.stage import Stage
from llmbatch.job.pure import next_status
from llmbatch.job.pure.decide import decide
from llmbatch.transfer.pure.report import Problem
from tests.support import build

ORIGINAL = "0a0c9d1e-0000-4000-8000-00000000000f"
REFUSED = Problem(reason=Reason.REQUEST_REFUSED, message="No.", final=True)


def copied(status: BatchJobStatus, **given: object) -> Observation:
    return build.observation(status.model_copy(update={"uid": ORIGINAL}), **given)


def lost(**given: object) -> Observation:
    status = facts.with_lost_answer(build.status(), build.ago(3600), build.ago(5))
    return build.observation(status.model_copy(update={"uid": build.UID}), **given)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(copied(build.status()), id="before the upload"),
        pytest.param(copied(build.uploaded()), id="with the original's file"),
        pytest.param(copied(build.uploaded(), acknowledged=False), id="of another generation"),
    ],
)
def test_a_copy_for_which_nothing_was_ordered_begins_anew(seen: Observation) -> None:
    assert decide(seen).effect == BeginAnew()


def test_a_copy_is_owed_the_originals_answer() -> None:
    seen = copied(build.owed())
    assert decide(seen).effect == LookUp()
    assert (seen.status_uid, seen.restored) == (ORIGINAL, True)


def test_a_copy_follows_the_originals_batch() -> None:
    assert decide(copied(build.submitted(), poll_in=7)).ending == Wait(
        Reason.IN_PROGRESS, "The provider is running the requests.", after=7
    )
    assert decide(copied(build.submitted("completed", {"outputFileID": "file-out"}))).effect == Collect()


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(copied(build.stored()), id="the results are stored"),
        pytest.param(copied(build.submitted("failed")), id="the batch was refused"),
        pytest.param(copied(build.submitted("completed"), trouble=REFUSED), id="something final is in the way"),
    ],
)
def test_the_end_of_a_copy_deletes_nothing(seen: Observation) -> None:
    effect = decide(replace(seen, may_list=True)).effect
    assert isinstance(effect, Finish)
    assert effect.delete_file_ids == ()


@pytest.mark.parametrize(
    "status", [build.status(), build.uploaded(), build.owed(), build.submitted(), build.stored(), build.ended()]
)
def test_a_deleted_copy_is_let_go_at_once(status: BatchJobStatus) -> None:
    decision = decide(copied(status, deleted_at=build.ago(1), may_list=True))
    assert (decision.ending, decision.effect) == (Done(), RemoveFinalizer())


def test_a_status_that_names_no_object_or_this_one_is_its_own() -> None:
    own = build.observation(build.submitted(uid=build.UID), deleted_at=build.ago(1))
    assert not own.restored
    assert decide(own).effect == Cancel("batch-1")
    assert not build.observation(build.submitted()).restored


def test_a_lost_status_is_an_owed_answer_first_stored_and_then_looked_up() -> None:
    assert lost().stage is Stage.ANSWER
    assert decide(lost(acknowledged=False, unrecorded=True)).effect is None
    assert decide(lost()).effect == LookUp()
    deleted = {"deleted_at": build.ago(1)}
    assert decide(lost(acknowledged=False, unrecorded=True, **deleted)).effect is None
    assert decide(lost(**deleted)).effect == LookUp()


def test_without_a_list_a_person_is_asked_about_a_lost_status() -> None:
    ending = decide(lost(lists_batches=False)).ending
    assert isinstance(ending, Stalled)
    assert ending.reason is Reason.SUBMISSION_UNKNOWN
    assert "The status of this job was lost" in ending.message


def test_what_is_kept_when_no_batch_is_found() -> None:
    owed = build.owed(attempt=2)
    assert facts.without_batch(owed, restored=False) == build.uploaded(attempts=2)
    assert facts.without_batch(owed, restored=True) == BatchJobStatus()
    assert facts.without_batch(lost().status, restored=False) == BatchJobStatus(batches=[Batch(create_calls=1)])


def test_a_job_that_begins_anew_has_no_past_and_is_its_own() -> None:
    before = next_status.close(
        BatchJobStatus(),
        build.owed().model_copy(update={"uid": ORIGINAL}),
        uid=build.UID,
        ending=Wait(Reason.SUBMISSION_PENDING, "Asked.", aspect="Submitted"),
        finish=None,
        generation=1,
        deleting=False,
        now=build.ago(60),
    )
    assert (before.uid, before.phase) == (ORIGINAL, Phase.SUBMITTING)
    ending = Wait(Reason.ACCEPTED, "Seen.")
    after = next_status.close(
        before,
        BatchJobStatus(),
        uid=build.UID,
        ending=ending,
        finish=None,
        generation=1,
        deleting=False,
        now=build.NOW,
    )
    assert (after.uid, after.phase, after.start_time) == (build.UID, Phase.PENDING, build.NOW)
    assert {item.type for item in after.conditions} == {"Ready", "Reconciling"}


@pytest.mark.parametrize(
    ("seconds_ago", "known", "expected"),
    [
        pytest.param(50, 0, 0, id="an intent that looks old and was seen just now"),
        pytest.param(5000, 30, 30, id="an API server that is far ahead of the one that was asked before"),
        pytest.param(-600, 30, 30, id="an intent from the future: since this process knows of it"),
        pytest.param(-600, 0, 0, id="never negative"),
        pytest.param(50, 90, 90, id="an API server that is behind"),
    ],
)
def test_how_long_an_answer_has_been_owed(seconds_ago: float, known: float, expected: float) -> None:
    assert build.observation(build.owed(seconds_ago), owed_seconds=known).owed_for == expected


def test_no_wait_of_a_deletion_outlasts_its_period_whatever_the_clocks_say() -> None:
    seen = build.observation(build.submitted("cancelling"), deleted_at=build.ago(-600), poll_in=10_000)
    ending = decide(seen).ending
    assert isinstance(ending, Wait)
    assert ending.after == pytest.approx(build.LIMITS.cleanup_seconds, abs=1)
