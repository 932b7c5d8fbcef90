"""Every version of Kubernetes that the chart says it is for knows all that it installs."""

import pytest
import yaml

from tests.chart import schemas
from tests.chart.cases import EVERYTHING
from tests.chart.helm import CHART, Chart
from tests.cluster.paths import REPOSITORY


@pytest.mark.parametrize("version", schemas.SUPPORTED)
def test_what_the_chart_installs_is_known(chart: Chart, version: str) -> None:
    rendered = chart.template(EVERYTHING, version=version)
    assert rendered.ok, rendered.errors
    finished = chart.conform(rendered.output, version=version)
    assert finished.ok, finished.errors


@pytest.mark.parametrize("version", schemas.SUPPORTED)
def test_the_manifest_for_those_without_helm_is_known(chart: Chart, version: str) -> None:
    text = (REPOSITORY / "examples/install/install.yaml").read_text(encoding="utf-8")
    finished = chart.conform(text, version=version)
    assert finished.ok, finished.errors


def test_the_versions_are_those_that_the_chart_says() -> None:
    told = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["kubeVersion"]
    assert told == f">={schemas.SUPPORTED[0].removeprefix('v').rpartition('.')[0]}.0-0"
    minors = [int(version.split(".")[1]) for version in schemas.SUPPORTED]
    assert minors == list(range(minors[0], minors[-1] + 1))


def test_the_chart_refuses_an_older_version(chart: Chart) -> None:
    finished = chart.template({}, version="v1.28.9")
    assert not finished.ok
    assert "incompatible with Kubernetes v1.28.9" in finished.errors
