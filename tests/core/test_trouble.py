"""How a job ends a pass when something is in its way."""

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.core.decision import Stalled, Wait
from llmbatch.core.observation import Stage
from llmbatch.core.plan import Problem
from llmbatch.core.trouble import ASPECTS, FAR_END, PASSING, POD_SECONDS, ending_for
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
    assert isinstance(ending, Wait if reason in PASSING | FAR_END else Stalled)
    assert (ending.reason, ending.message, ending.aspect) == (reason, "told", ASPECTS.get(stage, ""))
    assert ending.after in (None, POD_SECONDS, LIMITS.recheck_seconds)


def test_each_reason_is_of_one_kind() -> None:
    assert not PASSING & FAR_END
    assert not NEEDS_A_HAND & (PASSING | FAR_END)


@pytest.mark.parametrize("reason", sorted(FAR_END))
def test_the_far_end_is_left_in_peace_for_longer_and_longer(reason: Reason) -> None:
    assert ending_for(Problem(reason=reason, message="m"), Stage.BATCH, LIMITS).after is None


@pytest.mark.parametrize(("asked", "given"), [(7.0, 7.0), (0.0, 1.0), (3600.0, 3600.0)])
def test_a_time_that_the_gateway_names_is_kept(asked: float, given: float) -> None:
    for reason in (Reason.RATE_LIMITED, Reason.GATEWAY_UNAUTHORIZED):
        problem = Problem(reason=reason, message="m", retry_after_seconds=asked)
        assert ending_for(problem, Stage.BATCH, LIMITS).after == given
