"""The chart as helm and kubeconform see it."""

import json
import re
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
    further_helms: tuple[Path, ...] = ()
    """Whatever is asked of Helm is asked of these too: they have to make the same objects, and to refuse the same."""

    def lint(self, values: Values) -> Finished:
        """Run helm lint, with warnings as errors."""
        version = ["--kube-version", KUBERNETES_VERSION]
        return self._helms(["lint", "--strict", CHART, *version, "--values", "-"], values)[0]

    def template(
        self,
        values: Values,
        *,
        chart: Path = CHART,
        show: str = "",
        version: str = KUBERNETES_VERSION,
        release: str = RELEASE,
        namespace: str = NAMESPACE,
    ) -> Finished:
        """Run helm template, for a version of Kubernetes."""
        only = ["--show-only", show] if show else []
        where = ["--namespace", namespace, "--kube-version", version]
        finished, *others = self._helms(["template", release, chart, *where, *only, "--values", "-"], values)
        for helm, other in zip(self.further_helms, others, strict=True):
            assert manifests(other.output) == manifests(finished.output), f"{helm} makes something else of {values}"
        return finished

    def package(self, folder: Path) -> list[Path]:
        """Give what helm package makes of the chart, by each Helm."""
        packed: list[Path] = []
        for number, helm in enumerate((self.tools.helm, *self.further_helms)):
            finished = _run([helm, "package", CHART, "--destination", folder / str(number)])
            assert finished.ok, finished.errors
            packed += (folder / str(number)).iterdir()
        return packed

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

    def _helms(self, arguments: Sequence[str | Path], values: Values) -> list[Finished]:
        """Run each Helm with values; all of them succeed, or refuse with the same words."""
        helms = (self.tools.helm, *self.further_helms)
        finished = [_run([helm, *arguments], json.dumps(values)) for helm in helms]
        for helm, other in zip(helms[1:], finished[1:], strict=True):
            said = f"{helm} says of {values}:\n{other.errors}and {helms[0]}:\n{finished[0].errors}"
            assert (other.ok, complaints(other)) == (finished[0].ok, complaints(finished[0])), said
        return finished


def complaints(finished: Finished) -> list[str]:
    """Give what Helm complains of, in no order.

    Where is left out: for the name of a property, the library of both versions names another place each time.
    """
    found = re.findall(r"^ *(?:Error:|\[[A-Z]+\]|- at).*", finished.errors, re.MULTILINE)
    return sorted(re.sub(r"- at '[^']*'", "- at", line) for line in found)


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
