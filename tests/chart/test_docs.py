"""What the documents show can be copied."""

import re
from pathlib import Path

import pytest

from llmbatch.api import conditions
from llmbatch.api.reasons import Reason
from tests.cluster.paths import REPOSITORY

DOCUMENTS = [
    *sorted(REPOSITORY.glob("*.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    REPOSITORY / "charts/llmbatch/README.md",
    REPOSITORY / "examples/README.md",
]
FILE = re.compile(r"`((?:tests|operator|charts|examples)/[^`*<… ]+)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_within_the_repository_leads_somewhere(path: Path) -> None:
    broken = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if not (path.parent / link).exists()]

    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_file_that_is_named_is_there(path: Path) -> None:
    named = FILE.findall(path.read_text(encoding="utf-8"))

    assert [file for file in named if not (REPOSITORY / file.partition("::")[0]).exists()] == []


def test_the_reasons_and_conditions_that_are_explained_exist() -> None:
    text = (REPOSITORY / "docs/reasons.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]

    explained = {word for row in rows for word in re.findall(r"`(\w+)`", row)}

    known = {*Reason, *(value for key, value in vars(conditions).items() if key.isupper())}
    assert explained
    assert explained <= known
