"""`make bench-scale`: many BatchJobs at once, beside as many Jobs that run a script; many that wait; many that have ended.

python -m tests.bench.scale [sizes, 100,1000 by default] [how many of the script's Jobs, 1000 by default] [how many wait and end, 10000]
    [where to put a picture of what a job costs]

On the real cluster. A batch takes 23 s, five lines, ConfigMap to Secret, polled every 10 s.
"""

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

import tests.cluster
from llmbatch.process.news import FIRST_RESYNC_SECONDS
from tests.bench import picture
from tests.bench.figures import API_CALLS, CPU_MS, GATEWAY_CALLS, Figures, charts, told
from tests.bench.parts import verdict
from tests.bench.peers import SCRIPT, Peak, peer
from tests.bench.single import LABEL, cpu_seconds, peak_rss, requests_of
from tests.cluster.kubeapi import KubeApi
from tests.e2e import objects
from tests.e2e.conftest import Tenant, make_tenant
from tests.e2e.release import CHARTS_LEASE, CHARTS_TIMES, Release

TAKES = {"validating_seconds": 2, "in_progress_seconds": 18, "finalizing_seconds": 3, "max_files": 100_000}
POLL_SECONDS = 10
LINES = objects.requests("prod1", "prod2", "prod3", "prod4", "prod5")
AT_ONCE = 8
"""Objects that are made at the same time."""
ACTIVE = 500
REST_SECONDS = 60
PATIENCE_SECONDS = 3600
FASTER, MEMORY = 6.0, 1 / 15
RSS_MIB, REST_MS, ROUND_CALLS, TAKEOVER_SECONDS, WAITING_SHARE, ENDED_SHARE = 256, 0.5, 10, 20.0, 0.01, 0.005


