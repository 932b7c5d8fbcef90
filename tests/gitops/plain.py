"""python -m tests.gitops.plain: write examples/install/install.yaml, the chart's objects for those without Helm."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.chart.helm import NAMESPACE, Chart, Manifest, without_hooks
from tests.cluster import ensure_tools
from tests.cluster.paths import REPOSITORY

PAGE = REPOSITORY / "examples/install/install.yaml"

_HEAD = """\
# llmbatch as its chart installs it with default values. Made by `make docs`: change charts/llmbatch instead.
"""
_WAVE = "argocd.argoproj.io/sync-wave"
_OF_HELM = ("helm.sh/chart", "app.kubernetes.io/managed-by")
"""Labels that would tell Helm, and people, of a release that is not there."""


def text() -> str:
    """Make the example's manifest, of the chart as it is here."""
    return manifest(Chart(ensure_tools(), Path()).render(), _HEAD)


def manifest(rendered: Sequence[Manifest], head: str) -> str:
    """Make a manifest of what a chart renders: the namespace, the definitions, then the rest in the chart's order."""
    found = without_hooks(rendered)
    for item in found:
        _without_helm(item)
    found.sort(key=lambda item: item["kind"] != "CustomResourceDefinition")
    about: Manifest = {"name": NAMESPACE}
    annotations: list[Manifest] = [item["metadata"].get("annotations") or {} for item in found]
    waves = [int(given[_WAVE]) for given in annotations if _WAVE in given]
    if waves:
        # Argo CD goes by waves before it goes by kinds: the namespace has to be there for what is in it.
        about["annotations"] = {_WAVE: str(min(waves))}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": about}
    return head + yaml.safe_dump_all([namespace, *found], sort_keys=False, width=1000)


def _without_helm(value: object) -> None:
    if isinstance(value, dict):
        for name in _OF_HELM:
            (value.get("labels") or {}).pop(name, None)
        annotations = value.get("annotations") or {}
        annotations.pop("helm.sh/resource-policy", None)
        if "annotations" in value and not annotations:
            del value["annotations"]
        for item in value.values():
            _without_helm(item)
    elif isinstance(value, list):
        for item in value:
            _without_helm(item)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text(), encoding="utf-8")
