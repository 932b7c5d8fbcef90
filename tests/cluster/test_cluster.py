"""The cluster itself: what every other test on it takes for granted."""

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import tests.cluster
from tests.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("namespace cluster-test")]

NAMESPACE = "cluster-test"
RESTRICTED: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 12345,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def kubectl(cluster: Cluster, *arguments: str, manifest: object = None) -> str:
    finished = subprocess.run(
        [cluster.tools.kubectl, *arguments],
        env=cluster.env(),
        input=yaml.safe_dump(manifest) if manifest is not None else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def python_job(cluster: Cluster, script: str, *, volumes: dict[str, str] | None = None) -> dict[str, Any]:
    """A Job that runs a script on the operator's image, at the restricted level of pod security."""
    claims = volumes or {}
    container = {
        "name": "main",
        "image": cluster.operator_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", script],
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": claim, "mountPath": path} for claim, path in claims.items()],
    }
    template = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "try", "namespace": NAMESPACE},
        "spec": {"backoffLimit": 0, "template": {"spec": template}},
    }


def run_to_end(cluster: Cluster, job: dict[str, Any]) -> str:
    """Run a Job and return its pod's termination message."""
    kubectl(cluster, "apply", "-f", "-", manifest=job)
    deadline = time.monotonic() + 90
    # Either end is awaited, so that a failure is reported at once and in the pod's own words.
    while not (ended := terminated(cluster)):
        assert time.monotonic() < deadline, kubectl(cluster, "describe", "pods", "-n", NAMESPACE)
        time.sleep(0.3)
    assert ended["exitCode"] == 0, kubectl(cluster, "logs", "-n", NAMESPACE, "job/try")
    message: str = ended.get("message", "")
    return message


def terminated(cluster: Cluster) -> dict[str, Any]:
    pods = json.loads(kubectl(cluster, "get", "pods", "-n", NAMESPACE, "-l", "job-name=try", "-o", "json"))["items"]
    containers = pods[0]["status"].get("containerStatuses", []) if pods else []
    ended: dict[str, Any] = containers[0]["state"].get("terminated", {}) if containers else {}
    return ended


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    kubectl(cluster, "delete", "namespace", NAMESPACE, "--ignore-not-found")
    kubectl(cluster, "apply", "-f", "-", manifest=manifest)
    yield NAMESPACE
    kubectl(cluster, "delete", "namespace", NAMESPACE)


@pytest.mark.usefixtures("namespace")
def test_a_restricted_pod_writes_to_a_claim_and_reports_by_its_termination_message(cluster: Cluster) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": NAMESPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}},
    }
    kubectl(cluster, "apply", "-f", "-", manifest=claim)
    script = """
from pathlib import Path
Path("/data/result").write_text("written")
Path("/dev/termination-log").write_text(Path("/data/result").read_text())
"""
    assert run_to_end(cluster, python_job(cluster, script, volumes={"data": "/data"})) == "written"
    phase = kubectl(cluster, "get", "pvc", "data", "-n", NAMESPACE, "-o", "jsonpath={.status.phase}")
    assert phase == "Bound"


@pytest.mark.usefixtures("namespace")
def test_a_deleted_claim_takes_its_volume_with_it(cluster: Cluster) -> None:
    test_a_restricted_pod_writes_to_a_claim_and_reports_by_its_termination_message(cluster)
    volume = kubectl(cluster, "get", "pvc", "data", "-n", NAMESPACE, "-o", "jsonpath={.spec.volumeName}")
    kubectl(cluster, "delete", "job/try", "pvc/data", "-n", NAMESPACE)
    kubectl(cluster, "wait", f"pv/{volume}", "--for=delete", "--timeout=60s")


@pytest.mark.usefixtures("namespace")
def test_a_pod_finds_the_api_by_name_and_is_known_by_its_service_account(cluster: Cluster) -> None:
    script = """
import json, ssl, urllib.request
from pathlib import Path
account = Path("/var/run/secrets/kubernetes.io/serviceaccount")
request = urllib.request.Request(
    "https://kubernetes.default.svc/apis/authentication.k8s.io/v1/selfsubjectreviews",
    data=json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode(),
    headers={"Authorization": f"Bearer {(account / 'token').read_text()}", "Content-Type": "application/json"},
)
tls = ssl.create_default_context(cafile=account / "ca.crt")
answer = json.load(urllib.request.urlopen(request, context=tls))
Path("/dev/termination-log").write_text(answer["status"]["userInfo"]["username"])
"""
    assert run_to_end(cluster, python_job(cluster, script)) == f"system:serviceaccount:{NAMESPACE}:default"


def test_up_on_a_running_cluster_keeps_it(cluster: Cluster) -> None:
    def identity() -> str:
        return kubectl(cluster, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")

    before = identity()
    assert tests.cluster.up() == cluster
    assert identity() == before


@pytest.mark.alone
def test_a_killed_api_server_comes_back_with_its_data(cluster: Cluster) -> None:
    if cluster.kind != "embedded":
        pytest.skip("only the embedded cluster's parts can be killed")
    before = kubectl(cluster, "get", "namespace", "default", "-o", "jsonpath={.metadata.uid}")
    cluster.restart("kube-apiserver")
    assert kubectl(cluster, "get", "namespace", "default", "-o", "jsonpath={.metadata.uid}") == before
