"""What one gateway's batches lack keeps nobody waiting who shares the quota; and where those stand whose files are uploaded."""

from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.controller.test_line_for_tokens import ALL, NAMES, gateway, job, jobs, queue, running, settled
from tests.controller.test_line_goes_on import apply_other, group
from tests.controller.test_shortage import BILLING, QUOTA
from tests.controller.test_slots import finish
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Json, Operator, apply_all


async def test_files_that_wait_for_a_place_at_one_gateway_keep_no_other_of_the_quota_waiting(
    operator: Operator, api: ApiServer, kong: Instance, emulator: EmulatorServer
) -> None:
    shared = group(3 * ALL)
    apply_all(api, kong, FIVE, *jobs("a", "b", "c"), limits={**shared["limits"], "maxActiveBatches": 1})
    await operator.until(lambda: [operator.reason(name) for name in "abc"].count(Reason.WAITING_FOR_SLOT) == 2, None)
    apply_other(api, emulator, 3 * ALL)
    await operator.until(lambda: running(operator, "other"), None)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param((QUOTA, Reason.QUOTA_EXCEEDED), id="quota"),
        pytest.param((BILLING, Reason.BILLING_LIMIT), id="billing"),
    ],
)
async def test_who_is_refused_by_an_account_of_his_own_keeps_no_other_of_the_quota_waiting(
    operator: Operator, api: ApiServer, kong: Instance, emulator: EmulatorServer, trouble: tuple[Json, Reason]
) -> None:
    refusal, reason = trouble
    kong.fault("status", "batches.create", status=400, message=refusal["message"], times=-1)
    apply_all(api, kong, FIVE, *jobs("a", "b"), **group(2 * ALL))
    await operator.until(lambda: [operator.reason(name) for name in "ab"] == [reason, reason], None)
    apply_other(api, emulator, 2 * ALL)
    await operator.until(lambda: running(operator, "other"), None)


async def test_a_refused_batch_tries_again_as_soon_as_another_one_has_ended(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.configure(quota_tokens=2 * (len(FIVE) // 4) + 1, quota_fail_fast=True)
    # Its own next time is after ten minutes.
    async with Operator(api, tmp_path, recheck_seconds=150).running() as operator:
        apply_all(api, kong, FIVE, *jobs("a", "b"), limits={"maxEnqueuedTokens": 5 * ALL})
        await operator.until(lambda: len(running(operator, "a", "b")) == 2, None)
        api.put("batchjobs", job("c", 2))
        await operator.until(lambda: operator.reason("c") == Reason.QUOTA_EXCEEDED, None)
        await operator.quiet()
        calls = len(kong.calls("batches.create"))
        await operator.until_reason(Reason.QUOTA_EXCEEDED, "c")
        assert len(kong.calls("batches.create")) == calls == 3
        await finish(operator, kong, "a")
        await operator.until(lambda: running(operator, "c") == ["c"], None)
        assert len(kong.calls("batches.create")) == calls + 1


async def test_those_whose_files_are_uploaded_have_places_of_their_own(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(quota_tokens=2 * (len(FIVE) // 4) + 1, quota_fail_fast=True)
    apply_all(api, kong, FIVE, *jobs(*NAMES), limits={"maxEnqueuedTokens": 5 * ALL})
    await operator.until(lambda: gateway(api).queued_batches == 3, None)
    await settled(operator, 2)
    waiting = [name for name in NAMES if operator.status(name).queue is not None]
    assert len({queue(operator, name).position for name in waiting}) > 1
    assert min(queue(operator, name).ahead_tokens for name in waiting) == 0
