"""Every test that the table of faults names exists."""

import re
from pathlib import Path

from tests.cluster.paths import REPOSITORY

README = REPOSITORY / "operator" / "README.md"
BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"
COLUMNS = 4
_TEST = re.compile(r"`(?P<file>tests/[\w/]+\.py)::(?P<name>\w+)`")


def tests_exist() -> list[str]:
    """Look each named test up in its file."""
    table = README.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| Fault ")]
    complaints = [] if rows else ["operator/README.md has no table of faults"]
    for row in rows:
        named = list(_TEST.finditer(row))
        if not named or row.replace("\\|", "").count("|") != COLUMNS + 1:
            complaints.append(f"this row of operator/README.md names no test, or has not {COLUMNS} columns: {row}")
        complaints += [
            f"operator/README.md names a test that is not there: {match['file']}::{match['name']}"
            for match in named
            if not _defines(REPOSITORY / match["file"], match["name"])
        ]
    return complaints


def _defines(path: Path, name: str) -> bool:
    return path.exists() and re.search(rf"def {name}\(", path.read_text(encoding="utf-8")) is not None
