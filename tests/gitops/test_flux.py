"""Flux's own controllers apply BatchJobs, wait for them and prune them."""

from collections.abc import Iterator

import pytest

from tests.cluster.paths import REPOSITORY
from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import Json, condition
from tests.gitops import oci
from tests.gitops.flux import KUSTOMIZATION, OCI_SOURCE, Flux
from tests.gitops.git import Repository
from tests.gitops.wanted import JOB, PROMPTS, file, until_job
from tests.release.served import Registry

pytestmark = [pytest.mark.cluster, pytest.mark.gitops]

EXAMPLE = REPOSITORY / "examples/gitops/flux"


def job(**spec: object) -> Json:
    return {**JOB, "spec": {**JOB["spec"], **spec}}


@pytest.fixture
def app(flux: type[Flux], tenant: Tenant, repository: Repository) -> Iterator[Flux]:
    yield flux(tenant.kube, repository)
    # Flux's finalizer needs its controllers, and a namespace that is going takes no new events: before the namespace.
    tenant.kube.run("delete", KUSTOMIZATION, "--all", "--timeout=60s")


def test_flux_is_ready_once_the_results_are_stored(tenant: Tenant, app: Flux) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    app.repository.commit(file(PROMPTS, JOB))
    app.apply()
    until_job(tenant.kube, "InProgress")
    assert app.ready()["status"] != "True"
    tenant.kong.advance(1000)
    app.until_ready()
    assert condition(tenant.kube.get("batchjob", "job"), "Complete")["reason"] == "Succeeded"


def test_flux_waits_for_no_results_where_the_job_is_ready_when_submitted(tenant: Tenant, app: Flux) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    app.repository.commit(file(PROMPTS, job(readyWhen="Submitted")))
    app.apply()
    app.until_ready()
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "in_progress"


def test_flux_says_at_once_that_a_job_has_failed(tenant: Tenant, app: Flux) -> None:
    app.repository.commit(file(objects.config_map("prompts", {"batch.jsonl": "no JSON\n"}), JOB))
    app.apply()
    # Far sooner than its timeout of five minutes.
    found = app.until(lambda found: condition(found, "Ready").get("reason") == "HealthCheckFailed", "told", seconds=60)
    assert condition(found, "Ready")["status"] == "False"
    assert "BatchJob" in condition(found, "Ready")["message"]
    assert tenant.kong.batches() == []


def test_what_flux_prunes_is_cancelled_and_leaves_nothing_at_the_provider(tenant: Tenant, app: Flux) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    app.repository.commit(file(PROMPTS, job(readyWhen="Submitted")))
    app.apply()
    app.until_ready()
    without = app.repository.commit(file(PROMPTS))
    app.reconcile()
    app.until_ready(revision=without)
    tenant.kube.run("wait", "--for=delete", "batchjob/job", "--timeout=60s")
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "cancelled"
    assert [item for item in tenant.kong.files() if not item["deleted"]] == []


def test_a_change_of_what_is_paid_for_is_refused_with_the_reason_and_the_job_runs_on(tenant: Tenant, app: Flux) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    app.repository.commit(file(PROMPTS, job(readyWhen="Submitted")))
    app.apply()
    app.until_ready()
    changed = app.repository.commit(file(PROMPTS, job(readyWhen="Submitted", endpoint="/v1/embeddings")))
    app.reconcile()
    said = app.until_ready("False", revision=changed)
    assert "immutable: make a new BatchJob instead" in said["message"]
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "in_progress"


def test_with_force_such_a_change_makes_the_job_anew_and_the_first_batch_is_cancelled(
    tenant: Tenant, app: Flux
) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    app.repository.commit(file(PROMPTS, job(readyWhen="Submitted")))
    app.apply(force=True)
    app.until_ready()
    first = tenant.kube.get("batchjob", "job")["metadata"]["uid"]
    others = objects.config_map("others", {"batch.jsonl": objects.requests("c")})
    changed = app.repository.commit(file(others, job(readyWhen="Submitted", input=objects.in_config_map("others"))))
    app.reconcile()
    app.until_ready(revision=changed)
    assert tenant.kube.get("batchjob", "job")["metadata"]["uid"] != first
    states = sorted(batch["object"]["status"] for batch in tenant.kong.batches())
    assert states == ["cancelled", "in_progress"]


def test_what_a_registry_has_as_an_artifact_is_applied_and_pruned_as_what_is_in_git(
    tenant: Tenant, app: Flux, registry: Registry
) -> None:
    name = f"batches/{tenant.kube.namespace}"
    tenant.kong.configure(in_progress_seconds=600)
    first = oci.push(registry, name, "latest", file(PROMPTS, job(readyWhen="Submitted")))
    app.apply_from(
        "OCIRepository", {"url": f"oci://{registry.host}/{name}", "ref": {"tag": "latest"}, "insecure": True}
    )
    app.until_ready(revision=first)
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "in_progress"
    second = oci.push(registry, name, "latest", file(PROMPTS))
    app.reconcile(OCI_SOURCE)
    app.until_ready(revision=second)
    tenant.kube.run("wait", "--for=delete", "batchjob/job", "--timeout=60s")
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "cancelled"


def test_the_example_applies_the_gateway_first_and_then_the_batch(tenant: Tenant, app: Flux) -> None:
    def here(path: str) -> str:
        text = (EXAMPLE / path).read_text()
        for given, ours in (
            ("namespace: default", f"namespace: {tenant.kube.namespace}"),
            ("namespace: flux-system", f"namespace: {tenant.kube.namespace}"),
            ("http://llmbatch-emulator.llmbatch-system:8000", tenant.url),
            ("https://git.example.com/team/batches", app.repository.url),
        ):
            text = text.replace(given, ours)
        return text

    tenant.kong.configure(in_progress_seconds=600)
    app.repository.commit({path: here(f"repository/{path}") for path in ("gateway/gateway.yaml", "batch/batch.yaml")})
    tenant.kube.run("apply", "-f", "-", stdin=here("flux.yaml"))
    app.until_ready(name="batches")
    gateway, batches = (app.until_ready(name=name) for name in ("batch-gateway", "batches"))
    assert gateway["lastTransitionTime"] <= batches["lastTransitionTime"]
    assert condition(tenant.kube.get("batchgateway", "team-kong"), "Ready")["status"] == "True"
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "in_progress"


def test_ten_reconciliations_change_nothing(tenant: Tenant, app: Flux) -> None:
    app.repository.commit(file(PROMPTS, JOB, tenant.gateway(), objects.credential()))
    app.apply()
    app.until_ready()
    before = tenant.kube.get("batchjob", "job"), tenant.kube.get("batchgateway", "kong")
    for _ in range(10):
        app.reconcile()
        app.until_ready()
    after = tenant.kube.get("batchjob", "job"), tenant.kube.get("batchgateway", "kong")
    assert after[0] == before[0], "nothing is written to a job that has ended"
    assert after[1]["metadata"]["generation"] == before[1]["metadata"]["generation"]
    assert after[1]["spec"] == before[1]["spec"]
    assert len(tenant.kong.batches()) == 1
