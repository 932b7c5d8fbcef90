"""python -m tests.chart.values_table: write the table of values in the chart's README from the comments in values.yaml.

A comment that begins with `# -- ` documents the key below it; a key that has none is a group, whose members have.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.paths import REPOSITORY

CHART = REPOSITORY / "charts/llmbatch"
VALUES = CHART / "values.yaml"
README = CHART / "README.md"
BEGIN, END = "<!-- values:begin -->\n", "<!-- values:end -->\n"

_KEY = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z][A-Za-z0-9]*):")


@dataclass(frozen=True)
class Value:
    """One documented value."""

    path: tuple[str, ...]
    default: Any
    description: str


def read(text: str) -> list[Value]:
    """Read the documented values, in the order of the file."""
    everything = yaml.safe_load(text)
    found: list[Value] = []
    parents: list[str] = []
    comment: list[str] = []
    inside: int | None = None  # indentation of the documented key whose members are its default
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("#") and comment:
            comment.append(stripped.removeprefix("#").strip())
        elif key := _KEY.match(line):
            indent = len(key["indent"])
            if inside is not None and indent > inside:
                continue
            inside = None
            parents = [*parents[: indent // 2], key["name"]]
            if comment:
                found.append(Value(tuple(parents), _at(everything, parents), " ".join(comment)))
                comment, inside = [], indent
    return found


def undocumented(text: str) -> list[str]:
    """Name the values that no comment covers."""
    documented = {value.path for value in read(text)}
    return [
        ".".join(path)
        for path in _leaves(yaml.safe_load(text))
        if not any(path[: len(covered)] == covered for covered in documented)
    ]


def table(text: str) -> str:
    """Make the table."""
    rows = [
        f"| `{'.'.join(value.path)}` | `{json.dumps(value.default)}` | {value.description.replace('|', chr(92) + '|')} |\n"
        for value in read(text)
    ]
    return "".join(["| Value | Default | What it does |\n", "|---|---|---|\n", *rows])


def updated(readme: str, text: str) -> str:
    """Give the README with the table of these values in its place."""
    before, _, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the README has no {BEGIN.strip()} … {END.strip()}")
    return f"{before}{BEGIN}{table(text)}{END}{after}"


def _at(values: Any, path: list[str]) -> Any:
    for name in path:
        values = values[name]
    return values


def _leaves(values: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, value in values.items():
        path = (*above, name)
        found += _leaves(value, path) if isinstance(value, dict) and value else [path]
    return found


def write(readme: Path = README, values: Path = VALUES) -> None:
    """Bring the chart's README up to date."""
    readme.write_text(updated(readme.read_text(encoding="utf-8"), values.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write()
