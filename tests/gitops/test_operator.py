"""The operator itself comes and goes by GitOps: without it nobody is told that a job is done, and nobody is held up."""

import subprocess
from collections.abc import Iterator

import pytest
import yaml

from tests.cluster.paths import REPOSITORY
from tests.e2e import objects
from tests.e2e.conftest import Tenant, tenant_of
from tests.e2e.kube import Json, Kube, condition
from tests.e2e.release import CHART, Release
from tests.gitops.argo import APPLICATION, Application
from tests.gitops.flux import KUSTOMIZATION, Flux
from tests.gitops.git import GitServer
from tests.gitops.wanted import JOB, PROMPTS, file, until_job

pytestmark = [pytest.mark.cluster, pytest.mark.gitops, pytest.mark.alone]

INSTALL = REPOSITORY / "examples/install"


@pytest.fixture(scope="module")
def without_release(release: Release) -> Iterator[Release]:
    """No release, and the definitions that it left; put back after the last of these tests."""
    try:
        release.helm("uninstall", release.name, "--wait")
        yield release
    finally:
        release.install()


@pytest.fixture
def emulator_alone(without_release: Release) -> Iterator[Release]:
    """The emulator without the operator, so that it can be asked of what an operator did that is gone."""
    release = without_release
    try:
        made = release.template("--show-only", "templates/emulator.yaml")
        release.kube.run("apply", "-f", "-", stdin=made)
        release.kube.run("rollout", "status", f"deployment/{release.name}-emulator", "--timeout=120s")
        yield release
    finally:
        # Helm would find what it didn't make in its way.
        release.kube.run("delete", "deployment,service", f"{release.name}-emulator", "--ignore-not-found")


@pytest.fixture
def its_tenant(emulator_alone: Release) -> Iterator[Tenant]:
    """A namespace with a gateway to that emulator."""
    with tenant_of(emulator_alone) as made:
        yield made


# --- Flux -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def flux_app(flux: type[Flux], git: GitServer, tenant: Tenant) -> Iterator[Flux]:
    yield flux(tenant.kube, git.repository(tenant.kube.namespace))
    tenant.kube.run("delete", KUSTOMIZATION, "--all", "--timeout=60s")


