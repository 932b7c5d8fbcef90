"""What users add to the chart's pods, where these run, and objects of users' own."""

import json

import pytest

from tests.chart.cases import EVERYTHING
from tests.chart.helm import NAMESPACE, Chart, Manifest, Values, named, of_kind
from tests.chart.test_templates import container

NODES = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
    {"matchExpressions": [{"key": "pool", "operator": "Exists"}]}
]}}}  # fmt: skip
TOLERATED = [{"key": "trial", "operator": "Exists"}]


def pod(found: list[Manifest], kind: str, name: str) -> Manifest:
    spec: Manifest = named(found, kind, name)["spec"]["template"]["spec"]
    return spec


def test_volumes_containers_and_names_are_added_to_the_operators_pod(chart: Chart) -> None:
    found = pod(chart.render(EVERYTHING), "Deployment", "llmbatch")
    volumes = [item["name"] for item in found["volumes"]]
    assert volumes == ["tmp", "authorities", "spiffe"]
    assert [item["name"] for item in found["containers"]] == ["operator", "agent"]
    mounts = {item["name"]: item["mountPath"] for item in found["containers"][0]["volumeMounts"]}
    assert set(mounts) == set(volumes)
    assert mounts["spiffe"] == "/run/spiffe"
    assert found["hostAliases"] == EVERYTHING["hostAliases"]
    assert found["dnsPolicy"] == "None"
    assert found["dnsConfig"] == EVERYTHING["dnsConfig"]


def test_nothing_of_it_is_there_unless_it_is_wanted(chart: Chart) -> None:
    found = pod(chart.render(), "Deployment", "llmbatch")
    assert not {"hostAliases", "dnsPolicy", "dnsConfig", "priorityClassName", "affinity"} & set(found)
    assert len(found["containers"]) == 1


def test_the_uninstalls_job_runs_where_the_operator_does_unless_told_otherwise(chart: Chart) -> None:
    same = {"priorityClassName": "high", "affinity": NODES, "nodeSelector": {"a": "b"}, "tolerations": TOLERATED}
    job = pod(chart.render(same), "Job", "llmbatch-uninstall")
    assert {name: job[name] for name in same} == same
    own: Values = {"uninstall": {"priorityClassName": "low", "affinity": {"podAffinity": {}}}}
    job = pod(chart.render({**same, **own}), "Job", "llmbatch-uninstall")
    assert job["priorityClassName"] == "low"
    assert job["affinity"] == {"podAffinity": {}}
    assert not {"priorityClassName", "affinity"} & set(pod(chart.render(), "Job", "llmbatch-uninstall"))


@pytest.mark.parametrize("values", [{}, EVERYTHING, {"commonLabels": {"sidecar.istio.io/inject": "true"}}])
def test_no_mesh_puts_what_never_ends_beside_what_is_to_end(chart: Chart, values: Values) -> None:
    """Helm waits for these pods: with a proxy beside it the uninstall's Job would go on until Helm gives up."""
    found = chart.render(values)
    job = named(found, "Job", "llmbatch-uninstall")["spec"]["template"]["metadata"]
    test = named(found, "Pod", "llmbatch-test")["metadata"]
    for metadata, component in ((job, "uninstall"), (test, "test")):
        assert metadata["labels"]["sidecar.istio.io/inject"] == "false"
        assert metadata["labels"]["app.kubernetes.io/component"] == component
        assert metadata["annotations"].items() >= {
            "sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled",
        }.items()  # fmt: skip


def test_the_emulator_runs_where_it_is_told_to_and_not_where_the_operator_does(chart: Chart) -> None:
    own = {"priorityClassName": "low", "affinity": NODES, "nodeSelector": {"pool": "trial"}, "tolerations": TOLERATED}
    found = pod(chart.render({"emulator": {"enabled": True, **own}}), "Deployment", "llmbatch-emulator")
    assert {name: found[name] for name in own} == own
    found = pod(chart.render({**own, "emulator": {"enabled": True}}), "Deployment", "llmbatch-emulator")
    assert not set(own) & set(found)


def test_objects_of_users_own_may_be_templates_and_stay_as_they_are(chart: Chart) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "{{ .Release.Name }}-quota"},
             "spec": {"hard": {"pods": "4"}}}  # fmt: skip
    text = """
    {{- range $name := list "a" "b" }}
    ---
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": {{ $name | quote }}, "namespace": {{ $.Release.Namespace | quote }}}}
    {{- end }}
    """
    values: Values = {"extraObjects": [quota, "\n".join(line.strip() for line in text.splitlines())]}
    found = chart.render(values)
    assert of_kind(found, "ResourceQuota") == [json.loads(json.dumps(quota).replace("{{ .Release.Name }}", "llmbatch"))]
    assert [item["metadata"] for item in of_kind(found, "ConfigMap")] == [
        {"name": name, "namespace": NAMESPACE} for name in ("a", "b")
    ]
    assert chart.conform(chart.template(values).output).ok
    assert len(found) == len(chart.render()) + 3


@pytest.mark.parametrize("values", [
    pytest.param({"extraContainers": [{"image": "x"}]}, id="a container without a name"),
    pytest.param({"hostAliases": [{"ip": "10.0.0.1"}]}, id="an address without a name"),
    pytest.param({"dnsPolicy": "Cluster"}, id="an unknown policy"),
    pytest.param({"dnsConfig": {"servers": []}}, id="an unknown DNS setting"),
    pytest.param({"uninstall": {"affinity": {"nodeAfinity": {}}}}, id="a misspelt affinity"),
    pytest.param({"extraObjects": {}}, id="one object instead of a list"),
])  # fmt: skip
def test_values_that_can_not_work_are_refused(chart: Chart, values: Values) -> None:
    assert not chart.template(values).ok


def test_the_operator_is_the_first_of_the_containers(chart: Chart) -> None:
    deployment = named(chart.render(EVERYTHING), "Deployment", "llmbatch")
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    assert container(deployment)["name"] == annotations["kubectl.kubernetes.io/default-container"] == "operator"
