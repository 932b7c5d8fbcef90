"""A destination that will never take the results is told once; of those that are stored, spec.successPolicy has the last word."""

import math

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.decision import Collect, Decision, Finish, Stalled
from llmbatch.job.pure.decide import decide
from tests.support import build
from tests.support.build import observation


def stalled(reason: Reason, generation: int = 1) -> Decision:
    condition = build.condition("Stalled", "True", reason.value, message="told")
    return decide(observation(build.submitted("completed", conditions=[condition]), generation=generation))


@pytest.mark.parametrize("reason", [Reason.OUTPUT_TOO_LARGE, Reason.OUTPUT_UNSUPPORTED])
def test_a_destination_that_will_never_take_the_results_is_not_tried_again(reason: Reason) -> None:
    assert stalled(reason) == Decision(Stalled(reason, "told", after=math.inf, aspect="ResultsStored"))
    assert stalled(reason, generation=2).effect == Collect()


@pytest.mark.parametrize("reason", [Reason.OUTPUT_EXISTS, Reason.OUTPUT_INVALID, Reason.VOLUME_FULL])
def test_one_that_may_take_them_once_somebody_has_seen_to_it_is(reason: Reason) -> None:
    assert stalled(reason).effect == Collect()


@pytest.mark.parametrize(("completed", "reason"), [(5, Reason.SUCCEEDED), (4, Reason.COMPLETED_WITH_FAILURES)])
@pytest.mark.parametrize("remote", ["completed", "expired", "cancelled", "failed"])
def test_what_the_success_policy_asks_for_is_enough_however_the_batch_has_ended(
    completed: int, reason: Reason, remote: str
) -> None:
    spec = build.spec(successPolicy={"minSucceeded": "80%"})
    effect = decide(build.observation(build.stored(5, completed, remote), spec=spec)).effect
    assert isinstance(effect, Finish)
    assert (effect.reason, effect.complete) == (reason, True)
