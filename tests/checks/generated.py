"""Files made by a generator are what it would make now."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from llmbatch.api import crd
from tests.chart import metrics_table, values_table
from tests.cluster.paths import REPOSITORY
from tests.dashboard import board
from tests.gitops import argocd_cm, plain
from tests.support import diagram, reasons_table, reference

DEFINITIONS = (REPOSITORY / "crds", REPOSITORY / "charts/llmbatch/files/crds")


def definitions() -> list[str]:
    """Compare both copies of the CustomResourceDefinitions with those of the models."""
    with tempfile.TemporaryDirectory() as folder:
        made = {path.name: path.read_bytes() for path in crd.write(Path(folder))}
    complaints = []
    for folder_of_copies in DEFINITIONS:
        held = {path.name: path.read_bytes() for path in folder_of_copies.iterdir()}
        if held != made:
            complaints.append(f"{folder_of_copies.relative_to(REPOSITORY)} is out of date: make crds")
    return complaints


def documents() -> list[str]:
    """Compare the documents that are made, or have parts that are."""
    complaints = []
    for page, made in _pages():
        if page.read_text(encoding="utf-8") != made:
            complaints.append(f"{page.relative_to(REPOSITORY)} is out of date: make docs")
    chart = values_table.README.read_text(encoding="utf-8")
    if values_table.updated(chart, values_table.VALUES.read_text(encoding="utf-8")) != chart:
        complaints.append("the table of values in charts/llmbatch/README.md is out of date: make docs")
    return complaints


def _pages() -> Iterator[tuple[Path, str]]:
    """Give each file that is made, or has a part that is, as it would be made now."""
    yield diagram.PAGE, diagram.with_diagram(diagram.PAGE.read_text(encoding="utf-8"))
    for page, definition in reference.PAGES.items():
        yield page, reference.with_reference(page.read_text(encoding="utf-8"), definition())
    yield reasons_table.PAGE, reasons_table.written(reasons_table.PAGE.read_text(encoding="utf-8"))
    yield metrics_table.PAGE, metrics_table.written(metrics_table.PAGE.read_text(encoding="utf-8"))
    yield board.FILE, board.text()
    yield argocd_cm.PAGE, argocd_cm.text()
    yield plain.PAGE, plain.text()
