"""`make bench-failover`: how long it takes until another operator works, after a kill, a freeze, and an orderly end."""

import contextlib
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable

import tests.cluster
from tests.chaos.victims import victims
from tests.cluster.kubeapi import KubeApi
from tests.e2e import objects
from tests.e2e.conftest import Tenant, make_tenant
from tests.e2e.release import CHARTS_LEASE, Release

REPETITIONS = 10
PATIENCE_SECONDS = 90
BOUNDS = {"kill": 20.0, "freeze": 20.0}


class Failover:
    """Repeats an end of the leader, and measures until a job made at that moment is worked on."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._tenant: Tenant = make_tenant(release)
        self._tenant.kube.apply(objects.config_map("prompts", {"batch.jsonl": objects.requests("a")}))
        self._api = KubeApi(release.cluster.kubeconfig)
        self._number = 0

    def measure(self, end: Callable[[int, str], Callable[[], None]]) -> list[float]:
        """Give the seconds of each repetition; `end` ends the leader, given its pid and pod, and answers how to tidy up."""
        return [self._once(end) for _ in range(REPETITIONS)]

    def _once(self, end: Callable[[int, str], Callable[[], None]]) -> float:
        self._until_two_are_ready()
        pod = self._release.operator_pod()["metadata"]["name"]
        pid = next(item.pid for item in victims(self._release) if (item.kind, item.pod) == ("operator", pod))
        name = f"job{self._number}"
        self._number += 1
        job = objects.job(name, objects.in_config_map("prompts"), objects.in_secret(f"out{name}", "results"))
        path = f"/apis/llmbatch.io/v1alpha1/namespaces/{self._tenant.kube.namespace}/batchjobs"
        began = time.monotonic()
        tidy_up = end(pid, pod)
        status, _ = self._api.request("POST", path, job)
        assert status == 201, f"the job was not made: {status}"
        try:
            while "status" not in self._api.request("GET", f"{path}/{name}")[1]:
                assert time.monotonic() < began + PATIENCE_SECONDS, "nobody works"
                time.sleep(0.05)
            return time.monotonic() - began
        finally:
            tidy_up()
            self._tenant.kube.wait_for(name, "Complete")

    def _until_two_are_ready(self) -> None:
        self._release.kube.run("rollout", "status", f"deployment/{self._release.name}", "--timeout=120s", seconds=130)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while sum(item.kind == "operator" for item in victims(self._release)) != 2:
            assert time.monotonic() < deadline, "there are not two operators"
            time.sleep(0.2)
        # So that the one that stands by has seen the Lease for a while, as it has in real life.
        time.sleep(5)


def main() -> int:
    """Measure, and print; with names of ends as arguments, only those."""
    wanted = sys.argv[1:] or ["kill", "freeze", "drain"]
    cluster = tests.cluster.up()
    tests.cluster.build_images(cluster)
    release = Release(cluster)
    release.install(**CHARTS_LEASE)
    try:
        failover = Failover(release)

        def kill(pid: int, _: str) -> Callable[[], None]:
            signal_to(pid, signal.SIGKILL)
            return lambda: None

        def freeze(pid: int, _: str) -> Callable[[], None]:
            signal_to(pid, signal.SIGSTOP)
            return lambda: signal_to(pid, signal.SIGCONT)

        def drain(_: int, pod: str) -> Callable[[], None]:
            release.kube.run("delete", "pod", pod, "--wait=false")
            return lambda: None

        print(f"From the end of the leader to the first status of a new job, {REPETITIONS} times each:")
        ends = {"kill": kill, "freeze": freeze, "drain": drain}
        for name in wanted:
            end = ends[name]
            seconds = failover.measure(end)
            bound = f"   (bound: {BOUNDS[name]:.0f} s)" if name in BOUNDS else ""
            print(
                f"  {name:8} median {statistics.median(seconds):6.2f} s   maximum {max(seconds):6.2f} s{bound}",
                flush=True,
            )
    finally:
        release.close()
    return 0


def signal_to(pid: int, what: signal.Signals) -> None:
    """Send a signal to the operator's process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)


if __name__ == "__main__":
    sys.exit(main())