def test_what_comes_late_ends_ready_and_no_health_check_fails_before(
    tenant: Tenant, flux_app: Flux, own_release: Release
) -> None:
    # The chart's own, where the other tests have 0: so long a Secret may be missing before anybody has to look.
    own_release.upgrade(**{"operator.stallAfterSeconds": "120"})
    header = {"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "late", "key": "apikey"}}}
    flux_app.repository.commit(file(PROMPTS, JOB, tenant.gateway(headers=[header])))
    flux_app.apply()
    until_job(tenant.kube, "CredentialsNotFound")
    # So long may an operator take that makes Secrets of what a vault has.
    with pytest.raises(AssertionError, match="not Ready=False"):
        flux_app.until_ready("False", seconds=20)
    tenant.kube.apply(objects.secret("late", {"apikey": "k"}))
    flux_app.until_ready()
    failed = [item for item in tenant.kube.events("app") if item["reason"] == "HealthCheckFailed"]
    assert failed == []


@pytest.fixture
def plain(emulator_alone: Release) -> Iterator[str]:
    """What those without Helm apply; what of it was applied is removed, but for the definitions: with them went every BatchJob."""
    found = _plain(emulator_alone)
    yield found
    kept = ("CustomResourceDefinition", "Namespace")
    rest = [item for item in yaml.safe_load_all(found) if item["kind"] not in kept]
    emulator_alone.kube.run("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(rest))


@pytest.fixture
def flux_alone(flux: type[Flux], git: GitServer, its_tenant: Tenant) -> Iterator[Flux]:
    yield flux(its_tenant.kube, git.repository(its_tenant.kube.namespace))
    its_tenant.kube.run("delete", KUSTOMIZATION, "--all", "--timeout=90s")


def test_without_an_operator_flux_is_not_ready_and_becomes_so_once_one_is_installed_without_helm(
    plain: str, its_tenant: Tenant, flux_alone: Flux
) -> None:
    app, kube = flux_alone, its_tenant.kube
    app.repository.commit(file(PROMPTS, JOB))
    app.apply()
    said = condition(app.until(lambda found: condition(found, "Reconciling") != {}, "waiting for the job"), "Ready")
    assert said["status"] == "Unknown"
    with pytest.raises(AssertionError, match="not Ready=True"):
        app.until_ready(seconds=10)
    assert kube.get("batchjob", "job")["status"] == {"observedGeneration": -1}
    its_tenant.release.kube.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=plain)
    app.until_ready(seconds=120)
    assert len(its_tenant.kong.batches()) == 1


def _plain(release: Release) -> str:
    """Give what `kubectl apply -k examples/install` would apply, with the image of this checkout."""
    done = subprocess.run(
        [release.cluster.tools.kubectl, "kustomize", str(INSTALL)], capture_output=True, text=True, check=True
    )  # fmt: skip
    (image,) = {
        container["image"]
        for item in yaml.safe_load_all(done.stdout)
        if item["kind"] == "Deployment"
        for container in item["spec"]["template"]["spec"]["containers"]
    }
    return done.stdout.replace(image, release.cluster.operator_image)


# --- Argo CD ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def argo(argo_cd: Kube) -> Iterator[Kube]:
    yield argo_cd
    argo_cd.run("delete", APPLICATION, "--all", "--timeout=120s")


def _chart() -> dict[str, str]:
    """Give the chart's files, as they would be in a repository."""
    paths = [path for path in CHART.rglob("*") if path.is_file()]
    return {f"chart/{path.relative_to(CHART)}": path.read_text() for path in paths}


OPTIONS = ("ServerSideApply=true", "CreateNamespace=true")


def _source(release: Release) -> Json:
    # The second, as the example has it: Argo CD can't run a hook after a deletion that makes a ClusterRole.
    names = release.values(**{"emulator.enabled": "false", "uninstall.releaseJobs": "false"})[1::2]
    parameters = [dict(zip(("name", "value"), given.split("=", 1), strict=True)) for given in names]
    return {"path": "chart", "helm": {"releaseName": release.name, "parameters": parameters}}


def _place(app: Application) -> Json:
    return {"repoURL": app.repository.url, "targetRevision": "main"}


def _operator(argo: Kube, release: Release, git: GitServer, **further: str) -> Application:
    app = Application(argo, "operator", release.namespace, git.repository("operator"))
    app.repository.commit({**_chart(), **further})
    return app


def test_the_chart_is_an_application_without_drift_and_jobs_outlive_its_deletion(
    argo: Kube, git: GitServer, emulator_alone: Release, its_tenant: Tenant
) -> None:
    release, tenant = emulator_alone, its_tenant
    app = _operator(argo, release, git)
    app.apply(sources=[{**_place(app), **_source(release)}], options=OPTIONS)
    app.until_health("Healthy", seconds=180)
    for _ in range(10):
        app.refresh()
        found = app.argo.get(APPLICATION, app.name)["status"]
        assert (found["sync"]["status"], found["health"]["status"]) == ("Synced", "Healthy")
    tenant.kong.configure(in_progress_seconds=600)
    tenant.kube.apply(PROMPTS, JOB)
    tenant.kube.until_reason("job", "InProgress")
    app.delete(seconds=120)
    assert not release.kube.exists("deployment", release.name)
    # The definitions stay, and with them the job, which goes on once there is an operator again.
    assert tenant.kube.get("batchjob", "job")["status"]["phase"] == "InProgress"
    app.apply(sources=[{**_place(app), **_source(release)}], options=OPTIONS)
    tenant.kong.advance(1000)
    tenant.kube.wait_for("job", "Complete", seconds=180)
    assert len(tenant.kong.batches()) == 1
    app.delete(seconds=120)


def test_one_application_with_the_operator_and_its_jobs_is_deleted_and_its_batches_are_cancelled(
    argo: Kube, git: GitServer, emulator_alone: Release, its_tenant: Tenant
) -> None:
    release, tenant = emulator_alone, its_tenant
    tenant.kong.configure(in_progress_seconds=600)
    jobs = [{**item, "metadata": {**item["metadata"], "namespace": tenant.kube.namespace}} for item in (PROMPTS, JOB)]
    app = _operator(argo, release, git, **{"jobs/all.yaml": yaml.safe_dump_all(jobs)})
    operator = {**_place(app), **_source(release)}
    app.apply(sources=[operator, {**_place(app), "path": "jobs"}], options=OPTIONS)
    until_job(tenant.kube, "InProgress", seconds=120)
    app.delete(seconds=180)
    assert not tenant.kube.exists("batchjob", "job")
    assert not release.kube.exists("deployment", release.name)
    (batch,) = tenant.kong.batches()
    assert batch["object"]["status"] == "cancelled"
    assert [item for item in tenant.kong.files() if not item["deleted"]] == []
