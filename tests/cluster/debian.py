"""Programs that Debian packages: container runtime, image builder, Prometheus."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.shell import ClusterError, run, say, step

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

POLICY = Path("/usr/sbin/policy-rc.d")


def install(programs: Mapping[str, str]) -> None:
    """Install the packages whose programs are missing, and start none of their services."""
    missing = sorted({package for program, package in programs.items() if not Path(program).exists()})
    if not missing:
        return
    names = " ".join(missing)
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise ClusterError(f"Missing programs; please install the equivalents of Debian's packages: {names}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Debian packages: installing {names}", about="1 minute"), _no_services():
        run(["apt-get", "update", "-q"], env=env)
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], env=env)


class _no_services:  # noqa: N801  # reads as the words of a with statement
    """Tell Debian not to start containerd and prometheus on install: ours are started with our own settings."""

    def __enter__(self) -> None:
        self.ours = not POLICY.exists()
        if self.ours:
            POLICY.write_text("#!/bin/sh\nexit 101\n")
            POLICY.chmod(0o755)
        else:
            # Someone else's policy: containers images ship one that forbids starting, which is what we want.
            say(f"  keeping {POLICY}, which decides what services packages may start")

    def __exit__(self, *_: object) -> None:
        if self.ours:
            POLICY.unlink()
