"""A user whose Role allows BatchJobs and nothing else, on the real API server: what he can't get at."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e import objects
from tests.e2e.conftest import Tenant, make_tenant
from tests.e2e.kube import Json, Kube, KubectlError, condition
from tests.e2e.release import Release
from tests.support.canary import CREDENTIAL, CREDENTIAL_WORD, scan

PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})
IN, OUT = objects.in_config_map("prompts"), objects.in_secret("out", "results")


class Writer(Kube):
    """kubectl as the user."""

    def run(self, *arguments: str, stdin: str | bytes | None = None, seconds: float = 120) -> str:
        """Run kubectl as him."""
        account = f"--as=system:serviceaccount:{self.namespace}:writer"
        return super().run(account, *arguments, stdin=stdin, seconds=seconds)


@pytest.fixture
def writer(tenant: Tenant) -> Writer:
    """The user, in the tenant's namespace."""
    return make_writer(tenant)


@pytest.fixture(scope="module")
def shared_tenant(release: Release) -> Iterator[Tenant]:
    """A namespace for all tests of what is refused: they leave nothing in it."""
    made = make_tenant(release)
    yield made
    made.kube.run("delete", "namespace", made.kube.namespace, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def shared_writer(shared_tenant: Tenant) -> Writer:
    """The user there."""
    return make_writer(shared_tenant)


def make_writer(tenant: Tenant) -> Writer:
    """Make the user, his Role, and prompts that he may name."""
    rule = {"apiGroups": ["llmbatch.io"], "resources": ["batchjobs"]}
    verbs = ["create", "get", "list", "watch", "update", "patch", "delete"]
    api = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "writer"}}
    tenant.kube.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "writer"}},
        {**api, "kind": "Role", "rules": [{**rule, "verbs": verbs}]},
        {
            **api,
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer"},
            "subjects": [{"kind": "ServiceAccount", "name": "writer", "namespace": tenant.kube.namespace}],
        },
        PROMPTS,
    )
    return Writer(tenant.kube.cluster, tenant.kube.namespace)


def with_member(path: str, value: object) -> Json:
    """Make a job with one more member."""
    made = copy.deepcopy(objects.job("job", IN, OUT))
    place: dict[str, Any] = made
    *folders, name = path.split(".")
    for folder in folders:
        place = place.setdefault(folder, {})
    place[name] = value
    return made


def test_he_can_run_a_batch_and_that_is_all(tenant: Tenant, writer: Writer) -> None:
    for verb, kind in (
        ("get", "secrets"), ("create", "secrets"), ("get", "configmaps"), ("create", "pods"), ("create", "jobs"),
        ("patch", "batchgateways"), ("patch", "batchjobs/status"), ("get", "persistentvolumeclaims"),
    ):  # fmt: skip
        with pytest.raises(KubectlError):
            writer.run("auth", "can-i", verb, kind.partition("/")[0], f"--subresource={kind.partition('/')[2]}")
    writer.apply(objects.job("job", IN, OUT))
    tenant.kube.wait_for("job", "Complete")
    assert (objects.stored(tenant.kube, "secret", "out", "results") or "").count("\n") == 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(
            pytest.param(f"spec.{place}.namespace", "kube-system", id=f"a namespace in {place}")
            for place in (
                "gatewayRef", "input.configMap", "input.secret", "input.persistentVolumeClaim", "output.secret",
                "output.configMap", "output.persistentVolumeClaim", "input", "output",
            )
        ),
        pytest.param("spec.url", "https://evil.example", id="an address"),
        pytest.param("spec.headers", [{"name": "x", "value": "y"}], id="a header"),
        pytest.param("spec.transfer.image", "evil.example/image", id="an image"),
        pytest.param("spec.transfer.volumes", [{"name": "x", "hostPath": {"path": "/"}}], id="the node's files"),
        pytest.param("spec.transfer.securityContext.privileged", True, id="privileged"),
        pytest.param("spec.transfer.securityContext.seccompProfile", {"type": "Unconfined"}, id="without seccomp"),
        pytest.param("spec.transfer.env", [{"name": "x", "value": "y"}], id="a variable"),
    ],
)  # fmt: skip
def test_a_field_that_would_lead_elsewhere_does_not_exist(
    shared_tenant: Tenant, shared_writer: Writer, path: str, value: object
) -> None:
    tenant, writer = shared_tenant, shared_writer
    found = with_member(path, value)
    with pytest.raises(KubectlError, match=r"field not declared in schema|unknown field"):
        writer.apply(found)
    if path.startswith(("spec.input.secret", "spec.input.pers", "spec.output.conf", "spec.output.pers")):
        return  # two places at once are refused whatever their fields
    # Without strict validation the field is dropped before anybody can see it.
    writer.run("create", "--validate=ignore", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(found))
    stored = writer.run(
        "create", "--validate=ignore", "--dry-run=server", "-o", "json", "-f", "-", stdin=yaml.safe_dump(found)
    )
    place: Any = json.loads(stored)
    for folder in path.split(".")[:-1]:
        place = place.get(folder, {})
    assert path.rpartition(".")[2] not in place
    assert not tenant.kube.exists("batchjob", "job")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(
            pytest.param(f"spec.{place}", name, id=f"{place} {name!r}")
            for place in ("gatewayRef.name", "input.configMap.name", "output.secret.name")
            for name in ("../kube-system/x", "kube-system/x", "..", "a?x", "a#x", "a\r\nx")
        ),
        *(
            pytest.param("spec.output", objects.in_volume("data", name), id=f"path {name!r}")
            for name in ("/etc/passwd", "../x", "a/../../x", "a//x", "./x", "a/", "")
        ),
        *(
            pytest.param(f"spec.transfer.securityContext.{member}", value, id=f"{member} {value}")
            for member, value in (("runAsUser", 0), ("runAsGroup", 0), ("fsGroup", 0), ("supplementalGroups", [0]))
        ),
        pytest.param("spec.endpoint", "/v1\r\nHost: evil.example", id="a header in the endpoint"),
        pytest.param("spec.endpoint", "https://evil.example/", id="an address as endpoint"),
    ],
)
def test_a_value_that_would_lead_elsewhere_is_refused(shared_writer: Writer, path: str, value: object) -> None:
    with pytest.raises(KubectlError, match="is invalid"):
        shared_writer.apply(with_member(path, value))


