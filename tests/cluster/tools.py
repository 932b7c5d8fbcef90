"""The programs of the toolchain: built once from pinned Go modules, kept in the cache, shared by every clone."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.cluster import debian
from tests.cluster.model import Tools
from tests.cluster.paths import CACHE, HERE, alone, content_hash
from tests.cluster.shell import ClusterError, say, step

KUBERNETES_VERSION = "v1.34.4"
SOURCE = HERE / "toolchain"
BY_NAME = ("kubectl", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")

_VERSION_VARIABLES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
LDFLAGS = " ".join(["-s", "-w", *(f"-X {package}.gitVersion={KUBERNETES_VERSION}" for package in _VERSION_VARIABLES)])


def folder_of_toolchain() -> Path:
    """Return where the toolchain of these sources is, or would be."""
    inputs = [SOURCE / "go.mod", SOURCE / "go.sum", *SOURCE.glob("kube/*.go")]
    return CACHE / f"toolchain-{content_hash(inputs, salt=LDFLAGS)}"


def toolchain() -> Path:
    """Return the folder of our Go programs; build them if no clone on this machine has."""
    folder = folder_of_toolchain()
    if (folder / "bin").is_dir():
        return folder / "bin"
    if not shutil.which("go"):
        raise ClusterError(
            "No kubectl, helm, kubeconform and promtool on PATH, and no Go to build them: install Go 1.26 or newer, "
            "or these four programs."
        )
    with alone("toolchain", "another clone that builds the toolchain"):
        if not (folder / "bin").is_dir():
            _make(folder)
    return folder / "bin"


def _make(folder: Path) -> None:
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "bin").mkdir(parents=True)
    with step("Toolchain: building Kubernetes, etcd, CoreDNS, helm, kubeconform from Go modules", about="8 minutes"):
        _build(unfinished / "bin")
    for name in BY_NAME:
        (unfinished / "bin" / name).symlink_to("kube")
    # Renamed only when whole, so that a build that was broken off is never taken for a toolchain.
    unfinished.rename(folder)


def _build(output: Path) -> None:
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", LDFLAGS, "-o", f"{output}/", "./kube", "tool"]
    log = output.parent / "build.log"
    with log.open("w") as said:
        build = subprocess.Popen(command, cwd=SOURCE, stdout=said, stderr=said, env={**os.environ, "CGO_ENABLED": "0"})
    started = told = time.monotonic()
    while build.poll() is None:
        time.sleep(0.5)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            say(f"  Toolchain: still compiling after {(told - started) / 60:.0f} min")
    if build.returncode != 0:
        raise ClusterError("The toolchain does not build:\n" + "\n".join(log.read_text().splitlines()[-25:]))


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
