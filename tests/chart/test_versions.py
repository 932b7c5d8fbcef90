"""The chart on each version of Kubernetes that docs/upgrade.md names."""

import re
import subprocess

import pytest

from tests.chart.helm import CHART, Chart
from tests.cluster.paths import REPOSITORY
from tests.cluster.tools import KUBERNETES_VERSION

PAGE = (REPOSITORY / "docs/upgrade.md").read_text(encoding="utf-8")


def rendered(chart: Chart, version: str) -> subprocess.CompletedProcess[str]:
    command = [str(chart.tools.helm), "template", "llmbatch", str(CHART), "--kube-version", version]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("minor", range(29, 35))
def test_it_renders_for_every_version_of_the_table(chart: Chart, minor: int) -> None:
    finished = rendered(chart, f"v1.{minor}.0")
    assert finished.returncode == 0, finished.stderr


def test_what_providers_put_behind_a_version_is_no_obstacle(chart: Chart) -> None:
    assert rendered(chart, "v1.29.4-eks-036c24b").returncode == 0


def test_before_them_it_is_refused_with_the_reason(chart: Chart) -> None:
    finished = rendered(chart, "v1.28.15")
    assert finished.returncode != 0
    assert "requires kubeVersion: >=1.29.0" in finished.stderr


def test_the_table_says_on_which_version_the_tests_run() -> None:
    (tested,) = re.findall(r"^\| (1\.\d+) \| All tests run on it \|$", PAGE, re.MULTILINE)
    assert KUBERNETES_VERSION.startswith(f"v{tested}.")
