"""The chart on a real cluster: upgrade, rollback, uninstall, one namespace only."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster import tools
from tests.e2e import objects
from tests.e2e.conftest import Tenant, make_tenant
from tests.e2e.kube import Json, KubectlError
from tests.e2e.release import Release

PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})
JOB = objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results"))


@pytest.fixture(params=["Helm 3", pytest.param("Helm 4", marks=pytest.mark.helm4)])
def either_helm(request: pytest.FixtureRequest, release: Release) -> Release:
    """The release that Helm 3 made, in the hands of Helm 3 or Helm 4, which goes on without server-side apply."""
    return Release(release.cluster, program=tools.helm4()) if request.param == "Helm 4" else release


@pytest.fixture
def release_of_helm4(own_release: Release) -> Iterator[Release]:
    """A release that Helm 4 has made, by server-side apply, with the definitions that Helm 3 left."""
    own_release.helm("uninstall", own_release.name, "--wait")
    found = Release(own_release.cluster, program=tools.helm4())
    try:
        found.install()
        yield found
    finally:
        found.helm("uninstall", found.name, "--wait", "--ignore-not-found")
        found.close()


def _begin(tenant: Tenant) -> None:
    """Have a batch run until the test lets it end."""
    tenant.kong.configure(in_progress_seconds=600)
    tenant.kube.apply(PROMPTS, JOB)
    _until_in_progress(tenant)


def _until_in_progress(tenant: Tenant, name: str = "job") -> None:
    tenant.kube.until(name, lambda job: job.get("status", {}).get("phase") == "InProgress", "in progress")


def _end(tenant: Tenant) -> None:
    """Let it end; there is one batch, of one call."""
    tenant.kong.advance(1000)
    tenant.kube.wait_for("job", "Complete")
    assert tenant.creates() == 1
    assert len(tenant.kong.calls("batches.create")) == 1


def _template(release: Release) -> Json:
    found: Json = release.kube.get("deployment", release.name)["spec"]["template"]
    return found


@pytest.mark.alone
@pytest.mark.usefixtures("own_release")
def test_an_upgrade_takes_jobs_under_way_along(tenant: Tenant, either_helm: Release) -> None:
    _begin(tenant)
    either_helm.upgrade(**{"operator.workers": "8"})
    _end(tenant)


@pytest.mark.alone
@pytest.mark.usefixtures("own_release")
def test_after_a_rollback_the_batch_runs_on_and_nothing_is_submitted_twice(
    tenant: Tenant, either_helm: Release
) -> None:
    before = _template(either_helm)
    either_helm.upgrade(**{"operator.workers": "8"})
    # Begun by the newer operator, gone on with by the older one.
    _begin(tenant)
    assert _template(either_helm) != before
    either_helm.rollback()
    assert _template(either_helm) == before
    assert tenant.kube.get("batchjob", "job")["status"]["phase"] == "InProgress"
    _end(tenant)


@pytest.mark.alone
@pytest.mark.helm4
def test_helm_4_installs_upgrades_rolls_back_and_uninstalls_by_server_side_apply(release_of_helm4: Release) -> None:
    release = release_of_helm4
    shown = release.kube.run("get", "deployment", release.name, "--show-managed-fields", "-o", "json")
    managers = {(entry["manager"], entry["operation"]) for entry in json.loads(shown)["metadata"]["managedFields"]}
    assert ("helm", "Apply") in managers
    assert ("helm", "Update") not in managers
    tenant = make_tenant(release)
    try:
        before = _template(release)
        release.upgrade(**{"operator.workers": "8"})
        _begin(tenant)
        release.rollback()
        assert _template(release) == before
        _end(tenant)
        tenant.kube.apply(objects.job("held", objects.in_config_map("prompts"), objects.in_secret("held", "results")))
        _until_in_progress(tenant, "held")
        release.helm("uninstall", release.name, "--wait")
        assert "finalizers" not in tenant.kube.get("batchjob", "held")["metadata"]
        _nothing_is_left_of_the_hook(release)
    finally:
        tenant.kube.run("delete", "namespace", tenant.kube.namespace, "--wait=false")


def _nothing_is_left_of_the_hook(release: Release) -> None:
    for kind in ("clusterrole", "clusterrolebinding", "role", "rolebinding", "job", "serviceaccount"):
        assert not release.kube.exists(kind, f"{release.name}-uninstall"), kind


@pytest.mark.alone
def test_after_an_uninstall_jobs_and_definitions_are_there_and_a_new_release_goes_on(
    tenant: Tenant, own_release: Release
) -> None:
    tenant.kong.configure(in_progress_seconds=4)
    tenant.kube.apply(PROMPTS, JOB)
    _until_in_progress(tenant)
    own_release.helm("uninstall", own_release.name, "--wait")
    assert tenant.kube.get("batchjob", "job")["status"]["phase"] == "InProgress"
    assert own_release.kube.exists("crd", "batchgateways.llmbatch.io")
    own_release.install()
    # The emulator went with the release, and its batches with it: a person is told so, and nothing is submitted anew.
    anew = own_release.instance(tenant.kong.name)
    tenant.kube.until_reason("job", "RemoteBatchNotFound")
    assert anew.batches() == []
    tenant.kube.delete("batchjob", "job")


@pytest.mark.alone
def test_after_an_uninstall_no_job_is_held_whether_it_runs_or_is_being_deleted(
    tenant: Tenant, own_release: Release
) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    other = objects.job("other", objects.in_config_map("prompts"), objects.in_secret("other", "results"))
    tenant.kube.apply(PROMPTS, JOB, other)
    for name in ("job", "other"):
        _until_in_progress(tenant, name)
    tenant.kong.fault("reset_before", times=-1)
    tenant.kube.delete("batchjob", "other", wait=False)
    tenant.kube.until_reason("other", "Deleting")
    own_release.helm("uninstall", own_release.name, "--wait")
    assert not tenant.kube.exists("batchjob", "other")
    assert "finalizers" not in tenant.kube.get("batchjob", "job")["metadata"]
    tenant.kube.delete("batchjob", "job", seconds=5)
    (running,) = [item for item in tenant.kube.events("job") if item["reason"] == "Released"]
    assert "Install it again, and the job goes on" in running["message"]
    (deleted,) = [item for item in tenant.kube.events("other") if item["reason"] == "RemoteFilesRetained"]
    assert "batch" in deleted["message"]
    _nothing_is_left_of_the_hook(own_release)


@pytest.mark.alone
def test_helm_test_runs_a_job(either_helm: Release) -> None:
    release = either_helm
    name = f"{release.name}-test"
    told = release.helm("test", release.name, "--timeout", "5m", seconds=330)
    assert f"TEST SUITE:     {name}" in told
    assert "Phase:          Succeeded" in told
    assert "Succeeded" in {event["reason"] for event in release.kube.events(name)}
    # A second one finds nothing of the first in its way.
    release.helm("test", release.name, "--timeout", "5m", seconds=330)
    for kind in ("batchjob", "batchgateway", "configmap", "pod", "serviceaccount", "role", "rolebinding"):
        assert not release.kube.exists(kind, name), kind


@pytest.mark.alone
def test_with_watch_namespaces_no_cluster_role_is_held_and_only_they_are_served(
    release: Release, own_release: Release
) -> None:
    inside, outside = make_tenant(release), make_tenant(release)
    own_release.upgrade(watchNamespaces=f"{{{inside.kube.namespace}}}")
    for kind in ("clusterroles", "clusterrolebindings"):
        found = own_release.kube.run("get", kind, "-l", "app.kubernetes.io/instance=llmbatch", "-o", "name")
        assert found.strip() == ""
    account = f"system:serviceaccount:{own_release.namespace}:{own_release.name}"
    with pytest.raises(KubectlError):
        outside.kube.run("auth", "can-i", "get", "secrets", "--as", account)
    outside.kube.apply(PROMPTS, JOB)
    inside.kube.apply(PROMPTS, JOB)
    inside.kube.wait_for("job", "Complete")
    assert outside.kube.get("batchjob", "job")["status"] == {"observedGeneration": -1}, "nobody has looked at it"
    for tenant in (inside, outside):
        tenant.kube.run("delete", "batchjob", "job")
        tenant.kube.run("delete", "namespace", tenant.kube.namespace, "--wait=false")
