"""The chart has Grafana's sidecar find the dashboard."""

import json

import pytest

from tests import cluster
from tests.chart import schemas
from tests.chart.helm import NAMESPACE, Chart, Manifest, Values, of_kind
from tests.dashboard import board


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    return Chart(cluster.ensure_tools(), schemas.custom(tmp_path_factory.mktemp("schemas")))


def config_maps(chart: Chart, **dashboard: object) -> list[Manifest]:
    values: Values = {"metrics": {"dashboard": dashboard}}
    return [found for found in of_kind(chart.render(values), "ConfigMap") if "llmbatch.json" in found["data"]]


def test_without_being_asked_for_there_is_none(chart: Chart) -> None:
    assert config_maps(chart) == []


def test_it_is_in_a_config_map_with_the_label_that_the_sidecar_looks_for(chart: Chart) -> None:
    (made,) = config_maps(chart, enabled=True)
    assert made["metadata"]["namespace"] == NAMESPACE
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert made["metadata"]["annotations"].keys() == {"argocd.argoproj.io/sync-wave"}, "of all objects"


def test_helm_changes_nothing_of_it(chart: Chart) -> None:
    (made,) = config_maps(chart, enabled=True)
    assert json.loads(made["data"]["llmbatch.json"]) == json.loads(board.FILE.read_text(encoding="utf-8"))


def test_namespace_labels_annotations_and_folder_can_be_chosen(chart: Chart) -> None:
    (made,) = config_maps(
        chart, enabled=True, namespace="monitoring", labels={"grafana": "yes", "app.kubernetes.io/instance": "mine"},
        annotations={"team": "a"}, folder="Batches",
    )  # fmt: skip
    metadata = made["metadata"]
    assert metadata["namespace"] == "monitoring"
    assert metadata["labels"]["grafana"] == "yes"
    assert metadata["labels"]["app.kubernetes.io/instance"] == "llmbatch", "what says whose it is stays the chart's own"
    assert metadata["annotations"].items() >= {"team": "a", "grafana_folder": "Batches"}.items()
