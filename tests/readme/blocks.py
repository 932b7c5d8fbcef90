"""Commands in a document, and what it shows of their output."""

import re
from dataclasses import dataclass

BLOCK = re.compile(r"^```(console|sh|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """A command, and the output that is shown below it."""

    text: str
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A block of YAML."""

    text: str


def read(document: str) -> list[Command | Manifest]:
    """Give commands and manifests in the order of the document."""
    found: list[Command | Manifest] = []
    for language, text in BLOCK.findall(document):
        if language == "yaml":
            found.append(Manifest(text))
        else:
            found += _commands(text.replace("\\\n", " "))
    return found


def _commands(text: str) -> list[Command]:
    lines = [line for line in text.splitlines() if line.strip()]
    if not any(line.startswith("$ ") for line in lines):
        return [Command(line) for line in lines]
    found: list[Command] = []
    for line in lines:
        if line.startswith("$ "):
            found.append(Command(line.removeprefix("$ ")))
        else:
            last = found.pop()
            found.append(Command(last.text, (*last.shown, line)))
    return found


def table(lines: tuple[str, ...] | list[str], *, without: tuple[str, ...] = ("AGE", "URL")) -> list[dict[str, str]]:
    """Read what `kubectl get` prints, by the columns of its header; an empty cell is an empty text."""
    header = lines[0]
    starts = [match.start() for match in re.finditer(r"\S+", header)]
    ends: list[int | None] = [*starts[1:], None]
    rows = [[line[start:end].strip() for start, end in zip(starts, ends, strict=True)] for line in lines]
    return [{name: cell for name, cell in zip(rows[0], row, strict=True) if name not in without} for row in rows[1:]]
