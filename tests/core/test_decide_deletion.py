"""A deleted BatchJob: cancel, clean up, let go; never for ever."""

import math

import pytest

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import facts
from llmbatch.batch.pure.decision import (
    AddFinalizer,
    Cancel,
    Decision,
    DeleteFiles,
    Discard,
    Done,
    Effect,
    FindDuplicates,
    LookUp,
    RemoveFinalizer,
    Wait,
)
from llmbatch.batch.pure.observation import Discarding, Observation
from llmbatch.job.pure.decide import decide
from llmbatch.transfer.pure.report import Problem
from tests.support import build

AWAY = Problem(reason=Reason.GATEWAY_UNREACHABLE, message="away")
ORPHAN = build.spec(deletionPolicy={"remoteBatch": "Orphan"})
VOLUME = {"persistentVolumeClaim": {"claimName": "data", "path": "r.jsonl"}}
DELETE = build.spec(output=VOLUME, deletionPolicy={"output": "Delete"})
SHORT = build.spec(deletionPolicy={"cleanupTimeoutSeconds": 20})
INVALID = Problem(reason=Reason.INVALID_INPUT, message="line 1", final=True)
LOST = facts.with_lost_answer(build.status(), build.ago(3600), build.ago(301))
ANSWERED = {"total": 5, "completed": 2, "failed": 0}
CHECKED = "2026-03-01T11:00:00Z"


