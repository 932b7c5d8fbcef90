"""Puts the diagram of the lifecycle into the README: python -m tests.support.diagram [--check]."""

import argparse
import sys
from pathlib import Path

from llmbatch.batch.pure import lifecycle

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- lifecycle:begin -->\n"
END = "<!-- lifecycle:end -->"


def with_diagram(text: str) -> str:
    """Give a text with the current diagram between the two marks."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError("the marks lifecycle:begin and lifecycle:end are missing")
    return f"{before}{BEGIN}```mermaid\n{lifecycle.diagram()}\n```\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Write the README, or check it; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.diagram", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the diagram is out of date")
    given = parser.parse_args(arguments)
    text = README.read_text(encoding="utf-8")
    current = with_diagram(text)
    if given.check:
        if text != current:
            sys.stderr.write("README.md's lifecycle is out of date: python -m tests.support.diagram\n")
            return 1
        return 0
    README.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
