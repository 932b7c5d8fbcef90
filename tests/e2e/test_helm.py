"""The chart on a real cluster: upgrade, uninstall, one namespace only, and no permission too many or too few."""

import base64
import json
from collections.abc import Iterator

import pytest
import yaml
from kubernetes.aio import client as kubernetes_client

from llmbatch.kube.client import Cluster as Adapter
from llmbatch.kube.permissions import OWN_PERMISSIONS, PERMISSIONS
from llmbatch.process.preflight import check
from tests.e2e import objects
from tests.e2e.conftest import Tenant, make_tenant
from tests.e2e.kube import KubectlError
from tests.e2e.release import Release

PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})
JOB = objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results"))
VERBS = list(
    dict.fromkeys(
        (f"{resource.plural}/{subresource}" if subresource else resource.plural, resource.group, verb)
        for needed in (PERMISSIONS, OWN_PERMISSIONS)
        for (resource, subresource), verbs in needed.items()
        for verb in sorted(verbs)
    )
)


@pytest.mark.alone
def test_an_upgrade_takes_jobs_under_way_along(tenant: Tenant, own_release: Release) -> None:
    tenant.kong.configure(in_progress_seconds=8)
    tenant.kube.apply(PROMPTS, JOB)
    tenant.kube.until("job", lambda job: job.get("status", {}).get("phase") == "InProgress", "in progress")
    own_release.upgrade(**{"operator.workers": "8"})
    tenant.kube.wait_for("job", "Complete")
    assert tenant.creates() == 1


@pytest.mark.alone
def test_after_an_uninstall_jobs_and_definitions_are_there_and_a_new_release_goes_on(
    tenant: Tenant, own_release: Release
) -> None:
    tenant.kong.configure(in_progress_seconds=4)
    tenant.kube.apply(PROMPTS, JOB)
    tenant.kube.until("job", lambda job: job.get("status", {}).get("phase") == "InProgress", "in progress")
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
        tenant.kube.until(name, lambda job: job.get("status", {}).get("phase") == "InProgress", "in progress")
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
    # Nothing of the hook is left.
    for kind in ("clusterrole", "clusterrolebinding", "role", "rolebinding", "job", "serviceaccount"):
        assert not own_release.kube.exists(kind, f"{own_release.name}-uninstall"), kind


@pytest.mark.alone
def test_helm_test_runs_a_job(release: Release) -> None:
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


def test_the_role_of_the_chart_is_what_the_operator_checks_for(release: Release) -> None:
    assert _rules(release) == {(group, name, verb) for name, group, verb in VERBS}


@pytest.mark.parametrize(("name", "group", "verb"), VERBS, ids=[f"{verb} {name}" for name, _, verb in VERBS])
async def test_without_any_one_permission_the_operator_refuses_to_start(
    release: Release, account: str, name: str, group: str, verb: str
) -> None:
    without = [
        {"apiGroups": [other_group], "resources": [other], "verbs": [other_verb]}
        for other_group, other, other_verb in sorted(_rules(release))
        if (other_group, other, other_verb) != (group, name, verb)
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "trial"},
        "rules": without,
    }
    release.kube.apply(role)
    adapter = _as_account(release, account)
    try:
        # The API server's authorizer sees a changed Role a moment later.
        for _ in range(100):
            missing = await check(adapter, (release.namespace,), release.namespace)
            if len(missing) == 1 and f"may not {verb} {name}." in missing[0]:
                return
        raise AssertionError(f"{verb} {name} was taken away, but the operator misses {missing}")
    finally:
        await adapter.close()


@pytest.fixture(scope="module")
def account(release: Release) -> Iterator[str]:
    """A service account bound to a Role that tests change; its token."""
    kube = release.kube
    subject = {"kind": "ServiceAccount", "name": "trial", "namespace": release.namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "trial"}
    kube.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "trial"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "trial"},
            "subjects": [subject],
            "roleRef": reference,
        },
    )
    yield kube.run("create", "token", "trial").strip()
    kube.run("delete", "role,rolebinding,serviceaccount", "trial")


def _as_account(release: Release, token: str) -> Adapter:
    config = json.loads(release.kube.run("config", "view", "--raw", "--minify", "-o", "json"))
    server = config["clusters"][0]["cluster"]
    authority = (
        base64.b64decode(server["certificate-authority-data"]).decode()
        if "certificate-authority-data" in server
        else None
    )
    configuration = kubernetes_client.Configuration(host=server["server"])
    configuration.ca_cert_data, configuration.ssl_ca_cert = authority, server.get("certificate-authority")
    configuration.api_key = {"BearerToken": f"Bearer {token}"}
    return Adapter(kubernetes_client.ApiClient(configuration))


def _rules(release: Release) -> set[tuple[str, str, str]]:
    rendered = release.template()
    roles = [
        found
        for found in yaml.safe_load_all(rendered)
        if found
        and found["kind"] in ("ClusterRole", "Role")
        and "aggregat" not in str(found["metadata"].get("labels"))
        and "helm.sh/hook" not in (found["metadata"].get("annotations") or {})
    ]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
