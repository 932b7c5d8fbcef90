"""What the documents show can be copied."""

import re
from pathlib import Path

import pytest

from llmbatch.api import conditions
from llmbatch.api.reasons import Reason
from tests.chart.helm import Chart, manifests
from tests.cluster.paths import REPOSITORY

DOCUMENTS = [
    *sorted(REPOSITORY.glob("*.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    REPOSITORY / "charts/llmbatch/README.md",
    REPOSITORY / "examples/README.md",
]
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`((?:tests|operator|charts|examples)/[^`*<… ]+)`")
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


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_file_that_is_named_is_there(path: Path) -> None:
    named = FILE.findall(path.read_text(encoding="utf-8"))

    assert [file for file in named if not (REPOSITORY / file.partition("::")[0]).exists()] == []


def test_the_reasons_and_conditions_that_the_readme_explains_exist() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("## When something is wrong")[2]
    rows = [line.split("|")[1] for line in text.partition("## Development")[0].splitlines() if line.startswith("| `")]

    explained = {word for row in rows for word in re.findall(r"`(\w+)`", row)}

    known = {*Reason, *(value for key, value in vars(conditions).items() if key.isupper())}
    assert explained
    assert explained <= known
