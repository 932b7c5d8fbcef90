"""The example for Kustomize: names that it makes reach what BatchJobs and BatchGateways refer to."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import cluster
from tests.chart import schemas
from tests.chart.helm import Chart, manifests, of_kind
from tests.cluster.paths import REPOSITORY

FOLDER = REPOSITORY / "examples/gitops/kustomize"

Json = dict[str, Any]


def built(folder: Path) -> list[Json]:
    tools = cluster.ensure_tools()
    done = subprocess.run([tools.kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return manifests(done.stdout)


def named(found: list[Json], kind: str) -> list[str]:
    return [item["metadata"]["name"] for item in of_kind(found, kind)]


def the(found: list[Json], kind: str) -> Json:
    (item,) = of_kind(found, kind)
    return item


def test_the_example_refers_to_what_it_makes() -> None:
    found = built(FOLDER)
    job, gateway = the(found, "BatchJob")["spec"], the(found, "BatchGateway")["spec"]
    assert [job["gatewayRef"]["name"]] == named(found, "BatchGateway") == ["reviews-kong-monday"]
    (prompts,) = named(found, "ConfigMap")
    assert prompts.startswith("reviews-prompts-monday-"), "with the hash of its content"
    assert job["input"]["configMap"]["name"] == prompts
    (consumer,) = named(found, "Secret")
    assert gateway["headers"][0]["valueFrom"]["secretKeyRef"]["name"] == consumer
    assert job["output"]["secret"]["name"] == "reviews-judged-monday"


def test_what_the_example_makes_is_valid(tmp_path: Path) -> None:
    chart = Chart(cluster.ensure_tools(), schemas.custom(tmp_path))
    finished = chart.conform(yaml.safe_dump_all(built(FOLDER)))
    assert finished.ok, finished.errors


BATCHJOB: Json = {
    "apiVersion": "llmbatch.io/v1alpha1",
    "kind": "BatchJob",
    "metadata": {"name": "job"},
    "spec": {
        "gatewayRef": {"name": "kong"},
        "input": {"persistentVolumeClaim": {"claimName": "data", "path": "in.jsonl"}},
        "output": {"persistentVolumeClaim": {"claimName": "data", "path": "out.jsonl"}},
        "transfer": {
            "serviceAccountName": "mover",
            "imagePullSecrets": [{"name": "pull"}, {"name": "elsewhere"}],
            "priorityClassName": "low",
            "runtimeClassName": "gvisor",
        },
    },
}
GATEWAY: Json = {
    "apiVersion": "llmbatch.io/v1alpha1",
    "kind": "BatchGateway",
    "metadata": {"name": "kong"},
    "spec": {
        "url": "https://kong",
        "headers": [{"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}],
        "query": [{"name": "q", "valueFrom": {"secretKeyRef": {"name": "key", "key": "q"}}}],
        "tls": {
            "caBundle": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}},
            "clientCertificate": {"secretName": "mtls"},
        },
    },
}
REFERRED: list[tuple[str, Json, str, tuple[str | int, ...]]] = [
    ("BatchGateway", BATCHJOB, "kong", ("gatewayRef", "name")),
    ("PersistentVolumeClaim", BATCHJOB, "data", ("input", "persistentVolumeClaim", "claimName")),
    ("PersistentVolumeClaim", BATCHJOB, "data", ("output", "persistentVolumeClaim", "claimName")),
    ("ServiceAccount", BATCHJOB, "mover", ("transfer", "serviceAccountName")),
    ("Secret", BATCHJOB, "pull", ("transfer", "imagePullSecrets", 0, "name")),
    ("PriorityClass", BATCHJOB, "low", ("transfer", "priorityClassName")),
    ("RuntimeClass", BATCHJOB, "gvisor", ("transfer", "runtimeClassName")),
    ("Secret", GATEWAY, "key", ("headers", 0, "valueFrom", "secretKeyRef", "name")),
    ("Secret", GATEWAY, "key", ("query", 0, "valueFrom", "secretKeyRef", "name")),
    ("ConfigMap", GATEWAY, "ca", ("tls", "caBundle", "configMapKeyRef", "name")),
    ("Secret", GATEWAY, "mtls", ("tls", "clientCertificate", "secretName")),
]


@pytest.mark.parametrize(("kind", "user", "name", "path"), REFERRED, ids=lambda value: str(value)[:40])
def test_a_prefix_reaches_every_reference(
    tmp_path: Path, kind: str, user: Json, name: str, path: tuple[str | int, ...]
) -> None:
    groups = {
        "BatchGateway": "llmbatch.io/v1alpha1",
        "PriorityClass": "scheduling.k8s.io/v1",
        "RuntimeClass": "node.k8s.io/v1",
    }
    version = groups.get(kind, "v1")
    referred: Json = {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([user, referred]))
    (tmp_path / "kustomizeconfig.yaml").write_text((FOLDER / "kustomizeconfig.yaml").read_text())
    plan = {"resources": ["all.yaml"], "namePrefix": "a-", "configurations": ["kustomizeconfig.yaml"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(plan))
    value: Any = the(built(tmp_path), user["kind"])["spec"]
    for step in path:
        value = value[step]
    assert value == f"a-{name}"


# --- examples/install ------------------------------------------------------------------------------------------------

INSTALL = REPOSITORY / "examples/install"


def installed(folder: Path, **more: Any) -> list[Json]:
    """Build the install example as a base of somebody's own."""
    (folder / "base").mkdir()
    for name in ("install.yaml", "kustomization.yaml"):
        (folder / "base" / name).write_text((INSTALL / name).read_text())
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["base"], **more}))
    return built(folder)


