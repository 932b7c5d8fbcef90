"""What Helm prints after an install."""

from pathlib import Path

import pytest

from tests.chart.cases import CASES, TWO_NAMESPACES
from tests.chart.helm import Chart, Values, manifests


def applied(notes: str) -> str:
    """What the notes say to pipe into kubectl apply."""
    parts = [part.partition("\n   EOF\n")[0] for part in notes.split("<<'EOF'\n")[1:]]
    assert parts, notes
    return "\n---\n".join("\n".join(line.removeprefix("   ") for line in part.splitlines()) for part in parts)


@pytest.mark.parametrize("values", CASES)
def test_what_the_notes_say_to_apply_is_valid(chart: Chart, values: Values, tmp_path: Path) -> None:
    text = applied(chart.notes(values, tmp_path))

    finished = chart.conform(text)

    assert finished.ok, finished.errors
    assert [manifest["kind"] for manifest in manifests(text)] == ["BatchGateway", "BatchJob"]


def test_the_notes_lead_to_the_emulator_when_it_is_there(chart: Chart, tmp_path: Path) -> None:
    gateway, _ = manifests(applied(chart.notes({"emulator": {"enabled": True}}, tmp_path)))

    assert gateway["spec"]["url"] == "http://llmbatch-emulator.llmbatch-system:8000"


def test_the_notes_name_a_namespace_that_is_watched(chart: Chart, tmp_path: Path) -> None:
    found = manifests(applied(chart.notes(TWO_NAMESPACES, tmp_path)))

    assert {manifest["metadata"]["namespace"] for manifest in found} == {"team-a"}
