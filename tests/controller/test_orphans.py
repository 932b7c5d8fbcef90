"""What a deletion leaves at the provider as deletionPolicy.remoteBatch: Orphan says, and names."""

from pathlib import Path

from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.test_deletion_policy import left_behind, told
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator

ORPHAN = {"remoteBatch": "Orphan"}


def named(kong: Instance, event: Json) -> bool:
    """Tell whether an event names all batches and their files."""
    return all(f"batch {batch['id']}, file {batch['input_file_id']}" in event["message"] for batch in kong.batches())


async def test_an_orphan_runs_on_with_its_files_and_is_named(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.apply(api, job=among.job(deletionPolicy=ORPHAN))
    await among.all_submitted(operator)
    api.remove("batchjobs", "job")
    await operator.until_gone()
    event = await told(operator, Reason.REMOTE_BATCH_RETAINED)
    assert not kong.calls("batches.cancel")
    assert not any(file["deleted"] for file in kong.files())
    assert event["type"] == "Normal"
    assert named(kong, event)
    assert left_behind(operator) == 0, "what was asked for is no loss"


async def test_an_orphan_needs_no_gateway(operator: Operator, api: ApiServer, kong: Instance, among: Among) -> None:
    among.apply(api, job=among.job(deletionPolicy=ORPHAN), pollIntervalSeconds=3600)
    await among.all_submitted(operator)
    # A pass that is under way already may ask for something that hangs.
    await operator.until(lambda: operator.status().summary.duplicates_checked_time)
    await operator.quiet()
    kong.fault("hang_after", "*", seconds=60, times=-1)
    api.remove("batchgateways", "kong")
    api.remove("batchjobs", "job")
    await operator.until_gone()


async def test_an_orphan_whose_answer_is_owed_is_not_looked_up_but_told(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    kong.configure(list_lag_seconds=3600)
    among.fault("reset_after", "batches.create")
    async with Operator(api, tmp_path, settle_seconds=600).running() as operator:
        among.apply(api, job=among.job(deletionPolicy=ORPHAN))
        await among.until_reason(operator, Reason.SUBMISSION_PENDING)
        await operator.quiet()
        file = among.batch(operator).input_file_id
    api.remove("batchjobs", "job")
    kong.clear_calls()
    async with Operator(api, tmp_path, settle_seconds=600).running() as operator:
        await operator.until_gone()
        assert all(call["query"] == {"limit": "1"} for call in kong.calls("batches.list")), (
            "only the gateway was checked"
        )
        event = await told(operator, Reason.REMOTE_BATCH_RETAINED)
    assert event["type"] == "Warning", "somebody should look whether there is a batch"
    assert f"perhaps a batch of input file {file}" in event["message"]
    assert not kong.calls("batches.cancel")


async def test_a_part_that_came_to_nothing_has_no_batch_that_is_left_and_its_file_is_deleted(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    among = Among(kong, several=True)
    among.fault("status", "batches.create", status=400, message="No.")
    among.apply(api, job=among.job(deletionPolicy=ORPHAN))
    await operator.until(lambda: among.batch(operator).refusal)
    await among.all_submitted(operator)
    refused = among.batch(operator).input_file_id
    api.remove("batchjobs", "job")
    await operator.until_gone()
    event = await told(operator, Reason.REMOTE_BATCH_RETAINED)
    assert named(kong, event)
    assert "None" not in event["message"]
    assert [file["id"] for file in kong.files() if file["deleted"]] == [refused]
    assert not kong.calls("batches.cancel")
