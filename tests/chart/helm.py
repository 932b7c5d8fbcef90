"""The chart as helm and kubeconform see it."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.chart import schemas
from tests.chart.foreign import schemas_of_others
from tests.cluster.model import Tools
from tests.cluster.paths import REPOSITORY
from tests.cluster.tools import KUBERNETES_VERSION

CHART = REPOSITORY / "charts/llmbatch"
RELEASE, NAMESPACE = "llmbatch", "llmbatch-system"

Values = dict[str, Any]
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """A program that ran to its end."""

    ok: bool
    output: str
    errors: str


@dataclass(frozen=True)
class Chart:
    """The chart, and the programs that read it."""

    tools: Tools
    custom_schemas: Path

    def lint(self, values: Values) -> Finished:
        """Run helm lint, with warnings as errors."""
        version = ["--kube-version", KUBERNETES_VERSION]
        return _run([self.tools.helm, "lint", "--strict", CHART, *version, "--values", "-"], json.dumps(values))

    def template(
        self, values: Values, *, chart: Path = CHART, show: str = "", version: str = KUBERNETES_VERSION
    ) -> Finished:
        """Run helm template, for a version of Kubernetes."""
        argv: list[str | Path] = [
            self.tools.helm,
            "template",
            RELEASE,
            chart,
            "--namespace",
            NAMESPACE,
            "--values",
            "-",
        ]
        only = ["--show-only", show] if show else []
        return _run([*argv, "--kube-version", version, *only], json.dumps(values))

    def render(self, values: Values | None = None) -> list[Manifest]:
        """Give the manifests that helm would install."""
        finished = self.template(values or {})
        assert finished.ok, finished.errors
        return manifests(finished.output)

    def notes(self, values: Values, scratch: Path) -> str:
        """Give what helm says after an install."""
        # helm shows the notes of an install only, for which it wants a cluster; so a copy renders them as a manifest.
        copy = scratch / CHART.name
        shutil.copytree(CHART, copy)
        text = (copy / "templates/NOTES.txt").read_text(encoding="utf-8")
        (copy / "templates/_notes.tpl").write_text(f'{{{{ define "notes" }}}}{text}{{{{ end }}}}', encoding="utf-8")
        (copy / "templates/notes.yaml").write_text('text: {{ include "notes" . | toJson }}\n', encoding="utf-8")
        finished = self.template(values, chart=copy, show="templates/notes.yaml")
        assert finished.ok, finished.errors
        notes: str = yaml.safe_load(finished.output)["text"]
        return notes

    def conform(self, text: str, *, version: str = KUBERNETES_VERSION) -> Finished:
        """Check manifests against the schemas of a version of Kubernetes, of our CRDs, and of others'."""
        folders = (schemas.kubernetes(version), self.custom_schemas, schemas_of_others())
        locations = [word for folder in folders for word in ("-schema-location", schemas.location(folder))]
        return _run([self.tools.kubeconform, "-strict", *locations, "-"], text)


def manifests(text: str) -> list[Manifest]:
    """Read a stream of YAML documents."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def of_kind(found: Sequence[Manifest], kind: str) -> list[Manifest]:
    """Pick the manifests of a kind."""
    return [manifest for manifest in found if manifest["kind"] == kind]


def without_hooks(found: Sequence[Manifest]) -> list[Manifest]:
    """Leave out what Helm makes for a moment only, for example after an uninstall."""
    return [manifest for manifest in found if "helm.sh/hook" not in (manifest["metadata"].get("annotations") or {})]


def named(found: Sequence[Manifest], kind: str, name: str) -> Manifest:
    """Pick one manifest."""
    (manifest,) = [manifest for manifest in of_kind(found, kind) if manifest["metadata"]["name"] == name]
    return manifest


def _run(argv: Sequence[str | Path], stdin: str = "") -> Finished:
    finished = subprocess.run([str(word) for word in argv], input=stdin, capture_output=True, text=True, check=False)
    return Finished(finished.returncode == 0, finished.stdout, finished.stdout + finished.stderr)


def permissions(role: Manifest) -> set[tuple[str, str, str]]:
    """Give (group, resource, verb) of all that a role allows."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
