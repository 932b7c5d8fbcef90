"""Deleting a BatchJob under way leaves nothing at the provider, and never waits for ever."""

import time

from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.release import CLEANUP_SECONDS

PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})
JOB = objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results"))


def _start(tenant: Tenant) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    tenant.kube.apply(PROMPTS, JOB)
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
