"""What the documents show can be copied."""

import re
from pathlib import Path

import pytest

from llmbatch.api import conditions
from llmbatch.api.reasons import Reason
from llmbatch.job.pure import trouble
from llmbatch.runtime.metrics import ENDINGS
from tests.chart.helm import Chart, manifests
from tests.cluster.paths import REPOSITORY

DOCUMENTS = [
    *sorted(REPOSITORY.glob("*.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    REPOSITORY / "charts/llmbatch/README.md",
    REPOSITORY / "examples/README.md",
]
FILE = re.compile(r"`((?:tests|operator|charts|examples)/[^`*<… ]+)`")
SELECTOR = re.compile(r"-l (app\.kubernetes\.io/[^ `]+)")
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


def test_of_every_reason_that_waits_for_a_person_it_is_told_what_to_do() -> None:
    text = (REPOSITORY / "docs/reasons.md").read_text(encoding="utf-8")
    table = text.partition("## What waits for you")[2].partition("\n\n**")[0]
    told = {
        word
        for line in table.splitlines()
        if line.startswith("| `")
        for word in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    told_by_events = {
        Reason.STATUS_REFUSED, Reason.DUPLICATES_UNCHECKED, Reason.REMOTE_FILES_RETAINED, Reason.OUTPUT_RETAINED,
    }  # fmt: skip
    wanted = {*ENDINGS[conditions.FAILED], *trouble.MAY_PASS, *trouble.LASTING, *told_by_events, Reason.INVALID_SPEC}
    assert {str(reason) for reason in wanted} - told == set()


def test_the_pods_that_commands_select_are_the_operators_whatever_the_chart_is_called(chart: Chart) -> None:
    asked = {found for path in DOCUMENTS for found in SELECTOR.findall(path.read_text(encoding="utf-8"))}
    assert asked
    for values in ({}, {"nameOverride": "batches"}):
        found = chart.render({**values, "emulator": {"enabled": True}})
        pods = [
            item["spec"]["template"]["metadata"]["labels"] for item in found if item["kind"] in ("Deployment", "Job")
        ]
        for selector in asked:
            wanted = dict(pair.split("=") for pair in selector.split(","))
            selected = [labels for labels in pods if wanted.items() <= labels.items()]
            assert [labels["app.kubernetes.io/component"] for labels in selected] == ["operator"], selector


def test_objects_are_called_as_the_pages_say_whatever_the_release_is_called(chart: Chart) -> None:
    pages = [REPOSITORY / "charts/llmbatch/README.md", REPOSITORY / "docs/observability.md"]
    told = {suffix for page in pages for suffix in re.findall(r"<name>(-[a-z-]+)", page.read_text(encoding="utf-8"))}
    assert {"-metrics", "-emulator", "-test", "-view"} <= told
    for release, name in (("llmbatch", "llmbatch"), ("team", "team-llmbatch")):
        rendered = chart.template({"emulator": {"enabled": True}, "watchNamespaces": ["a"]}, release=release)
        made = {found["metadata"]["name"] for found in manifests(rendered.output)}
        assert {f"{name}{suffix}" for suffix in told} <= made
