"""How a job ends a pass when something is in its way."""

from dataclasses import replace

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.decision import Stalled, Wait
from llmbatch.batch.pure.stage import Stage
from llmbatch.job.pure.decide import decide
from llmbatch.job.pure.trouble import ASPECTS, FAR_END, LASTING, MAY_PASS, PASSING, POD_SECONDS, ending_for, may_pass
from llmbatch.transfer.pure.report import Problem
from tests.support import build
from tests.support.build import LIMITS

NEEDS_A_HAND = {
    Reason.GATEWAY_INVALID,
    Reason.GATEWAY_UNAUTHORIZED,
    Reason.ROUTE_NOT_FOUND,
    Reason.TLS_VERIFICATION_FAILED,
    Reason.CREDENTIALS_NOT_FOUND,
    Reason.SUBMISSION_UNKNOWN,
    Reason.REMOTE_BATCH_NOT_FOUND,
    Reason.TRANSFER_UNSCHEDULABLE,
    Reason.TRANSFER_IMAGE_PULL_FAILED,
    Reason.PERMISSION_DENIED,
    Reason.VOLUME_FULL,
    Reason.OUTPUT_TOO_LARGE,
    Reason.OUTPUT_UNSUPPORTED,
    Reason.OUTPUT_EXISTS,
    Reason.OUTPUT_INVALID,
    Reason.INVALID_SPEC,
}


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("stage", Stage)
def test_every_reason_has_an_ending_that_is_looked_at_again(reason: Reason, stage: Stage) -> None:
    ending = ending_for(Problem(reason=reason, message="told"), stage, LIMITS)
    assert isinstance(ending, Stalled if may_pass(reason, stage) or reason not in PASSING | FAR_END else Wait)
    assert (ending.reason, ending.message, ending.aspect) == (reason, "told", ASPECTS.get(stage, ""))
    assert ending.after in (None, POD_SECONDS, LIMITS.recheck_seconds)


@pytest.mark.parametrize("reason", sorted(MAY_PASS))
def test_what_may_pass_is_waited_for_before_a_person_is_asked(reason: Reason) -> None:
    problem = Problem(reason=reason, message="told")
    limits = replace(LIMITS, stall_after_seconds=60)
    young = ending_for(problem, Stage.INPUT, limits, lasted=59)
    assert isinstance(young, Wait)
    assert young.after is not None
    assert young.after <= 2, "a look is due when the time is over"
    assert isinstance(ending_for(problem, Stage.INPUT, limits, lasted=60), Stalled)
    assert isinstance(ending_for(problem, Stage.INPUT, replace(LIMITS, stall_after_seconds=0), lasted=0), Stalled)


def test_each_reason_is_of_one_kind() -> None:
    assert not MAY_PASS & (PASSING | FAR_END)
    assert not PASSING & FAR_END
    assert not NEEDS_A_HAND & (PASSING | FAR_END)


@pytest.mark.parametrize("reason", sorted(FAR_END))
def test_the_far_end_is_left_in_peace_for_longer_and_longer(reason: Reason) -> None:
    assert ending_for(Problem(reason=reason, message="m"), Stage.BATCH, LIMITS).after is None


@pytest.mark.parametrize("reason", sorted(LASTING))
def test_what_only_a_person_can_end_and_each_look_costs_calls_is_looked_at_ever_more_rarely(reason: Reason) -> None:
    ending = ending_for(Problem(reason=reason, message="m"), Stage.ANSWER, LIMITS)
    assert isinstance(ending, Stalled)
    assert ending.after is None


@pytest.mark.parametrize(("asked", "given"), [(7.0, 7.0), (0.0, 1.0), (3600.0, 3600.0)])
def test_a_time_that_the_gateway_names_is_kept(asked: float, given: float) -> None:
    for reason in (Reason.RATE_LIMITED, Reason.GATEWAY_UNAUTHORIZED):
        problem = Problem(reason=reason, message="m", retry_after_seconds=asked)
        assert ending_for(problem, Stage.BATCH, LIMITS).after == given


@pytest.mark.parametrize("status", ["queued", "succeeded", "unknown"])
def test_a_status_that_is_not_known_is_told_with_what_to_do(status: str) -> None:
    """What has ended in other words would else be said to run, for ever."""
    ending = decide(build.observation(build.submitted(status))).ending
    assert isinstance(ending, Wait)
    assert ending.reason == Reason.IN_PROGRESS
    assert "is not known" in ending.message
    assert "cancel it there" in ending.message
    assert "not known" not in str(decide(build.observation(build.submitted("in_progress"))).ending)
