"""One version, in every file that names it."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

PROJECT = "pyproject.toml"
CHART = "charts/llmbatch/Chart.yaml"
PACKAGE = "operator/llmbatch/__init__.py"
EXAMPLE = "examples/install/kustomization.yaml"
START = "docs/index.md"
CHANGELOG = "CHANGELOG.md"

_SEMANTIC = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
_IN_PACKAGE = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_IN_START = re.compile(r"registry\.example\.com/llmbatch:(\S+)")
_SECTION = re.compile(r"^## \[?([^\s\]]+)", re.MULTILINE)


def version(root: Path) -> str:
    """Read the project's version."""
    return str(_toml(root / PROJECT)["project"]["version"])


def disagreements(root: Path, *, snapshot: bool) -> list[str]:
    """Say of each file and field that names another version than the project's; a snapshot may be `Unreleased`."""
    wanted = version(root)
    complaints = []
    if not _SEMANTIC.fullmatch(wanted):
        complaints.append(f"{PROJECT}: project.version is {wanted!r}, which Helm does not take: write it as 1.2.3")
    for (file, field), read in _FIELDS.items():
        named = read((root / file).read_text(encoding="utf-8")) or ["missing"]
        complaints += [
            f"{file}: {field} is {found}, but project.version of {PROJECT} is {wanted}"
            for found in named
            if found != wanted
        ]
    sections = _SECTION.findall((root / CHANGELOG).read_text(encoding="utf-8"))
    if wanted not in sections and not (snapshot and "Unreleased" in sections):
        complaints.append(f"{CHANGELOG}: has no section `## {wanted}`: give the section `Unreleased` that name")
    return complaints


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _of_chart(field: str) -> Callable[[str], list[str]]:
    return lambda text: [str(found[field])] if field in (found := yaml.safe_load(text)) else []


def _of_example(text: str) -> list[str]:
    images = yaml.safe_load(text).get("images") or []
    return [str(image["newTag"]) for image in images if "newTag" in image]


_FIELDS: dict[tuple[str, str], Callable[[str], list[str]]] = {
    (CHART, "version"): _of_chart("version"),
    (CHART, "appVersion"): _of_chart("appVersion"),
    (PACKAGE, "__version__"): _IN_PACKAGE.findall,
    (EXAMPLE, "images[].newTag"): _of_example,
    (START, "the tag of registry.example.com/llmbatch"): _IN_START.findall,
}
