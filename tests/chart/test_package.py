"""What a catalogue of charts shows of this one is so."""

import base64
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.cases import EVERYTHING
from tests.chart.helm import CHART, Chart, of_kind
from tests.chart.test_templates import container
from tests.cluster.paths import REPOSITORY

PACKAGE = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))


def told(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(PACKAGE["annotations"][f"artifacthub.io/{name}"])
    return found


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_the_icon_is_the_projects_own() -> None:
    kind, _, content = PACKAGE["icon"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content, validate=True) == (REPOSITORY / "docs/icon.svg").read_bytes()


def test_the_definitions_are_those_that_are_installed(chart: Chart) -> None:
    assert {(item["kind"], item["name"], item["version"]) for item in told("crds")} == {
        (crd["spec"]["names"]["kind"], crd["metadata"]["name"], version["name"])
        for crd in of_kind(chart.render(), "CustomResourceDefinition")
        for version in crd["spec"]["versions"]
    }


def test_each_definition_has_an_example_that_is_valid(chart: Chart) -> None:
    examples = told("crdsExamples")
    assert {item["kind"] for item in examples} == {item["kind"] for item in told("crds")}
    finished = chart.conform(yaml.safe_dump_all(examples))
    assert finished.ok, finished.errors


def test_the_images_are_those_that_the_defaults_name(chart: Chart) -> None:
    deployments = of_kind(chart.render({"emulator": EVERYTHING["emulator"]}), "Deployment")
    assert {item["name"]: item["image"] for item in told("images")} == {
        container(item)["name"]: container(item)["image"] for item in deployments
    }


@pytest.mark.parametrize("change", told("changes"), ids=lambda change: change["description"][:40])
def test_each_change_is_in_the_changelog(change: dict[str, str]) -> None:
    assert change["kind"] in {"added", "changed", "deprecated", "removed", "fixed", "security"}
    told_there = words((REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"))
    # A sentence there may go on where the change ends.
    assert change["description"].removesuffix(".") in told_there


def test_every_helm_packs_the_same_files(chart: Chart, tmp_path: Path) -> None:
    first, *others = (contents(packed) for packed in chart.package(tmp_path))

    assert {"llmbatch/Chart.yaml", "llmbatch/values.schema.json", "llmbatch/templates/deployment.yaml"} < first.keys()
    assert others
    assert all(other == first for other in others)


def contents(packed: Path) -> dict[str, bytes]:
    with tarfile.open(packed) as archive:
        return {
            item.name: found.read() for item in archive.getmembers() if (found := archive.extractfile(item)) is not None
        }
