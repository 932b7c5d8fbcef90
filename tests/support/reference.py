"""Puts the reference of all fields into docs/batchjob.md and docs/batchgateway.md, from the models: python -m tests.support.reference."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmbatch.api import crd

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- fields:begin -->\n", "<!-- fields:end -->\n"

Schema = dict[str, Any]

PAGES = {DOCS / "batchjob.md": crd.batchjob, DOCS / "batchgateway.md": crd.batchgateway}


def with_reference(text: str, definition: Schema) -> str:
    """Give a page's text with the current reference of its kind between the two marks."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"the marks {BEGIN.strip()} and {END.strip()} are missing")
    return f"{before}{BEGIN}{''.join(_tables(definition))}{END}{after}"


def _tables(definition: Schema) -> Iterator[str]:
    root = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    for part in ("spec", "status"):
        yield f"\n### {part}\n\n| Field | Type | Default | |\n|---|---|---|---|\n"
        for path, schema, required in _fields(root[part], ""):
            default = "required" if required else (f"`{_value(schema['default'])}`" if "default" in schema else "")
            told = schema.get("description", "").replace("|", "\\|")
            yield f"| `{path}` | {_type(schema)}{_range(schema)} | {default} | {told} |\n"
    yield "\n"


def _fields(schema: Schema, above: str) -> Iterator[tuple[str, Schema, bool]]:
    for name, inner in schema.get("properties", {}).items():
        path = f"{above}.{name}" if above else name
        yield path, inner, name in schema.get("required", [])
        yield from _fields(inner, path)
        if inner.get("type") == "array":
            yield from _fields(inner["items"], f"{path}[]")


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if schema.get("format") == "date-time":
        return "time"
    kind = str(schema.get("type", "object"))
    if kind == "array":
        return f"list of {_type(schema['items'])}s"
    if kind == "object" and "additionalProperties" in schema:
        return "map"
    return kind


def _range(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if most is not None:
        return f", {least} to {most}"
    return "" if least is None else f", from {least}"


def _value(given: object) -> str:
    """Write a default as in YAML: `false`, and quotes only where there is nothing else."""
    return given if isinstance(given, str) and given else json.dumps(given)


def write() -> None:
    """Bring both pages up to date."""
    for page, definition in PAGES.items():
        page.write_text(with_reference(page.read_text(encoding="utf-8"), definition()), encoding="utf-8")


if __name__ == "__main__":
    write()
