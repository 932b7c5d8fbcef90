"""Every example can be applied as it is, and does what it says."""

import json
from typing import Any

import pytest
import trustme
import yaml

from tests.cluster.paths import REPOSITORY
from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import Json, Kube, condition
from tests.e2e.release import Release
from tests.readme.conftest import EXAMPLES

pytestmark = pytest.mark.cluster

FOLDER = REPOSITORY / "examples"
FIVE = [f"prod{number}" for number in range(1, 6)]


def read(file: str) -> list[Json]:
    """Read an example, for another namespace than its own."""
    found = [item for item in yaml.safe_load_all((FOLDER / file).read_text(encoding="utf-8")) if item]
    for item in found:
        del item["metadata"]["namespace"]
    return found


def of_kind(kind: str, found: list[Json]) -> Json:
    (item,) = [item for item in found if item["kind"] == kind]
    return item


def wait_for_gateway(kube: Kube, name: str, reason: str) -> Json:
    path = "{.status.conditions[?(@.type=='Ready')].reason}"
    kube.run("wait", f"--for=jsonpath={path}={reason}", f"batchgateway/{name}", "--timeout=60s")
    return condition(kube.get("batchgateway", name), "Ready")


def custom_ids(lines: str | None) -> list[str]:
    return [json.loads(line)["custom_id"] for line in (lines or "").splitlines()]


@pytest.mark.xdist_group("namespace default")
def test_all_together_as_they_are(default: Kube, release: Release) -> None:
    for path in EXAMPLES:
        default.run("apply", "-f", str(path))
    for name in ("product-descriptions", "catalogue", "catalogue-in-parts", "greetings-with-retries"):
        default.wait_for(name, "Complete", seconds=120)
    default.wait_for("urgent-greetings", "Complete", seconds=120)
    told = default.get("batchjob", "urgent-greetings")["status"]
    assert (told["parts"], told["input"]["estimatedTokens"]) == (2, 3 * 400 + 3 + 5 + 5)
    for name in ("support-tickets", "reviews"):
        default.wait_for(name, "Complete", seconds=120)
    counts = default.get("batchjob", "greetings-with-retries")["status"]["requestCounts"]
    assert counts == {"total": 3, "completed": 3, "failed": 0, "retried": 1}
    assert custom_ids(objects.stored(default, "secret", "product-descriptions", "results.jsonl")) == FIVE
    tickets = ["ticket-1041", "ticket-1042", "ticket-1043"]
    assert custom_ids(objects.stored(default, "configmap", "support-tickets-answers", "answers.jsonl")) == tickets
    default.delete("batchjob", "reviews")
    kept = objects.stored(default, "secret", "reviews-judged", "results.jsonl")
    assert custom_ids(kept) == ["review-1", "review-2"], "its deletionPolicy keeps them"
    assert custom_ids(file_in_volume(default, release, "batch-data", "out/batched-response.jsonl")) == FIVE
    assert custom_ids(file_in_volume(default, release, "batch-data", "out/catalogue-in-parts.jsonl")) == FIVE
    for name in ("kong", "kong-small-files", "kong-openai", "kong-key-auth"):
        wait_for_gateway(default, name, "GatewayReady")
    # Nothing is at its URL; what it does where something is, is below.
    wait_for_gateway(default, "kong-private-ca", "GatewayUnreachable")


def file_in_volume(kube: Kube, release: Release, claim: str, path: str) -> str:
    """Read a file of a volume by a pod of its own."""
    volume = objects.Volume(kube, claim, release.cluster.operator_image)
    try:
        content = volume.read(path)
        assert content is not None, volume.files()
        return content
    finally:
        kube.delete("pod", f"shell-{claim}")


def test_the_gateway_with_a_key_is_ready_when_the_key_is_the_consumers(tenant: Tenant) -> None:
    tenant.kong.configure(kong={"enabled": True, "consumer_keys": ["the-consumers-key"]})
    found = read("gateway-key-auth.yaml")
    of_kind("BatchGateway", found)["spec"]["url"] = tenant.url
    tenant.kube.apply(*found)
    wait_for_gateway(tenant.kube, "kong-key-auth", "GatewayUnauthorized")

    of_kind("Secret", found)["stringData"]["apikey"] = "the-consumers-key"
    tenant.kube.apply(*found)

    wait_for_gateway(tenant.kube, "kong-key-auth", "GatewayReady")


def test_the_gateway_of_a_private_authority_is_ready_when_the_authority_is_named(tenant: Tenant) -> None:
    authority, another = trustme.CA(), trustme.CA()
    host = f"kong.{tenant.kube.namespace}"
    serve_https(tenant, authority.issue_cert(host))
    found = read("gateway-private-ca.yaml")
    of_kind("BatchGateway", found)["spec"]["url"] = f"https://{host}:8443"
    of_kind("ConfigMap", found)["data"]["ca.crt"] = another.cert_pem.bytes().decode()
    tenant.kube.apply(*found)
    refused = wait_for_gateway(tenant.kube, "kong-private-ca", "TLSVerificationFailed")
    assert refused["status"] == "False"

    of_kind("ConfigMap", found)["data"]["ca.crt"] = authority.cert_pem.bytes().decode()
    tenant.kube.apply(*found)

    assert wait_for_gateway(tenant.kube, "kong-private-ca", "GatewayReady")["status"] == "True"


def serve_https(tenant: Tenant, certificate: trustme.LeafCert) -> None:
    """Run an emulator of its own behind a certificate."""
    tenant.kube.apply(
        objects.secret(
            "certificate",
            {
                "tls.crt": "".join(pem.bytes().decode() for pem in certificate.cert_chain_pems),
                "tls.key": certificate.private_key_pem.bytes().decode(),
            },
        ),
        pod(tenant.release.cluster.emulator_image),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kong"},
            "spec": {"selector": {"app": "kong"}, "ports": [{"port": 8443}]},
        },
    )
    tenant.kube.run("wait", "--for=condition=Ready", "pod/kong", "--timeout=90s")


def pod(image: str) -> dict[str, Any]:
    """Make a pod with an emulator that serves HTTPS."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "kong", "labels": {"app": "kong"}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "emulator",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "args": [
                        "--host=0.0.0.0", "--port=8443", "--state-dir=/tmp",
                        "--certfile=/tls/tls.crt", "--keyfile=/tls/tls.key",
                    ],
                    "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
                }
            ],
            "volumes": [{"name": "tls", "secret": {"secretName": "certificate"}}],
        },
    }  # fmt: skip
