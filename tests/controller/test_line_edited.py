"""Limits that are edited while a job has some of its batches at the provider, and others in line for tokens."""

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.controller.test_line_for_tokens import ALL, ONE, job
from tests.controller.test_line_goes_on import batches
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(0, (Reason.VALIDATING, 3)), (ALL, (Reason.VALIDATING, 3)), (ONE, (Reason.QUOTA_IMPOSSIBLE, 1))],
    ids=["taken away", "raised", "lowered"],
)
async def test_a_part_in_line_is_looked_at_when_the_limit_is_edited_and_not_when_the_part_beside_it_is_polled(
    operator: Operator, api: ApiServer, kong: Instance, limit: int, expected: tuple[Reason, int]
) -> None:
    apply_all(api, kong, FIVE, job("a"), limits={"maxEnqueuedTokens": 2 * ONE}, pollIntervalSeconds=3600)
    await operator.until(lambda: batches(operator, "a") == 1 and operator.status("a").queue is not None, None)
    await operator.quiet()
    api.edit("batchgateways", "kong", {"spec": {"limits": {"maxEnqueuedTokens": limit}}})
    await operator.until(lambda: (operator.reason("a"), batches(operator, "a")) == expected, None)
    assert operator.status("a").queue is None
