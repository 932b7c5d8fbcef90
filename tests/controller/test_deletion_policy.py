"""What becomes of batch and results when a BatchJob is deleted is what its deletionPolicy says."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api import FINALIZER
from llmbatch.api.base import timestamp
from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure.plan import PLAN_VARIABLE
from tests.controller.among import Among
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Operator, apply_all

Json = dict[str, Any]

VOLUME = {"persistentVolumeClaim": {"claimName": "data", "path": "out/r.jsonl"}}
CLAIM = {"kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": NAMESPACE}}
STORED = {**build.OUTPUT, "location": "persistentvolumeclaim/data path out/r.jsonl"}


WAITING = [build.condition("Ready", "Unknown", "CleaningUp"), build.condition("Reconciling", "True", "CleaningUp")]

DONE = [
    build.condition("InputReady", reason="InputValid"),
    build.condition("Submitted", reason="Submitted"),
    build.condition("ResultsStored", reason="ResultsStored"),
]
BEGAN = "2026-03-01T11:00:00Z"


def being_deleted() -> Json:
    """Metadata of a job that was deleted just now, before anybody could look at it."""
    return {"finalizers": [FINALIZER], "deletionTimestamp": timestamp(datetime.now(UTC))}


def left_behind(operator: Operator) -> float | None:
    return operator.runtime.metrics.registry.get_sample_value("llmbatch_left_behind_total")


async def run_to_end(operator: Operator, kong: Instance, name: str = "job") -> None:
    await operator.until(lambda: operator.status(name).summary.submission_time, name)
    kong.advance(3600)
    await operator.until_ended(name)
    await operator.until(lambda: not operator.job(name)["metadata"].get("finalizers"), name)


async def told(operator: Operator, reason: str) -> Json:
    """Wait for an event, and give it."""

    def found() -> list[Json]:
        return [event for event in operator.api.objects("events") if event["reason"] == reason]

    await operator.until(found, None)
    (event,) = found()
    return event


# --- output ----------------------------------------------------------------------------------------------------------


async def test_results_in_a_secret_outlive_the_job_unless_they_are_to_go_with_it(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    jobs = [
        build.batchjob(name, output={"secret": {"name": name, "key": "r.jsonl"}}, deletionPolicy={"output": policy})
        for name, policy in (("kept", "Retain"), ("gone", "Delete"))
    ]
    apply_all(api, kong, FIVE, *jobs)
    for name in ("kept", "gone"):
        await run_to_end(operator, kong, name)
        api.remove("batchjobs", name)
    assert api.get("secrets", "kept") is not None
    assert api.get("secrets", "gone") is None


async def test_results_of_an_earlier_job_are_not_overwritten_and_the_remedy_is_named(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await run_to_end(operator, kong)
    first = operator.job()["metadata"]["uid"]
    api.remove("batchjobs", "job")
    ordered = len(kong.calls("batches.create"))
    api.put("batchjobs", build.batchjob())
    await operator.until_reason(Reason.OUTPUT_EXISTS)
    assert len(kong.calls("batches.create")) == ordered, "it is known before the batch is paid"
    message = json.dumps(operator.job()["status"])
    assert f"results of another BatchJob (uid {first})" in message
    assert "delete it" in message
    api.remove("secrets", "results")
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()


async def test_a_changed_mind_before_the_results_are_recorded_counts(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    """The results are written, the operator dies before it says so, and meanwhile the policy is changed."""
    among.apply(api, job=among.job(deletionPolicy={"output": "Delete"}))
    await among.all_submitted(operator)
    lost = api.fault("status", "patch", "batchjobs", "status", times=-1, where=lambda body: "output" in body["status"])
    kong.advance(3600)
    await operator.until(lambda: api.get("secrets", "results") is not None)
    api.edit("batchjobs", "job", {"spec": {"deletionPolicy": {"output": "Retain"}}})
    lost.times = 0
    await operator.until_ended()
    found = api.get("secrets", "results")
    assert found is not None
    assert not found["metadata"].get("ownerReferences")


# --- output in a volume ----------------------------------------------------------------------------------------------


def ended_job(api: ApiServer, **policy: Any) -> None:
    """A job that has ended with its results in a volume, and whose deletion is to delete them."""
    job = build.batchjob(output=VOLUME, deletionPolicy={"output": "Delete", **policy})
    api.put("batchjobs", {**job, "status": build.ended(output=STORED).dump()})


def discard_jobs(api: ApiServer) -> list[Json]:
    return [job for job in api.objects("jobs") if "-discard-" in job["metadata"]["name"]]


def answer(api: ApiServer, **report: Any) -> None:
    """End the pod of the Job that deletes results, as the kubelet tells it."""
    (job,) = discard_jobs(api)
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    message = json.dumps({"kind": "discard", **report})
    state = {"terminated": {"exitCode": 0, "reason": "Completed", "message": message}}
    labels = {"batch.kubernetes.io/controller-uid": uid}
    metadata = {"name": f"{name}-1", "namespace": NAMESPACE, "labels": labels}
    api.put("pods", {"metadata": metadata, "status": {"containerStatuses": [{"state": state}]}})


async def test_an_ended_job_keeps_its_finalizer_until_its_files_are_deleted(operator: Operator, api: ApiServer) -> None:
    api.put("persistentvolumeclaims", CLAIM)
    ended_job(api)
    await operator.until(lambda: operator.job()["metadata"].get("finalizers") == [FINALIZER])
    api.remove("batchjobs", "job")
    await operator.until(lambda: discard_jobs(api))
    (made,) = discard_jobs(api)
    plan = json.loads(made["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])
    assert made["spec"]["template"]["spec"]["containers"][0]["env"][0]["name"] == PLAN_VARIABLE
    assert (plan["path"], plan["bytes"], plan["sha256"]) == ("out/r.jsonl", STORED["bytes"], STORED["sha256"])
    assert "ownerReferences" not in made["metadata"], "a foreground deletion would remove it before it is done"
    answer(api)
    await operator.until_gone()
    assert discard_jobs(api) == []
    assert left_behind(operator) == 0


async def test_what_was_changed_since_is_kept_and_told(operator: Operator, api: ApiServer) -> None:
    api.put("persistentvolumeclaims", CLAIM)
    ended_job(api)
    await operator.until(lambda: operator.job()["metadata"].get("finalizers") == [FINALIZER])
    api.remove("batchjobs", "job")
    await operator.until(lambda: discard_jobs(api))
    answer(api, kept=["out/r.jsonl is not what was stored any more"])
    await operator.until_gone()
    event = await told(operator, Reason.OUTPUT_RETAINED)
    assert "path out/r.jsonl: out/r.jsonl is not what was stored any more" in event["message"]
    assert left_behind(operator) == 1


async def test_a_pod_that_can_not_start_holds_a_deletion_only_for_its_time(operator: Operator, api: ApiServer) -> None:
    api.put("persistentvolumeclaims", CLAIM)
    ended_job(api, cleanupTimeoutSeconds=1)
    await operator.until(lambda: operator.job()["metadata"].get("finalizers") == [FINALIZER])
    api.remove("batchjobs", "job")
    await operator.until(lambda: discard_jobs(api))
    await operator.until(lambda: api.get("batchjobs", "job") is None, None)
    event = await told(operator, Reason.OUTPUT_RETAINED)
    assert STORED["location"] in event["message"]
    assert discard_jobs(api) == [], "nothing is deleted after it was said that it stays"


@pytest.mark.parametrize("status", [403, 405])
async def test_a_refused_pod_does_not_keep_the_providers_side_from_being_cleaned(
    operator: Operator, api: ApiServer, kong: Instance, status: int
) -> None:
    apply_all(api, kong, FIVE, build.batchjob("first", remoteFiles="Retain"))
    await run_to_end(operator, kong, "first")
    assert not any(file["deleted"] for file in kong.files())
    api.put("persistentvolumeclaims", CLAIM)
    api.fault("status", "create", "jobs", status=status, times=-1)
    policy = {"output": "Delete", "cleanupTimeoutSeconds": 2}
    job = build.batchjob(metadata=being_deleted(), output=VOLUME, deletionPolicy=policy)
    batch = operator.status("first").batches[0].dump()
    stored = build.uploaded(
        batches=[batch], output=STORED, conditions=[*WAITING, *DONE], startTime=BEGAN, phase="Deleting"
    )
    api.put("batchjobs", {**job, "status": stored.dump()})
    await operator.until_gone()
    assert all(file["deleted"] for file in kong.files())
    assert "made to fail" in (await told(operator, Reason.OUTPUT_RETAINED))["message"]


async def test_results_whose_volume_is_gone_are_gone(operator: Operator, api: ApiServer) -> None:
    api.put("persistentvolumeclaims", CLAIM)
    ended_job(api)
    await operator.until(lambda: operator.job()["metadata"].get("finalizers") == [FINALIZER])
    api.remove("persistentvolumeclaims", "data")
    api.remove("batchjobs", "job")
    await operator.until_gone()
    assert left_behind(operator) == 0


async def test_in_a_namespace_that_is_being_deleted_nobody_waits_for_a_pod(operator: Operator, api: ApiServer) -> None:
    api.put("persistentvolumeclaims", CLAIM)
    ended_job(api)
    await operator.until(lambda: operator.job()["metadata"].get("finalizers") == [FINALIZER])
    api.terminating.add(NAMESPACE)
    api.remove("batchjobs", "job")
    await operator.until_gone()
    event = await told(operator, Reason.OUTPUT_RETAINED)
    assert event["metadata"]["namespace"] == operator.runtime.settings.namespace
    assert "BatchJob team-a/job: " in event["message"]


async def test_such_an_ended_job_costs_nothing_at_rest(api: ApiServer, tmp_path: Path) -> None:
    async with Operator(api, tmp_path).running() as operator:
        ended_job(api)
        await operator.until(lambda: operator.job()["metadata"].get("finalizers") == [FINALIZER])
        await operator.quiet()
        calls = len(api.calls)
        for _ in range(3):
            await operator.look()
            await operator.quiet()
        assert len(api.calls) == calls


# --- the finalizer ---------------------------------------------------------------------------------------------------


async def test_a_finalizer_that_somebody_took_off_a_running_job_is_put_back(
    operator: Operator, api: ApiServer, among: Among
) -> None:
    among.apply(api)
    await among.all_submitted(operator)
    await operator.until_reason(Reason.VALIDATING)
    await operator.quiet()
    events = operator.events()
    api.edit("batchjobs", "job", {"metadata": {"finalizers": ["example.com/others"]}})
    await operator.until(lambda: FINALIZER in operator.job()["metadata"]["finalizers"], None)
    await operator.quiet()
    assert operator.job()["metadata"]["finalizers"] == ["example.com/others", FINALIZER]
    assert (operator.reason(), operator.events()) == (Reason.VALIDATING, events), "there is nothing to tell"
