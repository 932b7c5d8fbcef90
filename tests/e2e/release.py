"""The chart's release on the cluster, and the emulator it brings."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from tests.cluster import Cluster
from tests.cluster.tools import KUBERNETES_VERSION
from tests.e2e.forward import begin
from tests.e2e.kube import Kube
from tests.emulator.client import Instance, make_instance

CHART = Path(__file__).parents[2] / "charts" / "llmbatch"
NAMESPACE = "llmbatch-system"
SETTLE_SECONDS = 8
CLEANUP_SECONDS = 20


CHARTS_LEASE = {
    "leaderElection.leaseSeconds": "15",
    "leaderElection.renewSeconds": "10",
    "leaderElection.retrySeconds": "2",
}
"""The chart's own, for what a failover takes in real life."""
CHARTS_TIMES = {
    "operator.settleSeconds": "120",
    "operator.recheckSeconds": "15",
    "operator.stallAfterSeconds": "120",
    "operator.cleanupTimeoutSeconds": "300",
}
"""The chart's own, for what many jobs take in real life."""
QUICK_LEASE = {
    "leaderElection.leaseSeconds": "6",
    "leaderElection.renewSeconds": "4",
    "leaderElection.retrySeconds": "1",
}
"""So that a test that kills the operator need not wait for 15 s; tests/e2e/test_failover.py has the chart's own values."""


class Release:
    """`helm install llmbatch charts/llmbatch`, with the emulator and with short waits; by another Helm if one is given."""

    def __init__(
        self, cluster: Cluster, namespace: str = NAMESPACE, name: str = "llmbatch", program: Path | None = None
    ) -> None:
        self.cluster, self.namespace, self.name = cluster, namespace, name
        self._program = program or cluster.tools.helm
        self.kube = Kube(cluster, namespace)
        self._forward: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._lock = threading.Lock()

    def helm(self, *arguments: str, seconds: float = 180) -> str:
        """Run Helm."""
        done = subprocess.run(
            [str(self._program), *arguments, "--namespace", self.namespace],
            capture_output=True, text=True, env=self.cluster.env(), timeout=seconds, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise AssertionError(f"helm {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def values(self, **further: str) -> list[str]:
        """Give the --set options of a test release."""
        operator, emulator = (
            image.rpartition(":") for image in (self.cluster.operator_image, self.cluster.emulator_image)
        )
        given = {
            "image.repository": operator[0],
            "image.tag": operator[2],
            "emulator.enabled": "true",
            "emulator.image.repository": emulator[0],
            "emulator.image.tag": emulator[2],
            **QUICK_LEASE,
            "operator.recheckSeconds": "2",
            "operator.requestRetrySeconds": "2",
            "operator.stallAfterSeconds": "0",
            "operator.settleSeconds": str(SETTLE_SECONDS),
            "operator.cleanupTimeoutSeconds": str(CLEANUP_SECONDS),
            **further,
        }
        return [part for key, value in given.items() for part in ("--set", f"{key}={value}")]

    def template(self, *arguments: str, **further: str) -> str:
        """Render what an install would make."""
        asked = ("--kube-version", KUBERNETES_VERSION, *arguments)
        return self.helm("template", self.name, str(CHART), *asked, *self.values(**further))

    def install(self, **further: str) -> None:
        """Install or upgrade, and wait until both pods are ready and of this image."""
        self.helm("upgrade", "--install", self.name, str(CHART), "--create-namespace", *self.values(**further))
        # The image's tag stays the same while its content changes: pods of an earlier image go.
        for deployment in (self.name, f"{self.name}-emulator"):
            self.kube.run("rollout", "restart", f"deployment/{deployment}")
        self._rolled_out()

    def upgrade(self, **further: str) -> None:
        """Upgrade with other values, and wait until the pods are ready; the emulator keeps its state."""
        self.helm("upgrade", self.name, str(CHART), *self.values(**further))
        self._rolled_out()

    def rollback(self) -> None:
        """Go back to the revision before, and wait until the pods are ready."""
        self.helm("rollback", self.name)
        self._rolled_out()

    def _rolled_out(self) -> None:
        for deployment in (self.name, f"{self.name}-emulator"):
            self.kube.run("rollout", "status", f"deployment/{deployment}", "--timeout=120s", seconds=130)

    @property
    def emulator_url(self) -> str:
        """URL of the emulator, as pods reach it."""
        return f"http://{self.name}-emulator.{self.namespace}:8000"

    def instance(self, name: str, **config: Any) -> Instance:
        """Make an instance of the emulator, controlled from here."""
        return make_instance(self.forwarded(), name, config)

    def forwarded(self) -> str:
        """URL of the emulator, as this process reaches it (kubectl port-forward)."""
        with self._lock:
            if self._forward is None or self._forward.poll() is not None:
                self._forward, self._url = begin(self.cluster, self.namespace, f"service/{self.name}-emulator", 8000)
            deadline = time.monotonic() + 20
            while True:
                try:
                    httpx.get(f"{self._url}/healthz", timeout=2).raise_for_status()
                    return self._url
                except httpx.HTTPError:
                    # A tunnel to a pod that was replaced stays open and leads nowhere.
                    self.close()
                    self._forward, self._url = begin(
                        self.cluster, self.namespace, f"service/{self.name}-emulator", 8000
                    )
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)

    def holder(self) -> str:
        """Give the identity of the process that works: a container that was restarted is another one; "" when none does."""
        holder: str = self.kube.get("lease", self.name)["spec"].get("holderIdentity") or ""
        return holder

    def leader(self) -> str:
        """Name the pod that works; the others stand by."""
        return self.holder().rpartition("_")[0]

    def operator_pod(self) -> dict[str, Any]:
        """Give the pod that works."""
        deadline = time.monotonic() + 60
        while True:
            leader = self.leader()
            pods = self.kube.items("pods", "-l", "app.kubernetes.io/component=operator")
            for pod in pods:
                if pod["metadata"]["name"] == leader and "deletionTimestamp" not in pod["metadata"]:
                    return pod
            if time.monotonic() > deadline:
                raise AssertionError(f"the lease names {leader!r}, which is none of the operator's pods")
            time.sleep(0.2)

    def operator_process(self) -> int:
        """Find the operator's process on this machine."""
        container = self.operator_pod()["status"]["containerStatuses"][0]["containerID"].rpartition("//")[2]
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and container in _text(folder / "cgroup"):
                return int(folder.name)
        raise AssertionError(
            f"no process of container {container} here: this test needs the node's processes on this machine"
        )

    def kill_operator(self) -> None:
        """SIGKILL the operator's process, as a node's OOM killer would."""
        os.kill(self.operator_process(), signal.SIGKILL)

    def close(self) -> None:
        """End the port-forward."""
        if self._forward is not None:
            self._forward.terminate()
            self._forward.wait(10)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
