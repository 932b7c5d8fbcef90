"""Programs that Debian packages: container runtime, image builder, Prometheus."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.paths import alone
from tests.cluster.shell import ClusterError, run, step

CLUSTER = {
    "/usr/bin/containerd": "containerd",
    "/usr/sbin/runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/sbin/nft": "nftables",
    "/usr/sbin/conntrack": "conntrack",
    "/usr/sbin/iptables": "iptables",
    "/usr/sbin/ip": "iproute2",
}
IMAGES = {
    "/usr/bin/buildah": "buildah",
    "/usr/sbin/debootstrap": "debootstrap",
}
COMPILER = {"/usr/bin/gcc": "gcc", "/usr/include/stdlib.h": "libc6-dev"}
TESTS = {"/usr/bin/promtool": "prometheus"}
GITOPS = {"/usr/bin/git": "git", "/usr/lib/git-core/git-http-backend": "git", "/usr/bin/redis-server": "redis-server"}
SIGNING = {"/usr/bin/gpg": "gnupg"}
REGISTRY = {"/usr/bin/docker-registry": "docker-registry"}

POLICY = Path("/usr/sbin/policy-rc.d")


def install(programs: Mapping[str, str]) -> None:
    """Install the packages whose programs are missing, and start none of their services."""
    if not _missing(programs):
        return
    with alone("debian", "another clone that installs Debian packages"):
        _install(_missing(programs))


def _missing(programs: Mapping[str, str]) -> list[str]:
    return sorted({package for program, package in programs.items() if not Path(program).exists()})


def _install(missing: list[str]) -> None:
    if not missing:
        return
    names = " ".join(missing)
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise ClusterError(f"Missing programs; please install the equivalents of Debian's packages: {names}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Debian packages: installing {names}", about="1 minute"), _no_services():
        run(["apt-get", "update", "-q"], env=env)
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], env=env)


@contextmanager
def _no_services() -> Iterator[None]:
    """Tell Debian not to start containerd and prometheus on install: ours are started with our own settings."""
    # A policy that's there already is someone else's: container images ship one that forbids, which is what we want.
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink()
