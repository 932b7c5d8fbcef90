"""Deletion leaves nothing behind, and never waits for ever."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api import FINALIZER
from llmbatch.api.base import timestamp
from tests.controller.among import Among
from tests.controller.conftest import FIVE
from tests.controller.test_duplicates import cancels, states
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, config_map


async def test_a_job_without_anything_at_the_provider_goes_at_once(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    api.put("batchgateways", build.batchgateway(kong.url))
    api.put("batchjobs", build.batchjob())
    await operator.until_reason("InputNotFound")
    api.remove("batchjobs", "job")
    await operator.until_gone()
    assert not kong.calls("files.create")


async def test_the_finalizer_is_there_before_the_first_remote_write(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "files.create", status=503, times=-1)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: kong.calls("files.create"))
    first = next(item for item in api.stored if FINALIZER in (item["metadata"].get("finalizers") or []))
    assert "batches" not in first.get("status", {})


async def test_a_running_batch_is_cancelled_and_its_files_are_deleted(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    api.remove("batchjobs", "job")
    await operator.until(lambda: operator.status().phase == "Deleting")
    kong.advance(3600)
    await operator.until_gone()
    assert [batch["object"]["status"] for batch in kong.batches()] == ["cancelled"]
    # A call whose answer could not be stored, since the object had just changed, is made again.
    assert {call["path"] for call in kong.calls("batches.cancel")} == {f"/batches/{kong.batches()[0]['id']}/cancel"}
    assert all(file["deleted"] for file in kong.files())


async def test_a_batch_that_ended_meanwhile_is_polled_and_not_cancelled_again_and_again(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.apply(api, pollIntervalSeconds=3600)
    await among.all_submitted(operator)
    await operator.quiet()
    kong.advance(3600)
    api.remove("batchjobs", "job")
    await operator.until(lambda: api.get("batchjobs", "job") is None, None)
    # A call whose answer could not be stored, since the object had just changed, is made again.
    assert set(cancels(kong)) == states(kong).keys()
    assert all(file["deleted"] for file in kong.files())


async def test_an_owed_answer_is_looked_up_first(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("reset_after", "batches.create")
    among.apply(api)
    await operator.until(among.creates, None)
    api.remove("batchjobs", "job")
    await operator.until(lambda: among.states().keys() <= set(cancels(kong)) == states(kong).keys())
    kong.advance(3600)
    await operator.until_gone()
    assert len(among.states()) == 1


OTHERS = "example.com/others"


@pytest.mark.parametrize("given", [{}, {"deletionPolicy": {"remoteBatch": "Orphan"}}], ids=["cancel", "orphan"])
async def test_one_that_others_hold_on_to_says_to_its_very_end_that_it_is_at_work(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, given: dict[str, Any]
) -> None:
    # As a deletion in the foreground does, with which Argo CD prunes.
    among.apply(api, job=among.job(metadata={"finalizers": [OTHERS]}, **given))
    await among.all_submitted(operator)
    await operator.until(lambda: FINALIZER in operator.job()["metadata"]["finalizers"])
    api.remove("batchjobs", "job")
    await operator.until(lambda: operator.status().phase == "Deleting")
    kong.advance(3600)
    await operator.until(lambda: operator.job()["metadata"]["finalizers"] == [OTHERS])
    await operator.quiet()
    said = {item.type: item.status for item in operator.status().conditions}
    assert (said["Ready"], said.get("Reconciling"), said.get("Stalled")) == ("Unknown", "True", None)
    api.edit("batchjobs", "job", {"metadata": {"finalizers": None}})
    await operator.until_gone()


async def test_it_is_bounded_when_the_gateway_is_down(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    async with Operator(api, tmp_path).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until(lambda: operator.status().summary.submission_time)
        kong.fault("status", "*", status=503, times=-1)
        api.remove("batchjobs", "job")
        await operator.until(lambda: kong.calls("batches.cancel"))
        assert operator.job()["metadata"]["finalizers"] == [FINALIZER], "it waits for the gateway for a while"
        # Time goes by: five minutes, by the moment at which it was deleted.
        long_ago = timestamp(datetime.now(UTC) - timedelta(seconds=600))
        job = operator.job()
        api.put("batchjobs", {**job, "metadata": {**job["metadata"], "deletionTimestamp": long_ago}})
        await operator.until_gone()
        await operator.until(lambda: ("Warning", "RemoteFilesRetained") in operator.events(), None)
        assert operator.runtime.metrics.registry.get_sample_value("llmbatch_left_behind_total") == 1


async def test_the_last_known_gateway_serves_in_a_namespace_that_is_being_deleted(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.apply(api)
    await among.all_submitted(operator)
    for plural, name in (("batchgateways", "kong"), ("configmaps", "prompts"), ("batchjobs", "job")):
        api.remove(plural, name)
    kong.advance(3600)
    await operator.until_gone()
    assert all(file["deleted"] for file in kong.files())


async def test_results_whose_volume_is_gone_do_not_hold_a_deletion(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    volume = {"persistentVolumeClaim": {"claimName": "data", "path": "out/r.jsonl"}}
    api.put("persistentvolumeclaims", config_map("data", "unused", b""))
    apply_all(api, kong, FIVE, build.batchjob(output=volume))
    await operator.until(lambda: operator.status().summary.submission_time)
    api.remove("persistentvolumeclaims", "data")
    kong.advance(3600)
    await operator.until_reason("VolumeClaimNotFound")
    api.remove("batchjobs", "job")
    await operator.until_gone()
    assert all(file["deleted"] for file in kong.files())


async def test_finalizers_of_others_are_left_alone(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.apply(api, job=among.job(metadata={"finalizers": ["example.com/others"]}))
    await among.all_submitted(operator)
    api.remove("batchjobs", "job")
    kong.advance(3600)
    await operator.until(lambda: operator.job()["metadata"]["finalizers"] == ["example.com/others"])
    await operator.quiet()
    assert all(file["deleted"] for file in kong.files())


async def test_an_ended_job_waits_for_nobody(operator: Operator, api: ApiServer, among: Among) -> None:
    among.apply(api)
    await among.ended(operator)
    await operator.until(lambda: not operator.job()["metadata"].get("finalizers"))
    api.remove("batchjobs", "job")
    assert api.get("batchjobs", "job") is None
    assert api.get("secrets", "results") is not None, "results outlive their job"


async def test_it_does_not_stand_in_line_behind_polls_that_wait_for_their_minute(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.configure(list_supported=False)
    names = [f"job-{number}" for number in range(30)]
    async with Operator(api, tmp_path, workers=8, cleanup_timeout_seconds=15, settle_seconds=60).running() as operator:
        apply_all(api, kong, FIVE, *map(build.batchjob_apart, names))
        await operator.until(lambda: all(operator.batch(name).id for name in names), None)
        # A call each second, where thirty polls would be due.
        api.edit("batchgateways", "kong", {"spec": {"limits": {"requestsPerMinute": 60}}})
        kong.clear_calls()
        # What may come at once is used up then, and all are due.
        await operator.until(lambda: len(kong.calls("batches.get")) >= len(names) // 2, None)
        # Whoever was asked about last stands behind all others.
        batch = kong.calls("batches.get")[-1]["path"].split("/")[-1]
        (name,) = [name for name in names if operator.batch(name).id == batch]
        await asyncio.sleep(2)
        api.remove("batchjobs", name)
        await operator.until(lambda: api.get("batchjobs", name) is None, None)
        assert batch in cancels(kong)


async def test_a_file_of_which_no_batch_was_made_is_deleted_though_nothing_can_be_asked_about_it(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    kong.configure(file_pending_seconds=600)
    among.apply(api, pollIntervalSeconds=1)
    await operator.until(lambda: operator.reason() == "FilePending")
    kong.fault("status", "files.get", status=503, times=-1)
    api.remove("batchjobs", "job")
    await operator.until_gone()
    assert all(file["deleted"] for file in kong.files())
