"""The transfer Job in real clusters: sidecars, queues, and a template that changes before its pod starts."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE, jsonl
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import NAMESPACE, Operator, apply_all
from tests.support.kubelet import Kubelet

IN = {"persistentVolumeClaim": {"claimName": "data", "path": "in.jsonl"}}
OUT = {"persistentVolumeClaim": {"claimName": "data", "path": "out/r.jsonl"}}
SIDECAR: Json = {"name": "istio-proxy", "state": {"running": {}}}


def claim(api: ApiServer) -> None:
    api.put("persistentvolumeclaims", {"metadata": {"name": "data", "namespace": NAMESPACE}})


def put_pod(api: ApiServer, job: Json, state: Json | None, phase: str = "Running", **status: Any) -> None:
    """Tell of a Job's pod, as the kubelet does, with a sidecar first in the list."""
    labels = {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
    metadata = {"name": f"{job['metadata']['name']}-1", "namespace": NAMESPACE, "labels": labels}
    found = [] if state is None else [SIDECAR, {"name": "transfer", "state": state}]
    api.put("pods", {"metadata": metadata, "status": {"phase": phase, "containerStatuses": found, **status}})


def done(report: Json) -> Json:
    return {"terminated": {"exitCode": 0, "reason": "Completed", "message": json.dumps(report)}}


def jobs(api: ApiServer, kind: str = "") -> list[Json]:
    return [job for job in api.objects("jobs") if f"-{kind}" in job["metadata"]["name"]]


async def only_job(operator: Operator, kind: str) -> Json:
    await operator.until(lambda: jobs(operator.api, kind))
    (found,) = jobs(operator.api, kind)
    return found


def uids(api: ApiServer) -> list[str]:
    return [job["metadata"]["uid"] for job in api.objects("jobs")]


def container(job: Json) -> Json:
    found: Json = job["spec"]["template"]["spec"]["containers"][0]
    return found


# --- sidecars --------------------------------------------------------------------------------------------------------


async def test_of_a_pod_with_many_containers_what_was_stored_is_known_though_its_report_is_cut(
    operator: Operator, api: ApiServer, kong: Instance, kubelet: Kubelet
) -> None:
    kubelet.beside = 7
    (kubelet.volume("data") / "in.jsonl").write_bytes(jsonl("a", *(f"{n}{'x' * 120}--status-400" for n in range(12))))
    apply_all(api, kong, FIVE, build.batchjob(input=IN, output=OUT))
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    status = await operator.until_ended()
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert status.request_counts is not None
    assert (status.request_counts.completed, status.request_counts.failed) == (1, 12)
    assert 0 < len(status.failures) < 10, "as many examples as there was room for"
    assert [job for job in api.stored if job["_plural"] == "jobs" and "-collect-" in job["metadata"]["name"]]
    assert len({job["metadata"]["uid"] for job in api.stored if job["_plural"] == "jobs"}) == 2


async def test_a_sidecar_hides_no_report_and_keeps_no_job(operator: Operator, api: ApiServer, kong: Instance) -> None:
    claim(api)
    apply_all(api, kong, FIVE, build.batchjob(output=OUT))
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    job = await only_job(operator, "collect")
    put_pod(api, job, {"running": {}})
    await operator.until_reason(Reason.COLLECTING)
    put_pod(api, job, done(build.collect_report().dump()))
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    await operator.quiet()
    assert jobs(api) == [], "a Job whose sidecar never ends would never end"


async def test_a_job_without_a_sidecar_is_left_to_end_and_keeps_its_log(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    claim(api)
    apply_all(api, kong, FIVE, build.batchjob(output=OUT))
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    job = await only_job(operator, "collect")
    labels = {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
    ours = {"name": "transfer", "state": done(build.collect_report().dump())}
    metadata = {"name": "pod", "namespace": NAMESPACE, "labels": labels}
    api.put("pods", {"metadata": metadata, "status": {"phase": "Running", "containerStatuses": [ours]}})
    await operator.until_ended()
    await operator.quiet()
    assert uids(api) == [job["metadata"]["uid"]], "neither Job nor pod has said yet that it has ended"


async def test_a_job_that_a_crash_left_alive_after_its_report_is_removed_at_the_end(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE, build.batchjob(output=OUT))
    claim(api)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    job = await only_job(operator, "collect")
    labels = {"app.kubernetes.io/managed-by": "llmbatch", "llmbatch.io/batchjob-uid": operator.job()["metadata"]["uid"]}
    left = {"name": "job-upload-0123456789", "namespace": NAMESPACE, "labels": labels}
    ended = {**left, "name": "job-upload-1123456789"}
    strange = {**left, "name": "of-another", "labels": {**labels, "llmbatch.io/batchjob-uid": "another"}}
    for metadata in (left, strange):
        api.put("jobs", {"metadata": metadata, "spec": {}})
    complete = [{"type": "Complete", "status": "True"}]
    api.put("jobs", {"metadata": ended, "spec": {}, "status": {"conditions": complete}})
    put_pod(api, job, done(build.collect_report().dump()))
    await operator.until_ended()
    await operator.quiet()
    assert {found["metadata"]["name"] for found in jobs(api)} == {ended["name"], "of-another"}, (
        "an ended one keeps its log"
    )


# --- what the Job is made from changes ---------------------------------------------------------------------------------

PENDING = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]}
CHANGES: dict[str, Json] = {
    "spec.transfer": {"nodeSelector": {"disk": "fast"}},
    "resources": {"resources": {"limits": {"cpu": "1"}}},
}


async def collecting(operator: Operator, kong: Instance, **transfer: Any) -> Json:
    """Have a job get as far as its collection; answers the Job."""
    claim(operator.api)
    apply_all(operator.api, kong, FIVE, build.batchjob(output=OUT, transfer=transfer))
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    return await only_job(operator, "collect")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("state", ["no pod", "unscheduled", "image", "starting", "suspended", "sidecar"])
async def test_a_job_whose_container_has_not_started_is_made_anew(
    operator: Operator, api: ApiServer, kong: Instance, change: Json, state: str
) -> None:
    job = await collecting(operator, kong)
    if state == "unscheduled":
        put_pod(api, job, None, "Pending", **PENDING)
    elif state == "image":
        put_pod(api, job, {"waiting": {"reason": "ImagePullBackOff"}}, "Pending")
    elif state == "starting":
        put_pod(api, job, {"waiting": {"reason": "ContainerCreating"}}, "Pending")
    elif state == "sidecar":
        put_pod(api, job, {"waiting": {"reason": "PodInitializing"}}, "Pending", initContainerStatuses=[SIDECAR])
    elif state == "suspended":
        api.edit("jobs", job["metadata"]["name"], {"spec": {"suspend": True}})
        await operator.until_reason(Reason.TRANSFER_SUSPENDED)
    await operator.quiet()
    assert uids(api) == [job["metadata"]["uid"]], "nothing has changed yet"
    api.edit("batchjobs", "job", {"spec": {"transfer": change}})
    await operator.until(lambda: job["metadata"]["uid"] not in uids(api) and uids(api))
    (second,) = jobs(api)
    spec = second["spec"]["template"]["spec"]
    assert spec.get("nodeSelector") == change.get("nodeSelector", {}) or container(second)["resources"]["limits"]["cpu"]
    await operator.look()
    await operator.quiet()
    assert uids(api) == [second["metadata"]["uid"]], "once"


async def test_a_container_that_has_started_is_left_alone(operator: Operator, api: ApiServer, kong: Instance) -> None:
    job = await collecting(operator, kong)
    put_pod(api, job, {"running": {}})
    await operator.until_reason(Reason.COLLECTING)
    api.edit("batchjobs", "job", {"spec": {"transfer": CHANGES["spec.transfer"]}})
    api.edit("batchgateways", "kong", {"spec": {"timeouts": {"transferSeconds": 1000}}})
    for _ in range(3):
        await operator.look()
        await operator.quiet()
    assert uids(api) == [job["metadata"]["uid"]]
    put_pod(api, job, done(build.collect_report().dump()))
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED


async def test_a_changed_connection_reaches_a_job_that_has_not_started(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    job = await collecting(operator, kong)
    api.edit("batchgateways", "kong", {"spec": {"timeouts": {"transferSeconds": 1000}}})
    await operator.until(lambda: job["metadata"]["uid"] not in uids(api) and uids(api))
    (second,) = jobs(api)
    assert second["metadata"]["name"] == job["metadata"]["name"]
    assert '"transferSeconds":1000' in container(second)["env"][0]["value"]


async def test_another_output_leaves_no_job_for_the_old_one(operator: Operator, api: ApiServer, kong: Instance) -> None:
    job = await collecting(operator, kong)
    put_pod(api, job, {"running": {}})
    other = {"persistentVolumeClaim": {**OUT["persistentVolumeClaim"], "path": "elsewhere.jsonl"}}
    api.edit("batchjobs", "job", {"spec": {"output": other}})
    await operator.until(lambda: job["metadata"]["uid"] not in uids(api) and uids(api))
    (second,) = jobs(api)
    assert "elsewhere.jsonl" in container(second)["env"][0]["value"]


async def test_an_upgraded_operator_replaces_what_its_predecessor_could_not_start(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, image="registry.example/typo:1").running() as operator:
        job = await collecting(operator, kong)
        put_pod(api, job, {"waiting": {"reason": "ErrImagePull"}}, "Pending")
    async with Operator(api, tmp_path, image="registry.example/llmbatch:2").running() as operator:
        await operator.until(lambda: job["metadata"]["uid"] not in uids(api) and uids(api))
    (second,) = jobs(api)
    assert container(second)["image"] == "registry.example/llmbatch:2"


async def test_a_job_that_does_not_say_what_it_was_made_from_is_left_alone(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    job = await collecting(operator, kong)
    api.edit("jobs", job["metadata"]["name"], {"metadata": {"annotations": None}})
    api.edit("batchjobs", "job", {"spec": {"transfer": CHANGES["spec.transfer"]}})
    for _ in range(3):
        await operator.look()
        await operator.quiet()
    assert uids(api) == [job["metadata"]["uid"]], "else somebody who strips annotations would have it replaced for ever"


# --- suspended -------------------------------------------------------------------------------------------------------


async def test_a_suspended_job_is_told_of_for_as_long_as_it_is_and_goes_on(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    job = await collecting(operator, kong)
    name = job["metadata"]["name"]
    api.edit("jobs", name, {"spec": {"suspend": True}, "metadata": {"labels": {"kueue.x-k8s.io/queue-name": "batch"}}})
    await operator.until_reason(Reason.TRANSFER_SUSPENDED)
    status = operator.status()
    assert status.holds("Reconciling")
    aspect = status.condition("ResultsStored")
    assert aspect is not None
    assert name in aspect.message
    assert "Kueue (queue batch)" in aspect.message
    api.edit("jobs", name, {"spec": {"suspend": False}})
    await operator.until_reason(Reason.TRANSFER_PENDING)
    put_pod(api, job, done(build.collect_report().dump()))
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