class Bench:
    """Measures on one cluster."""

    def __init__(self, release: Release) -> None:
        """Take the release that is measured."""
        self.release = release
        self._api = KubeApi(release.cluster.kubeconfig, timeout_seconds=60)

    def ours(self, count: int) -> Figures:
        """Have so many BatchJobs run at once."""
        tenant = self._tenant(TAKES)
        before, busy = self._calls(), cpu_seconds(self.release)
        ended = self._ended()
        began = time.monotonic()
        self._make(tenant, range(count))
        self._until(lambda: self._ended() - ended >= count)
        seconds = time.monotonic() - began
        time.sleep(3)  # the last finalizers and events
        cpu, api = cpu_seconds(self.release) - busy, self._calls() - before
        api["POST batchjobs"] -= count
        gateway = Counter(call["operation"] for call in tenant.kong.calls())
        found = Figures(count, seconds, cpu, peak_rss(self.release), +api, gateway, self._events(tenant))
        self._away(tenant)
        return found

    def peers(self, count: int) -> tuple[float, int]:
        """Have so many Jobs with the script run at once; answers the seconds, and the peak of their memory."""
        tenant = self._tenant(TAKES)
        kube = tenant.kube
        kube.apply(objects.config_map("howto", {"howto.py": SCRIPT.read_text()}))
        path = f"/apis/batch/v1/namespaces/{kube.namespace}/jobs"
        image = self.release.cluster.operator_image
        made = [peer(f"peer-{number}", image, tenant.url, POLL_SECONDS) for number in range(count)]
        with Peak() as peak:
            began = time.monotonic()
            self._post(path, made)
            self._until(lambda: self._succeeded(path) >= count)
            seconds = time.monotonic() - began
        kube.run("delete", "namespace", kube.namespace, "--wait=true", "--timeout=300s", seconds=310)
        return seconds, peak.bytes

    def waiting(self, count: int) -> None:
        """Have so many BatchJobs wait for a place among those that are active, and a new leader find them."""
        tenant = self._tenant({**TAKES, "in_progress_seconds": 86400}, limits={"maxActiveBatches": ACTIVE})
        print(f"{count} BatchJobs, {ACTIVE} of them active, the others wait for a place:", flush=True)
        busy, began = cpu_seconds(self.release), time.monotonic()
        self._make(tenant, range(count))
        self._until(lambda: len(tenant.kong.batches()) >= min(count, ACTIVE))
        self._until(lambda: self._metric("llmbatch_jobs", phase="Submitting") + ACTIVE >= count)
        self._calm()
        cpu = cpu_seconds(self.release) - busy
        print(f"  made and uploaded in {time.monotonic() - began:.0f} s, {1000 * cpu / count:.1f} ms of CPU a job")
        self._at_rest(tenant)
        print(f"  leader's peak RSS {told(peak_rss(self.release), RSS_MIB, 'MiB')}")
        began, moment = time.monotonic(), time.time()
        self.release.kill_operator()
        name = "after"
        self._post(self._path(tenant), [_job(name)])
        # The API server itself gives a new object a status, by default.
        self._until(lambda: "phase" in self._api.request("GET", f"{self._path(tenant)}/{name}")[1]["status"])
        # Until the lease of the one that was killed is over nobody may work, however many objects there are.
        waited = max(0.0, self._led_since() - moment)
        print(
            f"  a new leader works {told(time.monotonic() - began - waited, TAKEOVER_SECONDS, 's')} after it leads;",
            end="",
        )
        print(f" it waited {waited:.0f} s for the lease of the one that was killed", flush=True)
        self._calm()
        made = len(tenant.kong.batches())
        print(f"  batches made: {made} ({verdict(made == min(count, ACTIVE))})")
        tenant.kube.apply(tenant.gateway(pollIntervalSeconds=3600, limits={"maxActiveBatches": ACTIVE}))
        self._calm()
        self._looked_through()
        print(f"  {REST_SECONDS} s in which nothing is polled:")
        cpu, api, gateway = self._rest(tenant)
        print(f"    calls to the gateway {gateway.total()} ({verdict(not gateway)}); to the API server {dict(api)}")
        print(f"    CPU, of a core {told(cpu / REST_SECONDS, WAITING_SHARE, '', digits=4)}", flush=True)
        self._away(tenant)

    def ended(self, count: int) -> None:
        """Have a new leader find so many BatchJobs that have ended, as it would after an upgrade."""
        tenant = self._tenant(TAKES)
        path, name = self._path(tenant), "job-0"
        self._post(path, [_job(name)])
        status: dict[str, Any] = {}
        while status.get("phase") != "Complete":
            time.sleep(2)
            status = self._api.request("GET", f"{path}/{name}")[1].get("status", {})
        kube, deployment = self.release.kube, f"deployment/{self.release.name}"
        replicas = kube.get("deployment", self.release.name)["spec"]["replicas"]
        kube.run("scale", deployment, "--replicas=0")
        self._until(lambda: not kube.items("pods", "-l", "app.kubernetes.io/component=operator"))
        self._post(path, [_job(f"job-{number}") for number in range(1, count)], status)
        kube.run("scale", deployment, f"--replicas={replicas}")
        kube.run("rollout", "status", deployment, "--timeout=120s", seconds=130)
        self._until(lambda: self._metric("llmbatch_jobs", phase="Complete") >= count)
        self._looked_through()
        print(f"{count} BatchJobs that have ended, {REST_SECONDS} s:")
        cpu, api, gateway = self._rest(tenant)
        written = sum(calls for told_of, calls in api.items() if not told_of.startswith("GET"))
        print(f"  writes {written} ({verdict(not written)}); calls to the gateway {gateway.total()}")
        print(f"  CPU, of a core {told(cpu / REST_SECONDS, ENDED_SHARE, '', digits=4)}", flush=True)

    def _at_rest(self, tenant: Tenant) -> None:
        cpu, api, gateway = self._rest(tenant)
        rounds = REST_SECONDS / POLL_SECONDS
        print(f"  at rest, {REST_SECONDS} s:")
        print(f"    CPU a poll round, for each active job {told(1000 * cpu / rounds / ACTIVE, REST_MS, 'ms')}")
        calls = gateway.total() / rounds
        print(f"    calls to the gateway a round {told(calls, ROUND_CALLS, '')}   {dict(gateway)}")
        print(f"    calls to the API server {dict(api)}")

    def _rest(self, tenant: Tenant) -> tuple[float, Counter[str], Counter[str]]:
        """Wait; answers the operator's seconds of CPU, and its calls to the API server and to the gateway."""
        tenant.kong.clear_calls()
        before, busy = self._calls(), cpu_seconds(self.release)
        time.sleep(REST_SECONDS)
        cpu, api = cpu_seconds(self.release) - busy, self._calls() - before
        return cpu, api, Counter(call["operation"] for call in tenant.kong.calls())

    # --- the cluster -------------------------------------------------------------------------------------------------

    def _tenant(self, takes: Mapping[str, float], **spec: Any) -> Tenant:
        tenant = make_tenant(self.release, **takes)
        tenant.kube.apply(
            objects.config_map("prompts", {"batch.jsonl": LINES}),
            tenant.gateway(pollIntervalSeconds=POLL_SECONDS, **spec),
        )
        tenant.kube.run("wait", "--for=condition=Ready", "batchgateway/kong", "--timeout=30s")
        return tenant

    def _path(self, tenant: Tenant) -> str:
        return f"/apis/llmbatch.io/v1alpha1/namespaces/{tenant.kube.namespace}/batchjobs"

    def _make(self, tenant: Tenant, numbers: Iterable[int]) -> None:
        self._post(self._path(tenant), [_job(f"job-{number}") for number in numbers])

    def _post(self, path: str, made: list[dict[str, Any]], status: Mapping[str, Any] | None = None) -> None:
        """Make objects, with a status that another one has come to."""

        def post(item: dict[str, Any]) -> None:
            for _ in range(5):
                code, answer = self._api.request("POST", path, item)
                if code == 201 and status is not None:
                    named = f"{path}/{item['metadata']['name']}/status"
                    given = {**answer, "status": {**status, "uid": answer["metadata"]["uid"]}}
                    code, answer = self._api.request("PUT", named, given)
                if code in (200, 201, 409):
                    return
                time.sleep(1)
            raise AssertionError(f"{path}: {code} {answer}")

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(post, made))

    def _until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, "that takes too long"
            # Not too often: the operator's figures are told by the operator, whose time is measured.
            time.sleep(2)

    def _looked_through(self) -> None:
        """Wait until a new leader has compared all that it knows with a full list: once soon after its start, then rarely."""
        time.sleep(max(0.0, self._led_since() + 1.5 * FIRST_RESYNC_SECONDS - time.time()))

    def _calm(self) -> None:
        """Wait until no object is written any more."""
        before = self._calls()
        while True:
            time.sleep(5)
            now = self._calls()
            if sum((now - before)[name] for name in now if not name.startswith("GET")) < AT_ONCE:
                return
            before = now

    def _metric(self, name: str, **labels: str) -> float:
        # The node is this machine, as it has to be for its processes to be measured.
        address = self.release.operator_pod()["status"]["podIP"]
        text = httpx.get(f"http://{address}:8080/metrics", timeout=30).text
        found = re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE)
        return sum(float(value) for given, value in found if dict(LABEL.findall(given)).items() >= labels.items())

    def _led_since(self) -> float:
        """Give the moment at which the one that leads has taken the Lease."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.release.namespace}/leases/{self.release.name}"
        return datetime.fromisoformat(self._api.request("GET", path)[1]["spec"]["acquireTime"]).timestamp()

    def _events(self, tenant: Tenant) -> Counter[str]:
        """Count what was told, by reason."""
        found = self._api.request("GET", f"/api/v1/namespaces/{tenant.kube.namespace}/events")[1]["items"]
        return Counter(item["reason"] for item in found if item["involvedObject"]["kind"] == "BatchJob")

    def _ended(self) -> float:
        return self._metric("llmbatch_jobs_finished_total")

    def _succeeded(self, path: str) -> int:
        items = self._api.request("GET", f"{path}?limit=5000")[1]["items"]
        return sum((item.get("status") or {}).get("succeeded", 0) for item in items)

    def _calls(self) -> Counter[str]:
        served = requests_of(str(self._api.request("GET", "/metrics")[1]))
        return Counter({told: count for told, count in served.items() if told.split()[0] not in ("WATCH", "LIST")})

    def _away(self, tenant: Tenant) -> None:
        # Before the namespace: its end takes the gateway's credentials away under the jobs.
        tenant.kube.run("delete", "batchjobs", "--all", "--wait=true", "--timeout=3600s", seconds=3610)
        tenant.kube.run("delete", "namespace", tenant.kube.namespace, "--wait=false")


def _job(name: str) -> dict[str, Any]:
    return objects.job(name, objects.in_config_map("prompts"), objects.in_secret(f"out-{name}", "results"))


def main() -> int:
    """Measure, and print."""
    sizes = [int(size) for size in (sys.argv[1] if len(sys.argv) > 1 else "100,1000").split(",") if size]
    peers = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    waiting = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
    cluster = tests.cluster.up()
    tests.cluster.build_images(cluster)
    release = Release(cluster)
    release.install(**CHARTS_LEASE, **CHARTS_TIMES)
    try:
        bench = Bench(release)
        lasted: dict[int, Figures] = {}
        for size in sizes:
            found = lasted[size] = bench.ours(size)
            print(f"{size} BatchJobs at once: {found.seconds:.0f} s", flush=True)
            print(f"  CPU of the operator a job {told(found.cpu_ms, CPU_MS, 'ms')}; peak RSS {found.rss} MiB")
            print(f"  calls to the API server a job {told(found.api_calls, API_CALLS, '')}")
            shown = ", ".join(f"{name} {count / size:.2f}" for name, count in found.api.most_common())
            print(f"    {shown}; events {dict(found.events)}")
            print(
                f"  calls to the gateway a job, apart from polls {told(found.gateway_calls, GATEWAY_CALLS, '')};"
                f" polls {found.polls:.2f}   {dict(found.gateway)}",
                flush=True,
            )
        if lasted and len(sys.argv) > 4:
            Path(sys.argv[4]).write_text(picture.svg(charts(lasted)))
        if peers:
            seconds, memory = bench.peers(peers)
            print(f"{peers} Jobs with a script: {seconds:.0f} s, at most {memory / 2**20:.0f} MiB", flush=True)
            if (ours := lasted.get(peers)) is not None:
                print(f"  BatchJobs are faster {told(seconds / ours.seconds, FASTER, 'times', least=True)}")
                print(f"  their memory beside that {told(ours.rss * 2**20 / memory, MEMORY, '', digits=3)}")
        if waiting:
            bench.waiting(waiting)
            bench.ended(waiting)
    finally:
        release.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
