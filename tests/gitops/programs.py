"""Flux's and Argo CD's controllers and the Prometheus Operator, built from their Go modules: kept in the cache under a key of their own, so that
only those pay for them who run these tests."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import debian
from tests.cluster.gobuild import build, need_go
from tests.cluster.paths import CACHE, alone, content_hash
from tests.cluster.shell import step

SOURCE = Path(__file__).parent / "toolchain"


@dataclass(frozen=True)
class Module:
    """A folder with a go.mod: what of it is built, and which custom resource definitions its upstream module brings."""

    name: str
    packages: tuple[str, ...]
    upstream: str
    definitions: str


MODULES = (
    Module("kustomize-controller", ("./kstatus", "tool"), "github.com/fluxcd/kustomize-controller", "config/crd/bases"),
    Module("source-controller", ("tool",), "github.com/fluxcd/source-controller", "config/crd/bases"),
    Module("argocd", ("./judge", "tool"), "github.com/argoproj/argo-cd/v3", "manifests/crds"),
    Module(
        "prometheus-operator",
        ("tool",),
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd",
    ),
)


@dataclass(frozen=True)
class Programs:
    """The folder of what was built."""

    folder: Path

    def path(self, name: str) -> Path:
        """Give a program by its name."""
        return self.folder / "bin" / name

    def definitions(self, module: str) -> list[Path]:
        """Give the custom resource definitions of a module."""
        return sorted(
            path for path in (self.folder / "crds" / module).glob("*.yaml") if "kustomization.yaml" not in path.name
        )


def ensure() -> Programs:
    """Return the programs; build them if no clone on this machine has."""
    folder = _folder()
    if not folder.is_dir():
        need_go("No controllers of Flux and Argo CD")
        with alone("gitops", "another clone that builds Flux and Argo CD"):
            if not folder.is_dir():
                _make(folder)
    debian.install(debian.GITOPS)
    return Programs(folder)


def _folder() -> Path:
    inputs = [path for path in SOURCE.rglob("*") if path.is_file()]
    return CACHE / f"gitops-{content_hash([*inputs, Path(__file__)])}"


def _make(folder: Path) -> None:
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "bin").mkdir(parents=True)
    with step("Flux, Argo CD, Prometheus Operator: building them from Go modules", about="15 minutes"):
        for module in MODULES:
            source = SOURCE / module.name
            build(source, module.packages, unfinished / "bin", title=module.name)
            found = subprocess.run(
                ["go", "list", "-m", "-f", "{{.Dir}}", module.upstream],
                cwd=source, capture_output=True, text=True, check=True,
            )  # fmt: skip
            shutil.copytree(Path(found.stdout.strip(), module.definitions), unfinished / "crds" / module.name)
    for name in ("argocd-application-controller", "argocd-repo-server"):
        # What it is called by says which of its programs it is.
        (unfinished / "bin" / name).symlink_to("cmd")
    # Renamed only when whole, so that a build that was broken off is never taken for one.
    unfinished.rename(folder)