def deleted(status: object = None, seconds_ago: float = 10, **given: object) -> Observation:
    return build.observation(status, deleted_at=build.ago(seconds_ago), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "effect", "after"),
    [
        pytest.param(deleted(finalizer=False), None, math.inf, id="finalizers of others are waited for, quietly"),
        pytest.param(deleted(), RemoveFinalizer(), None, id="nothing is there: let go"),
        pytest.param(deleted(acknowledged=False), RemoveFinalizer(), None, id="even before the job was acknowledged"),
        pytest.param(deleted(build.ended()), RemoveFinalizer(), None, id="an ended job is let go"),
        pytest.param(deleted(trouble=INVALID), RemoveFinalizer(), None, id="no verdict for what is deleted"),
        pytest.param(deleted(transferring=AWAY), None, 1.0, id="an upload under way is waited for"),
        pytest.param(
            deleted(LOST, seconds_ago=301, trouble=AWAY),
            RemoveFinalizer(f"perhaps a batch with llmbatch_uid {build.UID}"),
            None,
            id="of a status that was lost the uid is named, by which its batch is found",
        ),
        pytest.param(deleted(build.submitted(), trouble=AWAY), None, 5.0, id="a gateway that is away is waited for"),
        pytest.param(deleted(build.owed()), LookUp(), 0.0, id="an owed answer is looked up"),
        pytest.param(
            deleted(build.owed(), lists_batches=False),
            RemoveFinalizer("perhaps a batch of input file file-in, file file-in"),
            None,
            id="without a list what may be left is named",
        ),
        pytest.param(deleted(build.submitted()), Cancel("batch-1"), 0.0, id="a running batch is cancelled"),
        pytest.param(deleted(build.submitted("cancelling"), poll_in=3), None, 3, id="once, and then polled"),
        pytest.param(deleted(build.submitted("cancelled")), DeleteFiles(("file-in",)), 0.0, id="then its files go"),
        pytest.param(
            deleted(build.submitted("completed"), poll_in=3), None, 3, id="results that are not named yet are asked for"
        ),
        pytest.param(
            deleted(build.submitted("cancelled", {"requestCounts": ANSWERED}), poll_in=3),
            None,
            3,
            id="those of a cancelled batch that has answered some too",
        ),
        pytest.param(
            deleted(build.submitted("cancelled", {"requestCounts": {**ANSWERED, "completed": 0}})),
            DeleteFiles(("file-in",)),
            0.0,
            id="of one that has answered none there are none",
        ),
        pytest.param(
            deleted(build.submitted("completed", {"outputFileID": "file-out"})),
            DeleteFiles(("file-in", "file-out")),
            0.0,
            id="once they are named they go",
        ),
        pytest.param(
            deleted(build.submitted("completed"), seconds_ago=151), DeleteFiles(("file-in",)), 0.0, id="for half of the time"
        ),
        pytest.param(
            deleted(build.submitted("completed"), spec=build.spec(remoteFiles="Retain")),
            RemoveFinalizer(),
            None,
            id="and not where they are retained",
        ),
        pytest.param(deleted(build.uploaded()), DeleteFiles(("file-in",)), 0.0, id="an uploaded file goes"),
        pytest.param(
            deleted(build.stored()), DeleteFiles(("file-in", "file-out", "file-err")), 0.0, id="all files go"
        ),
        pytest.param(
            deleted(build.uploaded(), spec=build.spec(remoteFiles="Retain")), RemoveFinalizer(), None, id="or are retained"
        ),
        pytest.param(
            deleted(build.submitted(), seconds_ago=301, trouble=AWAY),
            RemoveFinalizer("batch batch-1, file file-in"),
            None,
            id="patience ends: what is left is named",
        ),
        pytest.param(
            deleted(build.submitted("cancelling"), seconds_ago=290, poll_in=3), None, 3, id="but not before its time"
        ),
        pytest.param(
            deleted(build.submitted("cancelling"), seconds_ago=299, poll_in=60), None, 1.1, id="no wait outlasts it"
        ),
        pytest.param(
            deleted(build.submitted("cancelled"), may_list=True), FindDuplicates(), 0.0, id="other batches are looked for"
        ),
        pytest.param(
            deleted(build.submitted(), may_list=True), Cancel("batch-1"), 0.0, id="once the one that is known is cancelled"
        ),
        pytest.param(
            deleted(build.submitted("cancelled", duplicatesCheckedTime=CHECKED), may_list=True),
            DeleteFiles(("file-in",)),
            0.0,
            id="unless that was done before",
        ),
        pytest.param(
            deleted(build.submitted("cancelled"), seconds_ago=151, may_list=True),
            DeleteFiles(("file-in",)),
            0.0,
            id="a list that can't be read leaves time for the files",
        ),
        pytest.param(
            deleted(build.submitted("cancelled", {"inputFileID": None}), seconds_ago=151, may_list=True),
            RemoveFinalizer(f"perhaps further batches with llmbatch_uid {build.UID}"),
            None,
            id="and is told of",
        ),
        pytest.param(
            deleted(build.submitted(), seconds_ago=301, may_list=True),
            RemoveFinalizer(f"batch batch-1, file file-in, perhaps further batches with llmbatch_uid {build.UID}"),
            None,
            id="with whatever else is left",
        ),
        pytest.param(
            deleted(transferring=AWAY, seconds_ago=301), RemoveFinalizer(), None, id="an upload that hangs is not for ever"
        ),
        pytest.param(
            deleted(build.uploaded(), spec=build.spec(remoteFiles="Retain"), trouble=AWAY),
            RemoveFinalizer(), None, id="files that stay need no gateway"
        ),
        # --- cleanupTimeoutSeconds
        pytest.param(
            deleted(build.submitted(), spec=SHORT, seconds_ago=21, trouble=AWAY),
            RemoveFinalizer("batch batch-1, file file-in"), None, id="the job's own time replaces the operator's"
        ),
        pytest.param(
            deleted(build.submitted(), spec=SHORT, seconds_ago=19, trouble=AWAY), None, 1.1, id="for waits too"
        ),
        # --- remoteBatch: Orphan
        pytest.param(
            deleted(build.submitted(), spec=ORPHAN), RemoveFinalizer("batch batch-1, file file-in", as_asked=True),
            None, id="an orphan runs on"
        ),
        pytest.param(
            deleted(build.submitted(), spec=ORPHAN, trouble=AWAY),
            RemoveFinalizer("batch batch-1, file file-in", as_asked=True), None, id="and needs no gateway for that"
        ),
        pytest.param(
            deleted(build.owed(), spec=ORPHAN),
            RemoveFinalizer("perhaps a batch of input file file-in, file file-in", as_asked=True),
            None, id="nor a look-up"
        ),
        pytest.param(
            deleted(build.submitted("completed", {"outputFileID": "file-out"}), spec=ORPHAN),
            RemoveFinalizer("batch batch-1, file file-in, file file-out", as_asked=True),
            None, id="results that are stored nowhere else stay too"
        ),
        pytest.param(
            deleted(build.uploaded(), spec=ORPHAN), DeleteFiles(("file-in",)), 0.0, id="a file of no batch goes"
        ),
        pytest.param(
            deleted(build.stored(), spec=ORPHAN), DeleteFiles(("file-in", "file-out", "file-err")),
            0.0, id="and so do files whose results are stored"
        ),
        # --- output: Delete, in a volume
        pytest.param(
            deleted(build.ended(), spec=DELETE, discarding=Discarding(due=True)), Discard(), 0.0, id="results are deleted"
        ),
        pytest.param(
            deleted(build.stored(), spec=DELETE, discarding=Discarding(at_work="Deleting.")),
            DeleteFiles(("file-in", "file-out", "file-err")), 0.0, id="beside the remote files"
        ),
        pytest.param(
            deleted(build.ended(), spec=DELETE, discarding=Discarding(at_work="Deleting.")), None, 1.0, id="and waited for"
        ),
        pytest.param(
            deleted(build.ended(), spec=DELETE, discarding=Discarding()), RemoveFinalizer(), None, id="until they are gone"
        ),
        pytest.param(
            deleted(build.ended(), spec=DELETE, discarding=Discarding(kept="r.jsonl: changed")),
            RemoveFinalizer(kept_output="r.jsonl: changed"), None, id="what was changed is told"
        ),
        pytest.param(
            deleted(build.ended(), spec=DELETE, discarding=Discarding(at_work="No node."), seconds_ago=301),
            RemoveFinalizer(kept_output="secret/results key r.jsonl: No node."), None, id="but not for ever"
        ),
    ],
)  # fmt: skip
def test_deletion(seen: Observation, effect: Effect | None, after: float | None) -> None:
    decision: Decision = decide(seen)
    assert decision.effect == effect
    if after is None:
        assert decision.ending == Done()
    else:
        assert isinstance(decision.ending, Wait)
        assert (decision.ending.reason, decision.ending.after) == (Reason.DELETING, after)


@pytest.mark.parametrize(
    "status",
    [build.uploaded(), build.owed(), build.submitted(), build.submitted("completed"), build.stored()],
    ids=["file", "answer", "batch", "results", "cleanup"],
)
def test_a_finalizer_that_was_taken_away_is_put_back_before_anything_else(status: BatchJobStatus) -> None:
    assert decide(build.observation(status, finalizer=False)).effect == AddFinalizer()
    assert decide(build.observation(status, finalizer=False, trouble=AWAY)).effect == AddFinalizer()


def test_an_upload_under_way_has_its_finalizer_put_back_too() -> None:
    assert decide(build.observation(finalizer=False, transferring=AWAY)).effect == AddFinalizer()


def test_an_ended_job_keeps_the_finalizer_only_if_its_deletion_deletes_files() -> None:
    assert decide(build.observation(build.ended())).effect == RemoveFinalizer()
    assert decide(build.observation(build.ended(), spec=DELETE)).effect is None
    assert decide(build.observation(build.ended(), spec=DELETE, finalizer=False)).effect == AddFinalizer()
    in_a_secret = build.spec(deletionPolicy={"output": "Delete"})
    assert decide(build.observation(build.ended(), spec=in_a_secret)).effect == RemoveFinalizer()
