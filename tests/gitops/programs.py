"""Flux's and Argo CD's controllers and the Prometheus Operator, built from their Go modules: kept in the cache under keys of
their own, so that only those pay for them who run these tests."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import debian
from tests.cluster.gobuild import build, module_folder, need_go
from tests.cluster.paths import CACHE, alone, content_hash, made_whole
from tests.cluster.shell import step

SOURCE = Path(__file__).parent / "toolchain"


@dataclass(frozen=True)
class Module:
    """A folder with a go.mod: what of it is built, and which custom resource definitions its upstream module brings."""

    name: str
    packages: tuple[str, ...]
    upstream: str = ""
    definitions: str = ""
    minutes: int = 4

    @property
    def folder(self) -> Path:
        """Where what these sources make is, or would be."""
        inputs = [path for path in (SOURCE / self.name).rglob("*") if path.is_file()]
        return CACHE / f"{self.name}-{content_hash(inputs, salt=repr(self))}"

    def program(self, name: str) -> Path:
        """Give a program by its name."""
        return self.folder / "bin" / name

    def crds(self) -> list[Path]:
        """Give the files with its custom resource definitions."""
        return sorted(path for path in (self.folder / "crds").glob("*.yaml") if path.name != "kustomization.yaml")


KUSTOMIZE_CONTROLLER = Module(
    "kustomize-controller", ("./kstatus", "tool"), "github.com/fluxcd/kustomize-controller", "config/crd/bases"
)
SOURCE_CONTROLLER = Module("source-controller", ("tool",), "github.com/fluxcd/source-controller", "config/crd/bases", 4)
ARGO_CD = Module("argocd", ("./judge", "tool"), "github.com/argoproj/argo-cd/v3", "manifests/crds", minutes=6)
PROMETHEUS_OPERATOR = Module(
    "prometheus-operator",
    ("tool",),
    "github.com/prometheus-operator/prometheus-operator",
    "example/prometheus-operator-crd",
    minutes=3,
)
PROMETHEUS_DISCOVERY = Module("prometheus-discovery", ("./discover",), minutes=2)
ALL = (KUSTOMIZE_CONTROLLER, SOURCE_CONTROLLER, ARGO_CD, PROMETHEUS_OPERATOR, PROMETHEUS_DISCOVERY)


def ensure(*modules: Module) -> None:
    """Have the programs of modules; build them if no clone on this machine has."""
    for module in modules:
        if not module.folder.is_dir():
            need_go(f"No {module.name}")
            with alone("gitops", "another clone that builds controllers"):
                if not module.folder.is_dir():
                    _make(module)
    debian.install(debian.GITOPS)


def _make(module: Module) -> None:
    source = SOURCE / module.name
    with made_whole(module.folder) as unfinished:
        programs = unfinished / "bin"
        programs.mkdir()
        with step(f"{module.name}: building it from its Go module", about=f"{module.minutes} minutes"):
            build(source, module.packages, programs, title=module.name)
        if module.definitions:
            shutil.copytree(module_folder(source, module.upstream) / module.definitions, unfinished / "crds")
        if module is ARGO_CD:
            for name in ("argocd-application-controller", "argocd-repo-server"):
                # What it is called by says which of its programs it is.
                (programs / name).symlink_to("cmd")
