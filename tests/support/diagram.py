"""Puts the diagrams of the lifecycles into docs/concepts.md: python -m tests.support.diagram [--check]."""

import argparse
import sys
from pathlib import Path

from llmbatch.batch.pure import lifecycle as of_batch
from llmbatch.job.pure import lifecycle as of_job

PAGE = Path(__file__).parents[2] / "docs/concepts.md"
BEGIN = "<!-- lifecycle:begin -->\n"
END = "<!-- lifecycle:end -->"


def with_diagram(text: str) -> str:
    """Give a text with the current diagrams between the two marks."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError("the marks lifecycle:begin and lifecycle:end are missing")
    of_one = f"A batch, and so a job with one:\n\n```mermaid\n{of_batch.diagram()}\n```\n"
    of_several = f"A job with several:\n\n```mermaid\n{of_job.diagram()}\n```\n"
    return f"{before}{BEGIN}\n{of_one}\n{of_several}\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or check it; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.diagram", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the diagram is out of date")
    given = parser.parse_args(arguments)
    text = PAGE.read_text(encoding="utf-8")
    current = with_diagram(text)
    if given.check:
        if text != current:
            sys.stderr.write("The lifecycle in docs/concepts.md is out of date: python -m tests.support.diagram\n")
            return 1
        return 0
    PAGE.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
