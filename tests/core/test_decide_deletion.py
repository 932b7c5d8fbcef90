"""A deleted BatchJob: cancel, clean up, let go; never for ever."""

import math

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.core.decide import decide
from llmbatch.core.decision import (
    Cancel,
    Decision,
    DeleteFiles,
    Done,
    Effect,
    FindDuplicates,
    LookUp,
    RemoveFinalizer,
    Wait,
)
from llmbatch.core.observation import Observation
from llmbatch.core.plan import Problem
from tests.support import build

AWAY = Problem(reason=Reason.GATEWAY_UNREACHABLE, message="away")
INVALID = Problem(reason=Reason.INVALID_INPUT, message="line 1", final=True)
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