def test_he_cannot_write_a_status_not_even_with_a_new_job(tenant: Tenant, writer: Writer) -> None:
    forged = {"batches": [{"id": "batch-of-somebody-else", "status": "completed", "outputFileID": "file-1"}]}
    with pytest.raises(KubectlError, match=r"forbidden|status"):
        writer.run(
            "patch", "batchjob", "job", "--subresource=status", "--type=merge", "-p", json.dumps({"status": forged})
        )
    writer.run("create", "-f", "-", stdin=yaml.safe_dump({**objects.job("job", IN, OUT), "status": forged}))
    job = tenant.kube.wait_for("job", "Complete")
    assert "somebody-else" not in json.dumps(job["status"])
    assert tenant.creates() == 1


def test_a_secret_and_a_gateway_of_another_namespace_are_not_found(tenant: Tenant, writer: Writer) -> None:
    other = make_tenant(tenant.release)
    try:
        other.kube.apply(
            objects.secret("theirs", {"batch.jsonl": objects.requests("a")}),
            {**other.gateway(), "metadata": {"name": "their-gateway"}},
        )
        writer.apply(
            objects.job("secret", objects.in_secret("theirs"), OUT),
            objects.job("gateway", IN, objects.in_secret("other-out", "results"), gatewayRef={"name": "their-gateway"}),
        )
        tenant.kube.until_reason("secret", "InputNotFound")
        tenant.kube.until_reason("gateway", "GatewayNotFound")
        assert [call for call in other.kong.calls() if call["operation"].endswith(".create")] == []
    finally:
        other.kube.run("delete", "namespace", other.kube.namespace, "--wait=false")


def test_a_secret_he_may_not_read_is_neither_quoted_nor_overwritten(tenant: Tenant, writer: Writer) -> None:
    before = tenant.kube.get("secret", "canary")
    source = objects.in_secret("canary", "apikey")
    writer.apply(objects.job("reads", source, OUT), objects.job("writes", IN, objects.in_secret("canary", "apikey")))
    tenant.kube.wait_for("reads", "Failed")
    tenant.kube.until_reason("writes", "OutputExists")
    assert tenant.kube.get("secret", "canary") == before
    seen = [writer.run("get", "batchjobs", "-o", "json"), *map(json.dumps, tenant.kube.items("events"))]
    assert scan(seen) == []
    assert CREDENTIAL_WORD in CREDENTIAL


def test_links_and_pipes_in_his_volume_lead_nowhere(tenant: Tenant, writer: Writer) -> None:
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    volume.python(
        "import os; os.mkfifo('/data/pipe.jsonl'); os.symlink('/tmp', '/data/out'); os.mkdir('/data/real');"
        "os.symlink('/tmp/x', '/data/real/link.jsonl'); os.symlink('/dev/zero', '/data/zero.jsonl')"
    )
    for name in ("pipe", "zero"):
        writer.apply(objects.job(name, objects.in_volume("data", f"{name}.jsonl"), objects.in_secret(name, "results")))
    writer.apply(
        objects.job("folder", IN, objects.in_volume("data", "out/results.jsonl")),
        objects.job("file", IN, objects.in_volume("data", "real/link.jsonl")),
    )
    for name in ("pipe", "zero"):
        tenant.kube.until_reason(name, "InputNotFound", seconds=90)
    for name in ("folder", "file"):
        job = tenant.kube.until_reason(name, "OutputInvalid", seconds=90)
        assert "symbolic link" in condition(job, "Stalled")["message"]
    assert volume.files() == ["pipe.jsonl", "real/link.jsonl", "zero.jsonl"], "nothing was written, there or elsewhere"