@pytest.mark.parametrize("more", [
    pytest.param({}, id="as it is"),
    pytest.param({"namePrefix": "a-", "nameSuffix": "-z", "namespace": "batches"}, id="names and namespace"),
    pytest.param({"commonLabels": {"team": "a"}}, id="labels in selectors"),
    pytest.param({"labels": [{"pairs": {"team": "a"}, "includeSelectors": True}]}, id="labels in selectors, as said now"),
    pytest.param({"labels": [{"pairs": {"team": "a"}, "includeTemplates": True}]}, id="labels of pods"),
])  # fmt: skip
def test_what_is_installed_belongs_together_whatever_kustomize_makes_of_its_names_and_labels(
    tmp_path: Path, more: Json
) -> None:
    found = installed(tmp_path, **more)
    deployment, (namespace,) = the(found, "Deployment"), named(found, "Namespace")
    pod = deployment["spec"]["template"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        the(found, "Service")["spec"]["selector"],
        the(found, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= pod["metadata"]["labels"].items() for selector in selectors)
    assert [pod["spec"]["serviceAccountName"]] == named(found, "ServiceAccount")
    for binding in (item for item in found if item["kind"].endswith("Binding")):
        assert binding["roleRef"]["name"] in named(found, binding["roleRef"]["kind"])
        (subject,) = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == (pod["spec"]["serviceAccountName"], namespace)
    assert {item["metadata"].get("namespace", namespace) for item in found} == {namespace}
    (container,) = pod["spec"]["containers"]
    (told,) = [item["value"] for item in container["env"] if item["name"] == "LLMBATCH_IMAGE"]
    assert told == container["image"] == "registry.example.com/llmbatch:0.1.0"


def test_argo_cd_makes_the_namespace_no_later_than_what_is_in_it() -> None:
    found = manifests((INSTALL / "install.yaml").read_text(encoding="utf-8"))
    waves = {
        item["kind"]: int((item["metadata"].get("annotations") or {}).get("argocd.argoproj.io/sync-wave", 0))
        for item in found
    }
    assert waves["Namespace"] == min(waves.values())
