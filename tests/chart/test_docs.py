"""What the documents show can be copied."""

import re
from pathlib import Path

import pytest

from tests.chart.helm import Chart, manifests
from tests.cluster.paths import REPOSITORY

DOCUMENTS = [
    REPOSITORY / file for file in ("README.md", "CHANGELOG.md", "charts/llmbatch/README.md", "examples/README.md")
]
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def test_every_manifest_in_the_readme_is_valid(chart: Chart) -> None:
    blocks = YAML.findall((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    text = "---\n".join(blocks)

    finished = chart.conform(text)

    assert finished.ok, finished.errors
    assert {manifest["kind"] for manifest in manifests(text)} == {"BatchGateway", "BatchJob"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_within_the_repository_leads_somewhere(path: Path) -> None:
    broken = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if not (path.parent / link).exists()]

    assert broken == []
