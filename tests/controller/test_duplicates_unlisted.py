"""When the gateway's list is searched for further batches, and what follows when it can't be: nothing is held up, and it is told."""

from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.conftest import FIVE
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import LATER, cancels, checked, searches, submitted
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all


async def test_nobody_looks_before_the_settle_period_is_over_and_then_once(
    api: ApiServer, kong: Instance, tmp_path: Path, among: Among
) -> None:
    async with Operator(api, tmp_path, settle_seconds=1.5).running() as operator:
        among.apply(api)
        await among.all_submitted(operator)
        kong.clear_calls()
        for _ in range(3):
            await operator.look()
            await operator.quiet()
        assert not searches(kong)
        await operator.until(lambda: checked(operator))
        kong.advance(3600)
        await operator.until_ended()
        assert len(searches(kong)) == among.count


@pytest.mark.parametrize("details", [{"status": 503}, {"status": 429, "as_": "kong"}], ids=["503", "429"])
async def test_a_list_that_fails_is_no_news_while_the_batch_runs_and_never_holds_results_up(
    operator: Operator, api: ApiServer, kong: Instance, details: Json
) -> None:
    kong.fault("repeat", "batches.create", seconds=LATER)
    apply_all(api, kong, FIVE)
    own = await submitted(operator)
    kong.fault("status", "batches.list", times=-1, **details)
    looks = len(kong.calls("batches.list"))
    await operator.until(lambda: len(kong.calls("batches.list")) > looks + 3)
    assert operator.reason() == Reason.VALIDATING
    kong.advance(3600)
    await operator.until(lambda: operator.status().output)
    assert operator.status().batches[0].id == own
    assert not operator.status().holds("Complete"), "the end waits for a while, the results did not"
    await operator.until_reason(Reason.CLEANING_UP)
    kong.clear_faults()
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert checked(operator)
    assert counted(operator, "duplicate_batches") == 1


async def test_a_list_that_fails_for_good_is_told_of_and_the_job_ends(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, cleanup_timeout_seconds=1).running() as operator:
        apply_all(api, kong, FIVE)
        await submitted(operator)
        kong.fault("status", "batches.list", status=503, times=-1)
        kong.advance(3600)
        await operator.until_ended()
        assert operator.reason() == Reason.SUCCEEDED
        assert not checked(operator)
        await operator.until(lambda: ("Warning", "DuplicatesUnchecked") in operator.events(), None)


async def test_a_list_that_cannot_be_read_to_its_end_is_told_of(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(page_size=5, list_order="oldest", list_follows=False)
    kong.insert_batch(count=6, age_seconds=60, status="completed")
    apply_all(api, kong, FIVE)
    await submitted(operator)
    await operator.until(lambda: checked(operator))
    await operator.until(lambda: ("Warning", "DuplicatesUnchecked") in operator.events(), None)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert operator.events().count(("Warning", "DuplicatesUnchecked")) == 1


async def test_a_gateway_without_a_list_is_not_asked(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.configure(list_supported=False)
    apply_all(api, kong, FIVE)
    await submitted(operator)
    kong.clear_calls()
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert not [call for call in kong.calls("batches.list") if call["query"].get("limit") == "100"]
    assert ("Warning", "DuplicatesUnchecked") not in operator.events()


async def test_a_list_that_fails_holds_no_deletion_and_no_file_of_it(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, cleanup_timeout_seconds=4).running() as operator:
        apply_all(api, kong, FIVE)
        await submitted(operator)
        kong.fault("status", "batches.list", status=503, times=-1)
        api.remove("batchjobs", "job")
        await operator.until(lambda: cancels(kong))
        kong.advance(60)
        await operator.until_gone()
        assert all(file["deleted"] for file in kong.files())
        await operator.until(lambda: ("Warning", "RemoteFilesRetained") in operator.events(), None)
