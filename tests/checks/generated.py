"""Files made by a generator are what it would make now."""

import tempfile
from pathlib import Path

from llmbatch.api import crd
from tests.chart import metrics_table, values_table
from tests.cluster.paths import REPOSITORY
from tests.dashboard import board
from tests.support import diagram, reference

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
    """Compare the parts of the READMEs that are made."""
    complaints = []
    readme = diagram.README.read_text(encoding="utf-8")
    if diagram.with_diagram(readme) != readme:
        complaints.append("the lifecycle in README.md is out of date: make docs")
    fields = reference.README.read_text(encoding="utf-8")
    if reference.with_reference(fields) != fields:
        complaints.append("the fields in operator/README.md are out of date: make docs")
    chart = values_table.README.read_text(encoding="utf-8")
    if values_table.updated(chart, values_table.VALUES.read_text(encoding="utf-8")) != chart:
        complaints.append("the table of values in charts/llmbatch/README.md is out of date: make docs")
    watched = metrics_table.PAGE.read_text(encoding="utf-8")
    if metrics_table.written(watched) != watched:
        complaints.append("the table of metrics in docs/observability.md is out of date: make docs")
    if board.FILE.read_text(encoding="utf-8") != board.text():
        complaints.append(f"{board.FILE.relative_to(REPOSITORY)} is out of date: make docs")
    return complaints
