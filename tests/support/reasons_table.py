"""Puts the tables of all reasons into docs/reasons.md, from where they are declared: python -m tests.support.reasons_table."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from llmbatch.api import reasons
from llmbatch.api.reasons import Reason

PAGE = Path(__file__).parents[2] / "docs/reasons.md"
BEGIN, END = "<!-- reasons:begin -->\n", "<!-- reasons:end -->\n"

# A group's title; or a reason, with what it means beside it or below it.
_PART = re.compile(
    r"^    # --- (?P<group>.*?) -+$"
    r'|^    [A-Z_]+ = "(?P<reason>\w+)"(?:  # (?P<beside>.*)|\n    """(?P<below>(?s:.*?))""")$',
    re.MULTILINE,
)


def declared() -> Iterator[tuple[str, str]]:
    """Give each group's title with an empty text, and each reason with its meaning, in the order of the module."""
    for found in _PART.finditer(inspect.getsource(reasons)):
        if found["group"]:
            yield found["group"], ""
        else:
            yield found["reason"], " ".join((found["beside"] or found["below"]).split())


def tables() -> str:
    """Make a table for each group."""
    made: list[str] = []
    for name, meaning in declared():
        if meaning:
            made.append(f"| `{name}` | {_quoted(meaning)} |\n")
        else:
            made.append(f"\n### {name[:1].upper()}{name[1:]}\n\n| Reason | Meaning |\n|---|---|\n")
    return "".join(made) + "\n"


def _quoted(meaning: str) -> str:
    """Have names of fields stand out."""
    told = re.sub(r"(?<![\w`])((?:spec|status)\.[\w.]+\w|max[A-Z]\w+|\w+Path)(?!\w)", r"`\1`", meaning)
    return told.replace("|", "\\|")


def written(text: str) -> str:
    """Put the tables into the page."""
    if BEGIN not in text or END not in text:
        raise ValueError(f"the marks {BEGIN.strip()} and {END.strip()} are missing")
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}{tables()}{END}", text, flags=re.DOTALL)


def unexplained() -> list[Reason]:
    """Name reasons that the module declares in another way than the others."""
    told = {name for name, meaning in declared() if meaning}
    return [reason for reason in Reason if reason not in told]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
