"""What often passes by itself is under way for a while before a person is asked: Flux gives up on what is Stalled."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from llmbatch.api.base import timestamp
from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.controller.test_waiting import KEY
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Operator, apply_all, config_map, secret

IN = {"persistentVolumeClaim": {"claimName": "data", "path": "in.jsonl"}}
LONG = 600


def patient(api: ApiServer, folder: Path) -> Operator:
    return Operator(api, folder, stall_after_seconds=LONG)


def wait_longer(api: ApiServer, seconds: float) -> None:
    """Have the trouble begun so much earlier."""
    job = api.get("batchjobs", "job")
    assert job is not None
    trouble = job["status"]["trouble"]
    since = datetime.fromisoformat(trouble["sinceTime"]) - timedelta(seconds=seconds)
    trouble["sinceTime"] = timestamp(since)
    api.put("batchjobs", job)


async def test_what_may_pass_is_reconciling_for_a_while_and_then_stalled(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with patient(api, tmp_path).running() as operator:
        apply_all(api, kong, FIVE, headers=KEY)
        await operator.until_reason(Reason.CREDENTIALS_NOT_FOUND)
        assert operator.status().holds("Reconciling")
        wait_longer(api, LONG - 60)
        await operator.look()
        await operator.quiet()
        assert operator.status().holds("Reconciling")
        wait_longer(api, 60)
        await operator.until(lambda: operator.status().holds("Stalled"))
        ready = operator.status().condition("Ready")
        assert ready is not None
        assert ready.status == "False"
        told = [event["message"] for event in api.objects("events") if event["reason"] == Reason.CREDENTIALS_NOT_FOUND]
        assert [message for message in told if "consumer" in message]
        api.put("secrets", secret("consumer", apikey="k"))
        await operator.until(lambda: operator.status().summary.submission_time)
        assert operator.status().trouble is None


async def test_a_secret_that_comes_in_time_never_stalls_the_job(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    async with patient(api, tmp_path).running() as operator:
        apply_all(api, kong, FIVE, headers=KEY)
        await operator.until_reason(Reason.CREDENTIALS_NOT_FOUND)
        api.put("secrets", secret("consumer", apikey="k"))
        await operator.until(lambda: operator.status().summary.submission_time)
    jobs = [found for found in api.stored if found["_plural"] == "batchjobs"]
    assert not any(item["type"] == "Stalled" for job in jobs for item in job.get("status", {}).get("conditions", []))


async def test_a_new_operator_goes_on_counting(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    async with patient(api, tmp_path).running() as operator:
        apply_all(api, kong, FIVE, headers=KEY)
        await operator.until_reason(Reason.CREDENTIALS_NOT_FOUND)
        since = operator.status().trouble
    async with patient(api, tmp_path).running() as operator:
        await operator.look()
        await operator.quiet()
        assert operator.status().trouble == since
        wait_longer(api, LONG + 1)
        await operator.until(lambda: operator.status().holds("Stalled"))


async def test_another_trouble_begins_anew(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    async with patient(api, tmp_path).running() as operator:
        api.put("batchjobs", build.batchjob())
        await operator.until_reason(Reason.GATEWAY_NOT_FOUND)
        wait_longer(api, LONG + 1)
        await operator.until(lambda: operator.status().holds("Stalled"))
        api.put("batchgateways", build.batchgateway(kong.url))
        await operator.until_reason(Reason.INPUT_NOT_FOUND)
        assert operator.status().holds("Reconciling")
        assert not operator.status().holds("Stalled")
        api.put("configmaps", config_map("prompts", "batch.jsonl", FIVE))
        await operator.until(lambda: operator.status().summary.submission_time)


UNSCHEDULED = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]}
UNBOUND = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "unbound PersistentVolumeClaims"}]}


def held(reason: str) -> dict[str, object]:
    return {"containerStatuses": [{"name": "transfer", "state": {"waiting": {"reason": reason}}}]}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (UNSCHEDULED, Reason.TRANSFER_UNSCHEDULABLE),
        (UNBOUND, Reason.VOLUME_CLAIM_UNBOUND),
        (held("ErrImagePull"), Reason.TRANSFER_IMAGE_PULL_FAILED),
        (held("CreateContainerConfigError"), Reason.CREDENTIALS_NOT_FOUND),
    ],
)
async def test_a_pod_that_may_yet_start_is_waited_for(
    api: ApiServer, kong: Instance, tmp_path: Path, status: dict[str, object], reason: Reason
) -> None:
    async with patient(api, tmp_path).running() as operator:
        apply_all(api, kong, FIVE, build.batchjob(input=IN))
        await operator.until_reason(Reason.VOLUME_CLAIM_NOT_FOUND)
        assert operator.status().holds("Reconciling")
        api.put("persistentvolumeclaims", {"metadata": {"name": "data", "namespace": NAMESPACE}})
        await operator.until(lambda: api.objects("jobs"))
        (job,) = api.objects("jobs")
        labels = {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
        metadata = {"name": "pod", "namespace": NAMESPACE, "labels": labels}
        api.put("pods", {"metadata": metadata, "status": {"phase": "Pending", **status}})
        await operator.until_reason(reason)
        assert operator.status().holds("Reconciling")
        wait_longer(api, LONG + 1)
        await operator.until(lambda: operator.status().holds("Stalled"))
        assert operator.reason() == reason
        api.put("pods", {"metadata": metadata, "status": {"phase": "Running", "containerStatuses": [
            {"name": "transfer", "state": {"running": {}}}]}})  # fmt: skip
        await operator.until_reason(Reason.UPLOADING)
        assert operator.status().trouble is None


async def test_what_needs_a_person_is_stalled_at_once(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    kong.configure(kong={"consumer_keys": ["another"]})
    api.put("secrets", secret("consumer", apikey="k"))
    async with patient(api, tmp_path).running() as operator:
        apply_all(api, kong, FIVE, headers=KEY)
        await operator.until_reason(Reason.GATEWAY_UNAUTHORIZED)
        assert operator.status().holds("Stalled")
        assert operator.status().trouble is None


async def test_waiting_writes_once(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    async with patient(api, tmp_path).running() as operator:
        apply_all(api, kong, FIVE, headers=KEY)
        await operator.until_reason(Reason.CREDENTIALS_NOT_FOUND)
        await operator.look()
        await operator.quiet()
        version = operator.job()["metadata"]["resourceVersion"]
        for _ in range(5):
            await operator.look()
            await operator.quiet()
        assert operator.job()["metadata"]["resourceVersion"] == version


async def test_a_gateway_whose_secret_may_come_is_waited_for_too(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    def holds(kind: str) -> bool:
        found = (api.get("batchgateways", "kong") or {}).get("status", {}).get("conditions", [])
        return any((item["type"], item["reason"]) == (kind, Reason.CREDENTIALS_NOT_FOUND) for item in found)

    async with patient(api, tmp_path).running() as operator:
        api.put("batchgateways", build.batchgateway(kong.url, headers=KEY))
        await operator.until(lambda: holds("Reconciling"), None)
        assert not holds("Stalled")
        gateway = api.get("batchgateways", "kong")
        assert gateway is not None
        for item in gateway["status"]["conditions"]:
            item["lastTransitionTime"] = "2026-01-01T00:00:00Z"
        api.put("batchgateways", gateway)
        await operator.until(lambda: holds("Stalled"), None)
        assert not holds("Reconciling")
        api.put("secrets", secret("consumer", apikey="k"))
        await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_READY, None)
