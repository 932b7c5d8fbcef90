"""The line for tokens goes on by itself, whatever befalls those who stand in it or were let go."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.bench.life import passes
from tests.controller.conftest import FIVE
from tests.controller.test_line_for_tokens import ALL, ONE, job, running
from tests.controller.test_shortage import QUOTA
from tests.controller.test_slots import finish
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Json, Operator, apply_all, config_map
from tests.support.kubelet import Kubelet

TWO: Json = {"configMap": {"name": "two", "key": "batch.jsonl"}}
SECONDS: Json = {"validating_seconds": 60, "in_progress_seconds": 600, "finalizing_seconds": 60}


def batches(operator: Operator, name: str) -> int:
    """Count the batches that a job's status knows."""
    return sum(batch.id is not None for batch in operator.status(name).batches)


def group(tokens: int) -> Json:
    return {"limits": {"maxEnqueuedTokens": tokens, "quotaGroup": "shared"}}


def apply_first(api: ApiServer, kong: Instance, *jobs: Json, **gateway: Any) -> None:
    """Apply jobs, and an input of two lines besides, of which further ones can be made."""
    api.put("configmaps", config_map("two", "batch.jsonl", b"".join(FIVE.splitlines(keepends=True)[:2])))
    apply_all(api, kong, FIVE, *jobs, **gateway)


def apply_other(api: ApiServer, emulator: EmulatorServer, tokens: int, **given: Any) -> Instance:
    """Apply a job of another gateway with the same quota; answers what is behind that."""
    other = emulator.instance(**SECONDS)
    api.put("batchgateways", build.batchgateway(other.url, "other", **group(tokens)))
    api.put("batchjobs", job("other", 9, gatewayRef={"name": "other"}, **given))
    return other


