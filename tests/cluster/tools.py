"""The programs of the toolchain: built once from pinned Go modules, kept in the cache, shared by every clone."""

import os
import shutil
from pathlib import Path

from tests.cluster import debian
from tests.cluster.gobuild import build, need_go
from tests.cluster.gomodule import Module
from tests.cluster.model import Tools
from tests.cluster.paths import CACHE, HERE, alone, content_hash, made_whole
from tests.cluster.shell import ClusterError, step

KUBERNETES_VERSION = "v1.34.4"
OLDEST_VERSION = "v1.29.15"
"""Of what is supported; the cluster's servers are of it where the environment has KUBERNETES=oldest."""
SOURCE = HERE / "toolchain"
BY_NAME = ("kubectl", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")

_VERSION_VARIABLES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def _named(version: str) -> str:
    return " ".join(f"-X {package}.gitVersion={version}" for package in _VERSION_VARIABLES)


LDFLAGS = f"-s -w {_named(KUBERNETES_VERSION)}"
HELM_4 = Module("helm4", ("tool",), minutes=3, source=HERE / "helm4")
OLDEST = Module(
    "kubernetes-oldest",
    ("./cmd",),
    minutes=8,
    source=HERE / "oldest",
    links=("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
    ldflags=_named(OLDEST_VERSION),
)


def folder_of_toolchain() -> Path:
    """Return where the toolchain of these sources is, or would be."""
    inputs = [SOURCE / "go.mod", SOURCE / "go.sum", *SOURCE.glob("kube/*.go")]
    return CACHE / f"toolchain-{content_hash(inputs, salt=LDFLAGS)}"


def toolchain() -> Path:
    """Return the folder of our Go programs; build them if no clone on this machine has."""
    folder = folder_of_toolchain()
    if (folder / "bin").is_dir():
        return folder / "bin"
    need_go("No kubectl, helm, kubeconform and promtool on PATH", otherwise=", or these four programs")
    with alone("toolchain", "another clone that builds the toolchain"):
        if not (folder / "bin").is_dir():
            _make(folder)
    return folder / "bin"


def _make(folder: Path) -> None:
    with made_whole(folder) as unfinished:
        programs = unfinished / "bin"
        programs.mkdir()
        with step(
            "Toolchain: building Kubernetes, etcd, CoreDNS, helm, kubeconform from Go modules", about="8 minutes"
        ):
            build(SOURCE, ("./kube", "tool"), programs, title="Toolchain", ldflags=LDFLAGS)
        for name in BY_NAME:
            (programs / name).symlink_to("kube")


def kubernetes() -> str:
    """Return the version of the embedded cluster's servers: the newest, unless the environment says KUBERNETES=oldest.

    Raises:
        ClusterError: It says something else, of which there are no servers.
    """
    match os.environ.get("KUBERNETES", ""):
        case "":
            return KUBERNETES_VERSION
        case "oldest":
            return OLDEST_VERSION
        case other:
            raise ClusterError(
                f'KUBERNETES={other}: "oldest" takes servers of {OLDEST_VERSION}; without it they are of {KUBERNETES_VERSION}.'
            )


def servers() -> Path:
    """Return the folder of the cluster's servers; build them if no clone on this machine has."""
    if kubernetes() == KUBERNETES_VERSION:
        return toolchain()
    OLDEST.ensure()
    return OLDEST.folder / "bin"


def ensure_tools(*, own: bool = False) -> Tools:
    """Return the tools that tests call: those on PATH if all are there, else (or if `own`) those of the toolchain."""
    names = ("kubectl", "helm", "kubeconform", "promtool", "prometheus")
    on_path = {name: Path(found) for name in names if (found := shutil.which(name))}
    if not own and len(on_path) == len(names):
        return Tools(**on_path)
    programs = toolchain()
    debian.install(debian.TESTS)
    return Tools(
        kubectl=programs / "kubectl",
        helm=programs / "helm",
        kubeconform=programs / "kubeconform",
        promtool=Path(shutil.which("promtool") or "/usr/bin/promtool"),
        prometheus=Path(shutil.which("prometheus") or "/usr/bin/prometheus"),
    )


def helm4() -> Path:
    """Return Helm 4, beside the `helm` of all other tests; build it if no clone on this machine has."""
    HELM_4.ensure()
    return HELM_4.program("helm")
