"""When the gateway's list is searched for further batches, and what follows when it can't be: nothing is held up, and it is told."""

from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import LATER, cancels, checked, searches
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator


async def test_nobody_looks_before_the_settle_period_is_over_and_then_once(
    api: ApiServer, kong: Instance, tmp_path: Path, among: Among
) -> None:
    async with Operator(api, tmp_path, settle_seconds=1.5 * among.count).running() as operator:
        among.apply(api)
        await among.all_submitted(operator)
        for _ in range(3):
            await operator.look()
            await operator.quiet()
        assert not any(batch.duplicates_checked_time for batch in operator.status().batches)
        # Several batches are polled by way of the list as well.
        assert among.count > 1 or not searches(kong)
        await operator.until(lambda: checked(operator))
        kong.advance(3600)
        await operator.until_ended()
        assert among.count > 1 or len(searches(kong)) == 1


@pytest.mark.parametrize("details", [{"status": 503}, {"status": 429, "as_": "kong"}], ids=["503", "429"])
async def test_a_list_that_fails_is_no_news_while_the_batch_runs_and_never_holds_results_up(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, details: Json
) -> None:
    among.fault("repeat", "batches.create", seconds=LATER)
    among.apply(api)
    await among.all_submitted(operator)
    kong.fault("status", "batches.list", times=-1, **details)
    # On a busy machine a search may have been made before.
    own = await among.submitted(operator)
    looks = len(kong.calls("batches.list"))
    await operator.until(lambda: len(kong.calls("batches.list")) > looks + 3)
    assert among.reason(operator) == Reason.VALIDATING
    kong.advance(3600)
    await operator.until(lambda: operator.status().output)
    assert among.batch(operator).id == own
    assert not operator.status().holds("Complete"), "the end waits for a while, the results did not"
    await among.until_reason(operator, Reason.CLEANING_UP)
    kong.clear_faults()
    await among.ended(operator, seconds=0)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert among.checked(operator)
    assert counted(operator, "duplicate_batches") == 1


async def test_a_list_that_fails_for_good_is_told_of_and_the_job_ends(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, settle_seconds=60).running() as operator:
        among.apply(api, job=among.job(deletionPolicy={"cleanupTimeoutSeconds": 1}))
        await among.all_submitted(operator)
        kong.fault("status", "batches.list", status=503, times=-1)
        await among.ended(operator)
        assert among.reason(operator) == Reason.SUCCEEDED
        assert not among.checked(operator)
        await operator.until(lambda: operator.events().count(("Warning", "DuplicatesUnchecked")) == among.count, None)


async def test_a_list_that_cannot_be_read_to_its_end_is_told_of(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    kong.configure(page_size=5, list_order="oldest", list_follows=False)
    kong.insert_batch(count=6, age_seconds=60, status="completed")
    among.apply(api)
    await among.submitted(operator)
    await operator.until(lambda: among.checked(operator))
    await operator.until(lambda: ("Warning", "DuplicatesUnchecked") in operator.events(), None)
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    told = [event["message"] for event in api.objects("events") if event["reason"] == "DuplicatesUnchecked"]
    assert len(told) == len(set(told)) == among.count, "once of each batch"


async def test_a_gateway_without_a_list_is_not_asked(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    kong.configure(list_supported=False)
    among.apply(api)
    await among.submitted(operator)
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert not searches(kong)
    assert ("Warning", "DuplicatesUnchecked") not in operator.events()


async def test_a_list_that_fails_holds_no_deletion_and_no_file_of_it(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path).running() as operator:
        # Three batches take longer to be cancelled on a busy machine, and the files go in the half that is left.
        among.apply(api, job=among.job(deletionPolicy={"cleanupTimeoutSeconds": 12 if among.several else 4}))
        await among.submitted(operator)
        ordered = len(kong.batches())
        kong.fault("status", "batches.list", status=503, times=-1)
        api.remove("batchjobs", "job")
        await operator.until(lambda: len(set(cancels(kong))) >= ordered)
        kong.advance(60)
        await operator.until_gone()
        assert [file["filename"] for file in kong.files() if not file["deleted"]] == []
        await operator.until(lambda: ("Warning", "RemoteFilesRetained") in operator.events(), None)
