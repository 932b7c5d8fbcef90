"""Steps that are taken in one pass: what happens to the object in between is not overlooked, and nothing is lost."""

import asyncio
from pathlib import Path

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all


async def under_way(operator: Operator, kong: Instance) -> None:
    """Wait until the input is being uploaded."""
    await operator.until(lambda: kong.calls("files.create"), None)


async def test_what_is_changed_while_the_input_is_uploaded_counts_for_the_order(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("hang_after", "files.create", seconds=5)
    apply_all(api, kong, FIVE, build.batchjob(metadata={"team": "before"}))
    await under_way(operator, kong)
    # Before it is told of: that write must not take the change for what was seen.
    api.edit("batchjobs", "job", {"spec": {"metadata": {"team": "after"}}})
    await operator.until_reason(Reason.VALIDATING)
    (batch,) = kong.batches()
    assert batch["metadata"]["team"] == "after"
    assert len(kong.calls("files.create")) == 1


async def test_a_finalizer_that_is_taken_off_while_the_input_is_uploaded_is_on_before_the_order(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("hang_after", "files.create", seconds=5)
    apply_all(api, kong, FIVE)
    await under_way(operator, kong)
    api.edit("batchjobs", "job", {"metadata": {"finalizers": None}})
    await operator.until_reason(Reason.VALIDATING)
    intents = [found for found in api.stored if found["_plural"] == "batchjobs" and _has_intent(found)]
    assert intents
    assert all(found["metadata"].get("finalizers") for found in intents)
    assert len(kong.batches()) == 1


def _has_intent(found: dict[str, object]) -> bool:
    status = found.get("status")
    return isinstance(status, dict) and any(batch.get("submission") for batch in status.get("batches") or [])


async def test_an_operator_that_is_stopped_while_the_input_is_uploaded_keeps_the_file(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.configure(list_supported=False)
    async with Operator(api, tmp_path).running() as operator:
        kong.fault("hang_after", "files.create", seconds=1)
        apply_all(api, kong, FIVE)
        await under_way(operator, kong)
    async with Operator(api, tmp_path).running() as operator:
        await operator.until_reason(Reason.VALIDATING)
    assert len(kong.calls("files.create")) == 1


async def test_results_go_where_the_spec_says_when_they_are_stored_though_the_watch_was_silent(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    await operator.quiet()
    api.on_change.clear()
    api.edit("batchjobs", "job", {"spec": {"output": {"secret": {"name": "elsewhere", "key": "r.jsonl"}}}})
    # What the API server answered last is not of just now any more.
    await asyncio.sleep(1.2)
    kong.advance(3600)
    await operator.until_ended()
    assert api.get("secrets", "results") is None
    assert api.get("secrets", "elsewhere") is not None
    assert "elsewhere" in operator.status().model_dump()["output"]["location"]
