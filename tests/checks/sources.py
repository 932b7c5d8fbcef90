"""What no linter asks of the sources."""

import ast
import shutil
import statistics
import subprocess
from collections.abc import Iterator

from tests.cluster.paths import REPOSITORY

LONGEST = 300
"""Lines of a module: beyond that, it does more than one thing."""
LONGEST_CLASS = 150
"""Lines of a class of the operator, from `class` to its end: the same."""
MEDIAN = 110
"""Lines of the operator's modules: half of them have no more, so that each says at a glance what it is for."""
MEDIAN_FUNCTION, MOST_FUNCTIONS = 8, 25
"""Lines of the operator's functions: of the median one, and of nine in ten."""


def sizes() -> list[str]:
    """Name modules that are too long, and classes of the operator that are; say which of its medians has grown."""
    complaints = _medians()
    for top in ("operator", "tests"):
        for path in sorted((REPOSITORY / top).rglob("*.py")):
            text, shown = path.read_text(encoding="utf-8"), path.relative_to(REPOSITORY)
            if (length := len(text.splitlines())) > LONGEST:
                complaints.append(f"{shown} has {length} lines, more than {LONGEST}: split it")
            if top == "operator":
                complaints += [f"{shown}: {complaint}" for complaint in _too_long_classes(text)]
    return complaints


def _medians() -> list[str]:
    texts = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "operator").rglob("*.py")]
    functions = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    found = (
        ("half of the operator's modules", statistics.median(len(text.splitlines()) for text in texts), MEDIAN),
        ("half of its functions", statistics.median(functions), MEDIAN_FUNCTION),
        ("nine in ten of its functions", statistics.quantiles(functions, n=10)[-1], MOST_FUNCTIONS),
    )
    return [
        f"{what} have up to {lines:g} lines, more than {most}: split some"
        for what, lines, most in found
        if lines > most
    ]


def _too_long_classes(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef) or node.end_lineno is None:
            continue
        if (length := node.end_lineno - node.lineno + 1) > LONGEST_CLASS:
            remedy = "move one of the things it does into a class of its own"
            yield f"class {node.name} has {length} lines, more than {LONGEST_CLASS}: {remedy}"


def go() -> list[str]:
    """Name Go files that gofmt would change."""
    if not shutil.which("gofmt"):
        return ["gofmt is missing: install Go 1.26 or newer"]
    listed = subprocess.run(
        ["gofmt", "-l", "tests/cluster/toolchain"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return [*listed.stderr.splitlines(), *(f"gofmt -w {name}" for name in listed.stdout.splitlines())]
