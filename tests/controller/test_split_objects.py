"""Jobs with several batches whose object is deleted, lost, copied, or whose input changes under way."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE, jsonl
from tests.controller.test_duplicates import cancels, states
from tests.controller.test_restored import restore
from tests.controller.test_split import IDS, SMALL, begun, made, split_job, stored, succeeds
from tests.controller.test_strays import left
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all


@pytest.mark.parametrize("batches", [0, 1, 3])
async def test_its_deletion_cancels_every_batch_and_leaves_no_file(
    operator: Operator, api: ApiServer, kong: Instance, batches: int
) -> None:
    if batches == 0:
        kong.fault("status", "batches.create", status=503, times=-1)
    await begun(operator, api, kong, batches=batches)
    await operator.until(lambda: operator.status().batches)
    ids = set(made(operator))
    api.remove("batchjobs", "job")
    await operator.until(lambda: set(cancels(kong)) >= ids)
    kong.advance(60)
    await operator.until_gone()
    assert set(states(kong).values()) <= {"cancelled"}
    assert left(kong) == []


async def test_an_input_that_changes_after_it_was_cut_is_not_mixed_with_what_was_sent(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await begun(operator, api, kong, batches=1, parallelism=1)
    changed = jsonl("one", "two", "drei", "vier", "fünf")
    api.edit("configmaps", "prompts", {"data": {"batch.jsonl": changed.decode()}})
    kong.advance(3600)
    await operator.until_reason(Reason.INPUT_CHANGED)
    ready = operator.status().condition("Ready")
    assert ready is not None
    assert "put it back as it was" in ready.message
    assert operator.status().holds("Stalled"), "it is a person's"
    assert len(kong.batches()) == 1
    api.edit("configmaps", "prompts", {"data": {"batch.jsonl": FIVE.decode()}})
    await operator.until(lambda: len(made(operator)) == 2)
    kong.advance(3600)
    await operator.until(lambda: len(made(operator)) == 3)
    kong.advance(3600)
    await operator.until_ended()
    assert stored(api) == IDS


async def test_a_status_that_was_lost_is_no_reason_to_order_anything_twice(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path / "first").running() as first:
        await begun(first, api, kong)
        await first.quiet()
        job = first.job()
    api.put("batchjobs", {name: value for name, value in job.items() if name != "status"})
    async with Operator(api, tmp_path / "second", settle_seconds=1).running() as second:
        await second.until_reason(Reason.SUBMISSION_UNKNOWN)
        ready = second.status().condition("Ready")
        assert ready is not None
        assert all(batch["id"] in ready.message for batch in kong.batches())
        api.put("batchjobs", job)
        await succeeds(second, api, kong)
    assert len(kong.batches()) == 3


async def test_a_copy_collects_what_was_ordered_and_orders_nothing(
    operator: Operator, api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    await begun(operator, api, kong, batches=1, parallelism=1)
    await operator.quiet()
    backup = operator.job()
    async with ApiServer().serve() as elsewhere, Operator(elsewhere, tmp_path / "elsewhere").running() as other:
        restore(elsewhere, kong, backup)
        kong.advance(3600)
        await other.until_reason(Reason.RESTORED)
        assert len(kong.calls("batches.create")) == len(kong.batches()) + 0
        before = len(kong.calls("batches.create"))
        await other.quiet()
        assert len(kong.calls("batches.create")) == before
        elsewhere.remove("batchjobs", "job")
        await other.until_gone()
    assert cancels(kong) == []


async def test_a_copy_orders_nothing_in_the_place_of_a_call_that_has_made_no_batch(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.fault("reset_before", "batches.create", skip=1)
    async with Operator(api, tmp_path / "here", settle_seconds=600).running() as operator:
        apply_all(api, kong, FIVE, split_job(), **SMALL)
        await operator.until_reason(Reason.SUBMISSION_PENDING)
        await operator.quiet()
        backup = operator.job()
    async with ApiServer().serve() as elsewhere, Operator(elsewhere, tmp_path / "elsewhere").running() as other:
        restore(elsewhere, kong, backup)
        await other.until_reason(Reason.RESTORED)
        await other.until(lambda: other.status().batches[1].submission is None)
        await other.quiet()
        assert made(other) == [batch["id"] for batch in kong.batches()]
        assert len(kong.calls("batches.create")) == 2
        assert left(kong) == [file["filename"] for file in kong.files()], "the original's files are the original's"


async def held_up(operator: Operator, api: ApiServer, kong: Instance, where: Callable[[Json], bool]) -> None:
    """Hold a write of the status up until somebody else has found something out about the first batch."""
    late = api.fault("hold", "patch", "batchjobs", "status", where=where)
    apply_all(api, kong, FIVE, split_job(), **SMALL)
    await operator.until(lambda: late.times == 0, None)
    job = operator.job()
    job["status"]["batches"][0]["refusedIDs"] = ["batch-of-before"]
    api.put("batchjobs", job)
    late.released.set()


async def test_a_writer_that_was_held_up_takes_nothing_from_the_other_batches(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    def withdraws(body: Json) -> bool:
        status = body.get("status") or {}
        return {"submission", "attempts"} <= status.keys() and status["submission"] is None

    kong.fault("status", "batches.create", skip=1, status=429, retry_after=60)
    await held_up(operator, api, kong, withdraws)
    await operator.until(lambda: operator.status().batches[1].submission is None, None)
    await operator.quiet()
    first, second, _ = operator.status().batches
    assert first.refused_ids == ["batch-of-before"]
    assert (second.submission, second.id) == (None, None)


async def test_a_create_call_that_took_long_takes_nothing_from_the_other_batches(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    def records_the_second(body: Json) -> bool:
        ids = [batch.get("id") for batch in (body.get("status") or {}).get("batches") or []]
        return len(ids) == 3 and bool(ids[1])

    await held_up(operator, api, kong, records_the_second)
    await operator.until(lambda: len(made(operator)) == 3)
    assert operator.status().batches[0].refused_ids == ["batch-of-before"]
    assert len(kong.batches()) == 3
