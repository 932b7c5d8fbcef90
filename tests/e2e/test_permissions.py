"""The chart's role on a real cluster: no permission too many or too few."""

import base64
import json
from collections.abc import Iterator

import pytest
import yaml
from kubernetes.aio import client as kubernetes_client

from llmbatch.kube.client import Cluster as Adapter
from llmbatch.kube.permissions import DISPENSABLE, OWN_PERMISSIONS, PERMISSIONS, Permissions
from llmbatch.process.preflight import check
from tests.e2e.release import Release


def _verbs(*permissions: Permissions) -> list[tuple[str, str, str]]:
    """Give each once: what it is about, its group, the verb."""
    found = (
        (f"{resource.plural}/{subresource}" if subresource else resource.plural, resource.group, verb)
        for needed in permissions
        for (resource, subresource), verbs in needed.items()
        for verb in sorted(verbs)
    )
    return list(dict.fromkeys(found))


VERBS = _verbs(PERMISSIONS, OWN_PERMISSIONS)
NEEDED = [known for known in VERBS if known not in _verbs(DISPENSABLE)]


def test_the_role_of_the_chart_is_what_the_operator_checks_for(release: Release) -> None:
    assert _rules(release) == {(group, name, verb) for name, group, verb in VERBS}


@pytest.mark.parametrize(("name", "group", "verb"), NEEDED, ids=[f"{verb} {name}" for name, _, verb in NEEDED])
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
