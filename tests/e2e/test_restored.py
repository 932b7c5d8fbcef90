"""A BatchJob that a backup tool puts into another namespace, status and all, on the real API server."""

import json

from tests.e2e import objects
from tests.e2e.conftest import Tenant, make_tenant
from tests.e2e.kube import Json, condition

PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})
JOB = objects.job(
    "job", objects.in_config_map("prompts"), objects.in_secret("out", "results"), remoteFiles="Retain"
)  # fmt: skip


def told_of(elsewhere: Tenant, job: Json) -> list[str]:
    return [event["reason"] for event in elsewhere.kube.events(job["metadata"]["name"])]


def test_a_copy_follows_the_batch_of_the_original_and_its_deletion_touches_nothing(tenant: Tenant) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    tenant.kube.apply(PROMPTS, JOB)
    original = tenant.kube.until("job", lambda job: job.get("status", {}).get("phase") == "InProgress", "in progress")
    elsewhere = make_tenant(tenant.release)
    # The same gateway. The prompts are not there, so that nothing begins before the status is.
    elsewhere.kube.apply(objects.gateway("kong", tenant.url, headers=objects.HEADERS), JOB)
    for name in ("job", "other"):
        if name == "other":
            elsewhere.kube.apply(
                {
                    **JOB,
                    "metadata": {"name": name},
                    "spec": {**JOB["spec"], "output": objects.in_secret("other", "results")},
                }
            )
        status = json.dumps({"status": original["status"]})
        elsewhere.kube.run("patch", "batchjob", name, "--subresource=status", "--type=merge", "-p", status)
        elsewhere.kube.until(name, lambda job: condition(job, "Ready").get("reason") == "InProgress", "followed")
        elsewhere.kube.until(name, lambda job: "Restored" in told_of(elsewhere, job), "taken for a copy", seconds=30)
    elsewhere.kube.delete("batchjob", "other", seconds=30)
    assert not tenant.kong.calls("batches.cancel")
    tenant.kong.advance(3600)
    for kube in (tenant.kube, elsewhere.kube):
        kube.wait_for("job", "Complete")
        assert (objects.stored(kube, "secret", "out", "results") or "").count("\n") == 2
    assert tenant.creates() == 1
    assert not tenant.kong.calls("files.delete")
    elsewhere.kube.run("delete", "namespace", elsewhere.kube.namespace, "--wait=false")
