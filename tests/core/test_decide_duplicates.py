"""When the gateway's list is searched for further batches of a job, and what never waits for that."""

from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.decision import Collect, FindDuplicates
from llmbatch.batch.pure.observation import Observation
from llmbatch.job.pure.decide import decide
from tests.core.test_decide import AWAY, ERR, IN, OUT, ends, fails, shape, waits
from tests.support import build
from tests.support.build import observation

LATELY = "2026-03-01T11:58:01Z"
SETTLED = build.submitted(conditions=[build.condition("Submitted")], submissionTime="2026-03-01T12:09:00Z")
TOLD = build.submitted(submissionTime="2026-03-01T11:57:59Z")
CHECKED = {"duplicatesCheckedTime": "2026-03-01T11:59:00Z"}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        *(
            pytest.param(observation(status, **given), waits(reason, after, FindDuplicates()), id=name)
            for name, status, given, reason, after in (
                ("a batch made long enough ago", SETTLED, {"poll_in": 9}, Reason.IN_PROGRESS, 9),
                ("by its time if no condition tells", TOLD, {}, Reason.IN_PROGRESS, 0.05),
                ("a batch of no use, once", build.submitted("cancelled"), {"unrecorded": True}, Reason.COLLECTING, 0.0),
                ("a refused batch", build.submitted("failed"), {}, Reason.COLLECTING, 0.0),
                ("at the latest when the results are stored", build.stored(), {}, Reason.CLEANING_UP, 0.0),
            )
            for given in ({"may_list": True, **given},)
        ),
        pytest.param(
            observation(
                build.submitted(conditions=[build.condition("Submitted", lastTransitionTime=LATELY)]), may_list=True
            ),
            waits(Reason.IN_PROGRESS, 0.05),
            id="a retry may still be under way: it is looked for later",
        ),
        pytest.param(observation(SETTLED), waits(Reason.IN_PROGRESS, 0.05), id="without a list nothing is looked for"),
        pytest.param(
            observation(build.status(**{**SETTLED.dump(), **CHECKED}), may_list=True),
            waits(Reason.IN_PROGRESS, 0.05),
            id="once is enough",
        ),
        pytest.param(
            observation(SETTLED, may_list=True, trouble=AWAY),
            waits(Reason.GATEWAY_UNREACHABLE, None),
            id="a gateway that is away is not asked",
        ),
        pytest.param(
            observation(build.submitted("completed"), may_list=True),
            waits(Reason.COLLECTING, 0.0, Collect()),
            id="results never wait for it",
        ),
        pytest.param(
            observation(build.submitted("cancelled"), may_list=True),
            waits(Reason.COLLECTING, 0.0, Collect()),
            id="not even those of a cancelled batch",
        ),
        pytest.param(
            observation(build.stored(), may_list=True, unrecorded=True),
            waits(Reason.CLEANING_UP),
            id="stored results are recorded before it",
        ),
        pytest.param(
            observation(build.stored(output={"storedTime": "2026-03-01T11:50:00Z"}), may_list=True),
            ends(Reason.SUCCEEDED, IN, OUT, ERR),
            id="the end does not wait for ever",
        ),
        pytest.param(
            observation(build.submitted("failed", {"completedAt": "2026-03-01T11:50:00Z"}), may_list=True),
            fails(Reason.BATCH_FAILED, IN),
            id="nor does a refusal",
        ),
    ],
)
def test_others_may_exist(seen: Observation, expected: tuple[Any, ...]) -> None:
    assert shape(decide(seen)) == expected
