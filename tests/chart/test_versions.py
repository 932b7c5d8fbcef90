"""Every version of Kubernetes that the chart says it is for knows all that it installs."""

import re

import pytest
import yaml

from tests.chart import schemas
from tests.chart.cases import EVERYTHING
from tests.chart.helm import CHART, Chart
from tests.cluster.paths import REPOSITORY
from tests.cluster.tools import KUBERNETES_VERSION


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


def test_what_providers_put_behind_a_version_is_no_obstacle(chart: Chart) -> None:
    assert chart.template({}, version="v1.29.4-eks-036c24b").ok


def test_the_page_on_upgrades_says_on_which_version_all_tests_run() -> None:
    page = (REPOSITORY / "docs/upgrade.md").read_text(encoding="utf-8")
    (tested,) = re.findall(r"^\| (1\.\d+) \| All tests run on it \|$", page, re.MULTILINE)
    assert KUBERNETES_VERSION.startswith(f"v{tested}.")
