"""Several API servers whose clocks are minutes apart: no period is over sooner than this process has waited itself."""

import asyncio
from pathlib import Path

import pytest

from llmbatch.api import RESUBMIT_ANNOTATION
from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.conftest import FIVE
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import cancels, checked, states, submitted
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all

APART = 600.0
SETTLE_SECONDS = 2.5


async def another_answers(operator: Operator, api: ApiServer, seconds: float) -> None:
    """Have another API server answer from now on, whose clock is so far ahead."""
    api.clock_offset_seconds += seconds
    await operator.look()
    await operator.quiet()


@pytest.mark.parametrize("apart", [APART, -APART])
async def test_a_settle_period_is_not_over_at_once(
    api: ApiServer, kong: Instance, tmp_path: Path, apart: float
) -> None:
    kong.configure(list_lag_seconds=1.0)
    kong.fault("reset_after", "batches.create")
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until_reason(Reason.SUBMISSION_PENDING)
        await another_answers(operator, api, apart)
        await submitted(operator)
        assert len(kong.calls("batches.create")) == len(kong.batches()) == 1
        await operator.until(lambda: counted(operator, "adoptions"), None)
        assert counted(operator, "adoptions") == 1


async def test_nor_for_a_process_that_finds_the_intent_of_another(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    kong.configure(list_lag_seconds=2.0)
    among.fault("reset_after", "batches.create")
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as first:
        among.apply(api)
        await among.until_reason(first, Reason.SUBMISSION_PENDING)
    api.clock_offset_seconds = APART
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as second:
        await among.submitted(second)
        assert len(among.creates()) == len(among.states()) == 1


async def test_a_persons_word_is_not_taken_before_a_call_can_have_arrived(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.configure(list_supported=False)
    kong.fault("reset_before", "batches.create")
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until_reason(Reason.SUBMISSION_UNKNOWN)
        (first,) = kong.calls("batches.create")
        await another_answers(operator, api, APART)
        api.edit("batchjobs", "job", {"metadata": {"annotations": {RESUBMIT_ANNOTATION: "2"}}})
        await submitted(operator)
        assert kong.calls("batches.create")[1]["time"] - first["time"] >= SETTLE_SECONDS


async def test_other_batches_are_not_looked_for_before_they_can_be_there(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as operator:
        apply_all(api, kong, FIVE)
        await submitted(operator)
        (made,) = kong.calls("batches.create")
        await another_answers(operator, api, APART)
        await operator.until(lambda: checked(operator))
        looked = [call["time"] for call in kong.calls("batches.list") if call["query"].get("limit") == "100"]
        assert min(looked) - made["time"] >= SETTLE_SECONDS


async def test_a_deletion_takes_the_clean_up_time(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    async with Operator(api, tmp_path, cleanup_timeout_seconds=2).running() as operator:
        apply_all(api, kong, FIVE)
        await submitted(operator)
        kong.fault("status", "*", status=503, times=-1)
        began = asyncio.get_running_loop().time()
        api.remove("batchjobs", "job")
        api.clock_offset_seconds += APART
        await operator.until_gone()
        assert asyncio.get_running_loop().time() - began >= 2


async def test_a_deletion_cancels_the_batch_though_the_time_seems_to_be_over(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.apply(api)
    await among.all_submitted(operator)
    api.remove("batchjobs", "job")
    api.clock_offset_seconds += APART
    await operator.until(lambda: set(cancels(kong)) == states(kong).keys())
    kong.advance(60)
    await operator.until_gone()
    assert all(file["deleted"] for file in kong.files())
