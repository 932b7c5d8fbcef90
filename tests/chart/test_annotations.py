"""What is written on every object of the chart, and what on one only."""

import pytest

from tests.chart.cases import CASES, EVERYTHING
from tests.chart.helm import Chart, Manifest, Values, named, without_hooks

WAVE = "argocd.argoproj.io/sync-wave"


def annotations(manifest: Manifest) -> dict[str, str]:
    return manifest["metadata"].get("annotations") or {}


@pytest.mark.parametrize("values", CASES)
def test_argo_cd_makes_every_object_before_the_batchjobs_and_deletes_it_after_them(
    chart: Chart, values: Values
) -> None:
    for manifest in without_hooks(chart.render(values)):
        assert annotations(manifest)[WAVE] == "-1", manifest["metadata"]["name"]


def test_hooks_and_pods_keep_to_themselves(chart: Chart) -> None:
    found = chart.render({"commonAnnotations": {"team": "a"}, "emulator": {"enabled": True}})
    stay = without_hooks(found)
    for manifest in found:
        assert ("team" in annotations(manifest)) == (manifest in stay)
        pod = manifest.get("spec", {}).get("template", {}).get("metadata", {})
        assert "team" not in pod.get("annotations", {})


def test_the_order_of_argo_cd_can_be_changed_and_taken_away(chart: Chart) -> None:
    for manifest in without_hooks(chart.render({"commonAnnotations": {WAVE: "-5"}})):
        assert annotations(manifest)[WAVE] == "-5"
    for manifest in without_hooks(chart.render({"commonAnnotations": {WAVE: None}})):
        assert WAVE not in annotations(manifest)
        assert manifest["metadata"].get("annotations") != {}


@pytest.mark.parametrize(("kind", "name", "value"), [
    pytest.param("Deployment", "llmbatch", "deploymentAnnotations", id="Deployment"),
    pytest.param("ServiceAccount", "llmbatch", "serviceAccount.annotations", id="ServiceAccount"),
    pytest.param("Service", "llmbatch-metrics", "metrics.service.annotations", id="Service"),
    pytest.param("CustomResourceDefinition", "batchjobs.llmbatch.io", "crds.annotations", id="definition"),
])  # fmt: skip
def test_an_objects_own_annotation_wins_over_that_of_all(chart: Chart, kind: str, name: str, value: str) -> None:
    own: Values = {WAVE: "3", "its": "own", "empty": ""}
    for part in reversed(value.split(".")):
        own = {part: own}
    found = chart.render({"commonAnnotations": {"empty": "not", "of": "all"}, **own})
    assert {WAVE: "3", "its": "own", "empty": "", "of": "all"}.items() <= annotations(named(found, kind, name)).items()
    assert annotations(named(found, "PodDisruptionBudget", "llmbatch")) == {WAVE: "-1", "empty": "not", "of": "all"}


def test_nothing_makes_an_uninstall_delete_the_definitions(chart: Chart) -> None:
    keep = "helm.sh/resource-policy"
    found = chart.render({"commonAnnotations": {keep: "x"}, "crds": {"annotations": {keep: "y"}}})
    assert annotations(named(found, "CustomResourceDefinition", "batchjobs.llmbatch.io"))[keep] == "keep"


def test_all_of_them_are_valid_together(chart: Chart) -> None:
    deployment = named(chart.render(EVERYTHING), "Deployment", "llmbatch")
    assert annotations(deployment) == {WAVE: "-1", "example.com/owner": "platform", "example.com/tier": "1"}
