"""Argo CD's own controllers apply BatchJobs, judge their health by our Lua, order them by waves and prune them."""

from collections.abc import Iterator

import pytest

from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import Json, Kube
from tests.gitops.argo import APPLICATION, WAVE, Application
from tests.gitops.git import Repository
from tests.gitops.wanted import JOB, PROMPTS, file, until_job

pytestmark = [pytest.mark.cluster, pytest.mark.gitops]


def in_wave(wave: int, obj: Json) -> Json:
    return {**obj, "metadata": {**obj["metadata"], "annotations": {WAVE: str(wave)}}}


@pytest.fixture
def app(argo_cd: Kube, tenant: Tenant, repository: Repository) -> Iterator[Application]:
    yield Application(argo_cd, tenant.kube.namespace, tenant.kube.namespace, repository)
    argo_cd.run("delete", APPLICATION, tenant.kube.namespace, "--ignore-not-found", "--timeout=90s")


def test_an_application_is_progressing_until_the_results_are_stored_and_healthy_then(
    tenant: Tenant, app: Application
) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    app.repository.commit(file(PROMPTS, JOB))
    app.apply()
    until_job(tenant.kube, "InProgress")
    app.until_health("Progressing")
    tenant.kong.advance(1000)
    app.until_health("Healthy")


def test_an_application_with_a_job_that_failed_is_degraded_and_says_why(tenant: Tenant, app: Application) -> None:
    app.repository.commit(file(objects.config_map("prompts", {"batch.jsonl": "no JSON\n"}), JOB))
    app.apply()
    app.until_health("Degraded")
    tree = tenant.kube.get("batchjob", "job")
    assert app.resource("BatchJob", "job")["health"]["message"].startswith("InvalidInput: "), tree["status"]


def test_a_wave_waits_for_the_job_of_the_wave_before(tenant: Tenant, app: Application) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    after = in_wave(2, objects.config_map("after", {"key": "value"}))
    app.repository.commit(file(PROMPTS, in_wave(1, JOB), after))
    app.apply()
    until_job(tenant.kube, "InProgress")
    app.refresh()
    assert not tenant.kube.exists("configmap", "after")
    tenant.kong.advance(1000)
    app.until_health("Healthy")
    assert tenant.kube.exists("configmap", "after")


def test_what_argo_cd_prunes_is_cancelled_and_leaves_nothing_at_the_provider(tenant: Tenant, app: Application) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    app.repository.commit(file(PROMPTS, JOB))
    app.apply()
    until_job(tenant.kube, "InProgress")
    without = app.repository.commit(file(PROMPTS))
    app.refresh()
    app.until_health("Healthy", revision=without)
    tenant.kube.run("wait", "--for=delete", "batchjob/job", "--timeout=60s")
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "cancelled"
    assert [item for item in tenant.kong.files() if not item["deleted"]] == []


def test_an_application_that_is_deleted_takes_its_jobs_and_their_batches_along(
    tenant: Tenant, app: Application
) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    app.repository.commit(file(PROMPTS, JOB))
    app.apply()
    until_job(tenant.kube, "InProgress")
    app.delete()
    assert not tenant.kube.exists("batchjob", "job")
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "cancelled"


def test_ten_refreshes_find_no_drift(tenant: Tenant, app: Application) -> None:
    app.repository.commit(file(PROMPTS, JOB, tenant.gateway(), objects.credential()))
    app.apply()
    app.until_health("Healthy")
    before = tenant.kube.get("batchjob", "job")
    for _ in range(10):
        app.refresh()
        found = app.argo.get(APPLICATION, app.name)["status"]
        assert (found["sync"]["status"], found["health"]["status"]) == ("Synced", "Healthy")
    assert tenant.kube.get("batchjob", "job") == before, "nothing is written to a job that has ended"
    assert len(tenant.kong.batches()) == 1
