"""Flux's and Argo CD's controllers and the Prometheus Operator, built from their Go modules."""

from pathlib import Path

from tests.cluster import debian
from tests.cluster.gomodule import Module

SOURCE = Path(__file__).parent / "toolchain"

KUSTOMIZE_CONTROLLER = Module(
    "kustomize-controller",
    ("./kstatus", "tool"),
    "github.com/fluxcd/kustomize-controller",
    "config/crd/bases",
    source=SOURCE / "kustomize-controller",
)
SOURCE_CONTROLLER = Module(
    "source-controller",
    ("tool",),
    "github.com/fluxcd/source-controller",
    "config/crd/bases",
    source=SOURCE / "source-controller",
)
ARGO_CD = Module(
    "argocd",
    ("./judge", "tool"),
    "github.com/argoproj/argo-cd/v3",
    "manifests/crds",
    minutes=6,
    source=SOURCE / "argocd",
    # What it is called by says which of its programs it is.
    links=("argocd-application-controller", "argocd-repo-server"),
)
PROMETHEUS_OPERATOR = Module(
    "prometheus-operator",
    ("tool",),
    "github.com/prometheus-operator/prometheus-operator",
    "example/prometheus-operator-crd",
    minutes=3,
    source=SOURCE / "prometheus-operator",
)
PROMETHEUS_DISCOVERY = Module(
    "prometheus-discovery", ("./discover",), minutes=2, source=SOURCE / "prometheus-discovery"
)
ALL = (KUSTOMIZE_CONTROLLER, SOURCE_CONTROLLER, ARGO_CD, PROMETHEUS_OPERATOR, PROMETHEUS_DISCOVERY)


def ensure(*modules: Module) -> None:
    """Have the programs of modules; build them if no clone on this machine has."""
    for module in modules:
        module.ensure()
    debian.install(debian.GITOPS)
