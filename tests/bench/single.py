"""`make bench-single`: five requests beside a curl script of the how-to, and the operator at rest."""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import tests.cluster
from tests.cluster import debian
from tests.e2e import objects
from tests.e2e.conftest import make_tenant
from tests.e2e.kube import Kube
from tests.e2e.release import Release

ROUNDS = 7
FINISHED_JOBS = 200
REST_SECONDS = 60
HOWTO = Path(__file__).with_name("howto.sh")
LINES = objects.requests("prod1", "prod2", "prod3", "prod4", "prod5")
REQUESTS = re.compile(r"^apiserver_request_total\{(?P<labels>.*)\} (?P<count>\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
OURS = ("batchjobs", "batchgateways", "secrets", "configmaps", "events", "jobs", "persistentvolumeclaims")


def main() -> int:
    """Measure, and print."""
    debian.install({"/usr/bin/curl": "curl"})
    cluster = tests.cluster.up()
    tests.cluster.build_images(cluster)
    release = Release(cluster)
    release.install()
    try:
        beside_curl(release)
        at_rest(release)
    finally:
        release.close()
    return 0


def beside_curl(release: Release) -> None:
    """Time the same batch through the operator and through the script, in turns."""
    tenant = make_tenant(release)
    kube, url = tenant.kube, f"{reachable(release)}/i/{tenant.kong.name}"
    kube.apply(objects.config_map("prompts", {"batch.jsonl": LINES}))
    kube.run("wait", "--for=condition=Ready", "batchgateway/kong", "--timeout=30s")
    operator_seconds, curl_seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        given, got = Path(folder, "batch.jsonl"), Path(folder, "results.jsonl")
        given.write_text(LINES)
        for number in range(ROUNDS):
            began = time.monotonic()
            subprocess.run([str(HOWTO), url, str(given), str(got)], check=True)
            curl_seconds.append(time.monotonic() - began)
            name = f"job{number}"
            job = objects.job(name, objects.in_config_map("prompts"), objects.in_secret(f"out{number}", "results"))
            # kubectl's own start is part of it, as curl's is of the script's.
            began = time.monotonic()
            kube.apply(job)
            kube.run("wait", "--for=condition=Complete", f"bj/{name}", "--timeout=60s")
            operator_seconds.append(time.monotonic() - began)
    ours, theirs = statistics.median(operator_seconds), statistics.median(curl_seconds)
    print(f"Five requests, ConfigMap to Secret, poll 1 s, {ROUNDS} rounds in turns, medians:")
    print(f"  curl script of the how-to   {theirs:6.2f} s   ({spread(curl_seconds)})")
    print(f"  BatchJob, apply to Complete {ours:6.2f} s   ({spread(operator_seconds)})")
    print(f"  difference                  {ours - theirs:+6.2f} s   ratio {ours / theirs:.2f}   (bound: +1.00 s)")
    kube.run("delete", "namespace", kube.namespace, "--wait=false")


def spread(seconds: list[float]) -> str:
    """Give the range of some times."""
    return f"{min(seconds):.2f} to {max(seconds):.2f}"


def reachable(release: Release) -> str:
    """Give a URL of the emulator for this machine: the Service's own address where it can be reached, as pods do."""
    address = release.kube.get("service", f"{release.name}-emulator")["spec"]["clusterIP"]
    direct = f"http://{address}:8000"
    tried = subprocess.run(["curl", "-sf", "-m", "2", f"{direct}/healthz"], capture_output=True, check=False)
    return direct if tried.returncode == 0 else release.forwarded()


def at_rest(release: Release) -> None:
    """Count writes to the API server while nothing happens."""
    tenant = make_tenant(release)
    kube = tenant.kube
    kube.apply(objects.config_map("prompts", {"batch.jsonl": LINES}))
    print(f"Making {FINISHED_JOBS} finished jobs (about 1 minute) ...", file=sys.stderr)
    began = time.monotonic()
    kube.apply(*(
        objects.job(f"job{number}", objects.in_config_map("prompts"), objects.in_secret(f"out{number}", "results"))
        for number in range(FINISHED_JOBS)
    ))  # fmt: skip
    for number in range(FINISHED_JOBS):
        kube.wait_for(f"job{number}", "Complete", seconds=300)
    took = time.monotonic() - began
    # The last finalizers and events are on their way.
    time.sleep(5)
    before, versions, busy = writes(kube), resource_versions(kube), cpu_seconds(release)
    time.sleep(REST_SECONDS)
    after = writes(kube)
    moved = {key: after[key] - before[key] for key in after if after[key] != before[key]}
    changed = resource_versions(kube) != versions
    print(f"At rest with {FINISHED_JOBS} finished jobs (made in {took:.0f} s), {REST_SECONDS} s:")
    print(f"  writes to {', '.join(OURS)}: {sum(moved.values())} {moved or ''}")
    print(f"  a BatchJob or BatchGateway changed: {'yes' if changed else 'no'}")
    print(f"  operator: {cpu_seconds(release) - busy:.2f} s of CPU, peak RSS {peak_rss(release)} MiB")
    print(f"  batches made: {tenant.creates()} for {FINISHED_JOBS} jobs")
    kube.run("delete", "batchjobs", "--all", seconds=300)
    kube.run("delete", "namespace", kube.namespace, "--wait=false")


def writes(kube: Kube) -> Counter[str]:
    """Count the API server's writes so far, by verb and resource, of what the operator may write."""
    wanted = ("POST", "PUT", "PATCH", "APPLY", "DELETE")
    served = requests_of(kube.run("get", "--raw", "/metrics"))
    return Counter({told: count for told, count in served.items() if told.split()[0] in wanted})


def requests_of(metrics: str) -> Counter[str]:
    """Count the API server's requests so far, by verb and resource, about what the operator may write."""
    found: Counter[str] = Counter()
    for match in REQUESTS.finditer(metrics):
        labels = dict(LABEL.findall(match["labels"]))
        if labels.get("resource") in OURS:
            found[f"{labels.get('verb', '')} {labels['resource']}"] += int(float(match["count"]))
    return found


def resource_versions(kube: Kube) -> dict[str, str]:
    """Give the version of each of our objects."""
    items = json.loads(kube.run("get", "batchjobs,batchgateways", "-A", "-o", "json"))["items"]
    return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in items}


def peak_rss(release: Release) -> int:
    """Give the operator's peak resident memory, in MiB."""
    status = Path("/proc", str(release.operator_process()), "status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) // 1024


def cpu_seconds(release: Release) -> float:
    """Give the operator's processor time so far."""
    fields = Path("/proc", str(release.operator_process()), "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    sys.exit(main())
