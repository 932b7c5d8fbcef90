"""Deleting a BatchJob under way leaves nothing at the provider, and never waits for ever."""

import time
from typing import Any

import pytest

from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import KubectlError
from tests.e2e.release import CLEANUP_SECONDS

PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})
JOB = objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results"))


def _job(**policy: Any) -> objects.Json:
    return objects.job(
        "job", objects.in_config_map("prompts"), objects.in_secret("out", "results"), deletionPolicy=policy
    )


def _start(tenant: Tenant, job: objects.Json = JOB) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    tenant.kube.apply(PROMPTS, job)
    tenant.kube.until("job", lambda job: job.get("status", {}).get("phase") == "InProgress", "in progress")


def test_deletion_under_way_cancels_the_batch_and_deletes_its_files(tenant: Tenant) -> None:
    _start(tenant)
    tenant.kube.delete("batchjob", "job")
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "cancelled"
    assert [file for file in tenant.kong.files() if not file["deleted"]] == []


def test_deletion_with_the_gateway_down_is_bounded_and_says_what_was_left(tenant: Tenant) -> None:
    _start(tenant)
    tenant.kong.fault("reset_before", times=-1)
    began = time.monotonic()
    tenant.kube.delete("batchjob", "job", seconds=CLEANUP_SECONDS + 60)
    assert time.monotonic() - began >= CLEANUP_SECONDS - 2, "it was tried for as long as the settings say"
    (batch,) = tenant.kong.batches()
    (event,) = [item for item in tenant.kube.events("job") if item["reason"] == "RemoteFilesRetained"]
    assert batch["object"]["id"] in event["message"]


def test_a_job_that_sent_nothing_is_gone_at_once(tenant: Tenant) -> None:
    tenant.kube.apply(JOB)
    tenant.kube.until_reason("job", "InputNotFound")
    tenant.kube.delete("batchjob", "job", seconds=10)
    assert tenant.kong.files() == []


def test_a_namespace_with_a_job_under_way_can_be_deleted(tenant: Tenant) -> None:
    _start(tenant)
    tenant.kube.run("delete", "namespace", tenant.kube.namespace, "--timeout=90s")
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "cancelled"


# --- deletionPolicy --------------------------------------------------------------------------------------------------


def test_an_orphan_runs_on_and_an_event_names_it(tenant: Tenant) -> None:
    _start(tenant, _job(remoteBatch="Orphan"))
    tenant.kube.delete("batchjob", "job", seconds=10)
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "in_progress"
    assert [file for file in tenant.kong.files() if file["deleted"]] == []
    (event,) = [item for item in tenant.kube.events("job") if item["reason"] == "RemoteBatchRetained"]
    assert batch["object"]["id"] in event["message"]


@pytest.mark.parametrize(("policy", "stays"), [("Retain", True), ("Delete", False)])
def test_results_in_a_secret_stay_or_go_as_the_policy_says(tenant: Tenant, policy: str, *, stays: bool) -> None:
    tenant.kube.apply(PROMPTS, _job(output=policy))
    tenant.kube.wait_for("job", "Complete")
    with pytest.raises(KubectlError, match="results are stored"):
        tenant.kube.patch("batchjob", "job", {"spec": {"deletionPolicy": {"output": "Delete" if stays else "Retain"}}})
    tenant.kube.delete("batchjob", "job", seconds=10)
    if stays:
        time.sleep(5)
        assert objects.stored(tenant.kube, "secret", "out", "results")
    else:
        tenant.kube.run("wait", "--for=delete", "secret/out", "--timeout=60s")


def test_results_in_a_volume_stay_or_go_as_the_policy_says(tenant: Tenant) -> None:
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    tenant.kube.apply(objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b--status-400")}))
    for name, policy in (("kept", "Retain"), ("gone", "Delete"), ("changed", "Delete")):
        target = objects.in_volume("data", f"{name}/r.jsonl")
        tenant.kube.apply(
            objects.job(name, objects.in_config_map("prompts"), target, deletionPolicy={"output": policy})
        )
        tenant.kube.wait_for(name, "Complete")
    files = [f"{name}/r{kind}.jsonl" for name in ("changed", "gone", "kept") for kind in (".errors", "")]
    assert volume.files() == sorted(files)
    volume.write("changed/r.jsonl", "edited by hand")
    # As Argo CD deletes: dependents first.
    tenant.kube.run("delete", "batchjob", "gone", "changed", "--cascade=foreground", "--timeout=90s")
    tenant.kube.delete("batchjob", "kept", seconds=10)
    assert volume.files() == ["changed/r.jsonl", "kept/r.errors.jsonl", "kept/r.jsonl"]
    (event,) = [item for item in tenant.kube.events("changed") if item["reason"] == "OutputRetained"]
    assert "changed/r.jsonl is not what was stored any more" in event["message"]
    discards = [job for job in tenant.kube.items("jobs") if "-discard-" in job["metadata"]["name"]]
    assert [job for job in discards if "deletionTimestamp" not in job["metadata"]] == []


def test_the_jobs_own_time_bounds_its_deletion(tenant: Tenant) -> None:
    _start(tenant, _job(cleanupTimeoutSeconds=3))
    tenant.kong.fault("hang_after", seconds=300, times=-1)
    began = time.monotonic()
    tenant.kube.delete("batchjob", "job", seconds=60)
    assert time.monotonic() - began >= 2
    tenant.kong.clear_faults()


def test_gateway_secret_and_job_deleted_by_one_command(tenant: Tenant) -> None:
    tenant.kong.configure(kong={"enabled": True, "consumer_keys": ["k"]})
    header = {"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "consumer", "key": "apikey"}}}
    tenant.kube.apply(objects.secret("consumer", {"apikey": "k"}), tenant.gateway(headers=[header]))
    _start(tenant, _job(cleanupTimeoutSeconds=30))
    tenant.kube.run("delete", "secret/consumer", "batchgateway/kong", "batchjob/job", "--timeout=60s")
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "cancelled"
    assert [file for file in tenant.kong.files() if not file["deleted"]] == []
