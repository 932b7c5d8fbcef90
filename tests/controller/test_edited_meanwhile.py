"""Status writes that meet a conflict: with somebody who edits the object, and with a leader that knows more."""

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.lines import FIVE
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all


async def test_what_another_leader_has_found_out_of_a_batch_is_not_taken_back(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    late = api.fault(
        "hold", "patch", "batchjobs", "status", where=lambda body: "duplicatesCheckedTime" in entry_of(body)
    )
    apply_all(api, kong, FIVE)
    await operator.until(lambda: late.times == 0, None)
    # Frozen just before its write arrives; in the meantime the next leader has seen the batch end.
    job = operator.job()
    status, said = job["status"], ("Ready", "Reconciling")
    told = [{**item, "reason": "Collecting"} if item["type"] in said else item for item in status["conditions"]]
    entry = {**status["batches"][0], "status": "completed"}
    api.put("batchjobs", {**job, "status": {**status, "phase": "Collecting", "batches": [entry], "conditions": told}})
    kong.fault("status", "batches.get", status=503, times=-1)
    late.released.set()
    await operator.quiet()
    assert operator.batch().status == "completed"


@pytest.mark.parametrize("deleted", [False, True])
async def test_an_edit_meanwhile_takes_nothing_from_what_is_written_of_a_batch(
    operator: Operator, api: ApiServer, kong: Instance, *, deleted: bool
) -> None:
    late = api.fault(
        "hold", "patch", "batchjobs", "status", where=lambda body: entry_of(body).get("status") == "completed"
    )
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    kong.advance(3600)
    await operator.until(lambda: late.times == 0)
    written = len(api.writes("batchjobs"))
    if deleted:
        # While the watch is silent: the pass under way does not know of it.
        api.on_change.clear()
        api.remove("batchjobs", "job")
    else:
        api.edit("batchjobs", "job", {"metadata": {"labels": {"edited": "true"}}})
    late.released.set()
    await operator.until(lambda: len(api.writes("batchjobs")) > written, None)
    # What is said of the job fits what is said of its batch in every status that was stored; see the fixture.
    assert operator.batch().status == "completed"


def entry_of(body: Json) -> Json:
    """Give what a status write says of the job's batch."""
    entry: Json = (body["status"].get("batches") or [{}])[0]
    return entry