NO_SECRET: Json = {"headers": [{"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "none", "key": "none"}}}]}


@pytest.mark.parametrize("trouble", [Reason.UPLOAD_UNANSWERED, Reason.CREDENTIALS_NOT_FOUND])
async def test_a_batch_whose_upload_fails_keeps_no_other_gateway_of_the_quota_waiting(
    operator: Operator, api: ApiServer, kong: Instance, emulator: EmulatorServer, trouble: Reason
) -> None:
    kong.fault("status", "files.create", status=503, times=-1)
    apply_all(api, kong, FIVE, job("a"), **group(ALL))
    await operator.until(lambda: kong.calls("files.create"), None)
    if trouble is Reason.CREDENTIALS_NOT_FOUND:
        api.edit("batchgateways", "kong", {"spec": NO_SECRET})
    await operator.until(lambda: operator.reason("a") == trouble, None)
    apply_other(api, emulator, ALL)
    await operator.until(lambda: running(operator, "other"), None)


async def test_a_part_that_came_to_nothing_leaves_its_tokens_to_the_next(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("garbled", "files.create", skip=1, message='{"id": "", "object": "file"}')
    kong.fault("status", "files.list", status=404, times=-1, skip=1)
    apply_all(api, kong, FIVE, job("a"), limits={"maxEnqueuedTokens": 2 * ONE})
    await operator.until(lambda: batches(operator, "a") == 1, None)
    kong.advance(3600)
    await operator.until(lambda: batches(operator, "a") == 2, None)
    refused = operator.status("a").batches[1].refusal
    assert refused is not None
    assert refused.reason == Reason.UNUSABLE_ID


async def test_a_part_that_stands_in_line_after_a_failed_upload_is_called_though_another_part_has_ended(
    operator: Operator, api: ApiServer, kong: Instance, emulator: EmulatorServer
) -> None:
    apply_first(api, kong, job("a"), **group(2 * ONE))
    await operator.until(lambda: batches(operator, "a") == 1, None)
    kong.fault("status", "files.create", status=503, times=-1)
    kong.advance(3600)
    await operator.until(lambda: operator.reason("a") == Reason.UPLOAD_UNANSWERED, None)
    other = apply_other(api, emulator, 2 * ONE, input=TWO)
    await operator.until(lambda: running(operator, "other"), None)
    kong.clear_faults()
    # Whatever of the job is edited, the upload is tried at once.
    api.edit("batchjobs", "a", {"spec": {"priority": 1}})
    await operator.until(lambda: operator.status("a").queue is not None, None)
    await operator.quiet()
    other.advance(3600)
    await operator.until(lambda: operator.status("other").completion_time, "other")
    await operator.until(lambda: batches(operator, "a") == 2, None)


def waits(operator: Operator, name: str) -> bool:
    """Tell whether a batch of a job waits for a place."""
    states = [batch.state for batch in operator.status(name).batches if batch.id is None]
    return any(state is not None and state.reason == Reason.WAITING_FOR_SLOT for state in states)


async def test_who_waits_behind_a_refused_batch_keeps_no_place_from_it(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    limits = {"maxEnqueuedTokens": 100 * ONE, "maxActiveBatches": 2, "maxRequestsPerFile": 3}
    apply_first(api, kong, job("youngest", 2, input=TWO), limits=limits)
    await operator.until(lambda: batches(operator, "youngest") == 1, None)
    refused = {"llmbatch_uid": operator.job("youngest")["metadata"]["uid"]}
    kong.configure(only=refused, forced_errors=[QUOTA], validating_seconds=300)
    api.put("batchjobs", job("of-two-parts", 1))
    await operator.until(lambda: batches(operator, "of-two-parts") == 1 and waits(operator, "of-two-parts"), None)
    api.put("batchjobs", job("oldest", 0, input=TWO))
    await operator.until(lambda: waits(operator, "oldest"), None)
    kong.advance(301)
    await operator.until(lambda: batches(operator, "youngest") == 0, "youngest")
    kong.configure(forced_errors=[])
    await operator.until(lambda: batches(operator, "oldest") == 1 and waits(operator, "youngest"), None)
    kong.advance(900)
    await operator.until(lambda: operator.status("of-two-parts").batches[0].status == "completed", "of-two-parts")
    # There is a place now: for the refused one, behind which the second part waits.
    await operator.until(lambda: batches(operator, "youngest") == 1, None)


@pytest.mark.parametrize("limits", [{"maxActiveBatches": 1}, {"maxEnqueuedTokens": ALL}], ids=["place", "tokens"])
async def test_who_is_said_by_another_hand_to_wait_for_something_else_is_called_all_the_same(
    operator: Operator, api: ApiServer, kong: Instance, limits: Json
) -> None:
    apply_all(api, kong, FIVE, job("runs"), limits=limits)
    await operator.until(lambda: running(operator, "runs"), None)
    api.put("batchjobs", job("waits", 1))
    await operator.until(lambda: operator.reason("waits") in (Reason.WAITING_FOR_SLOT, Reason.QUOTA_EXCEEDED), None)
    await operator.quiet()
    # An old leader's last write, or a person's.
    stored = operator.job("waits")
    said = [{**item, "reason": "Uploading"} for item in stored["status"]["conditions"]]
    status = {name: value for name, value in stored["status"].items() if name not in ("queue", "parts", "batches")}
    whole = {**stored["status"], "conditions": said} if "maxActiveBatches" in limits else {**status, "conditions": said}
    api.put("batchjobs", {**stored, "status": whole})
    await operator.quiet()
    await finish(operator, kong, "runs")
    await operator.until(lambda: running(operator, "waits"), None)


async def test_an_upload_that_goes_on_in_its_pod_has_its_tokens_after_a_moments_trouble_too(
    operator: Operator, api: ApiServer, kong: Instance, kubelet: Kubelet
) -> None:
    place: Json = {"persistentVolumeClaim": {"claimName": "data", "path": "batch.jsonl"}}
    (kubelet.volume("data") / "batch.jsonl").write_bytes(FIVE)
    apply_first(api, kong, job("a", input=place), limits={"maxEnqueuedTokens": 2 * ONE})
    await operator.until(lambda: batches(operator, "a") == 1, None)
    # The second part's upload takes its time.
    kong.fault("delay", "files.create", seconds=10, times=1)
    kong.advance(3600)
    await operator.until(lambda: len(kong.calls("files.create")) == 2, None)
    api.edit("batchgateways", "kong", {"spec": NO_SECRET})
    await operator.until(lambda: operator.reason("a") == Reason.CREDENTIALS_NOT_FOUND, "a")
    api.edit("batchgateways", "kong", {"spec": {"headers": None}})
    await operator.until(lambda: operator.reason("a") == Reason.UPLOADING, "a")
    api.put("batchjobs", job("b", 9, input=TWO, priority=10))
    await operator.until(lambda: operator.status("b").queue is not None or batches(operator, "b"), "b")
    assert batches(operator, "b") == 0


async def test_who_waits_for_his_own_other_batches_has_no_place_in_line_that_others_want(
    api: ApiServer, kong: Instance, kubelet: Kubelet, tmp_path: Path
) -> None:
    (kubelet.volume("data") / "batch.jsonl").write_bytes(FIVE)
    api.edit("persistentvolumeclaims", "data", {"spec": {"accessModes": ["ReadWriteMany"]}})
    place: Json = {"persistentVolumeClaim": {"claimName": "data", "path": "batch.jsonl"}}
    limits = {"maxEnqueuedTokens": 100 * ONE, "maxActiveBatches": 1, "maxRequestsPerFile": 2}
    async with Operator(api, tmp_path, recheck_seconds=1).running() as operator:
        kong.configure(forced_errors=[QUOTA])
        apply_first(api, kong, job("refused", 9, input=TWO), limits=limits)
        await operator.until(lambda: batches(operator, "refused") == 1, None)
        # Its upload is under way when the other one is refused, and is not asked any more.
        kong.fault("delay", "files.create", seconds=2, times=1)
        api.put("batchjobs", job("older", 0, input=place, parallelism=1))
        await operator.until(lambda: len(kong.calls("files.create")) == 2, None)
        kong.advance(100)
        await operator.until(lambda: batches(operator, "refused") == 0, "refused")
        kong.configure(forced_errors=[])
        await operator.until(lambda: operator.status("older").queue is not None, None)
        await operator.quiet()
        assert operator.reason("older") == Reason.QUOTA_EXCEEDED
        before = passes(operator)
        await asyncio.sleep(1)
        assert passes(operator) <= before + 5
        # For the one that tries first, though the other job is the older one.
        await operator.until(lambda: batches(operator, "refused") == 1, None)
