"""`make chaos-large`: a large input with failures that pass, under kills, and its result held against the provider's record.

python -m tests.chaos.large [--lines 1000000] [--kills 0] [--seed N]

From volume to volume, 100,000 requests in a file, one request in a hundred refused with 429 the first time. The reference is
made from the emulator's files alone: for each custom_id of the input, in its order, the first success.
"""

import argparse
import hashlib
import json
import random
import sys
import time
from collections import Counter
from typing import Any

import httpx

import tests.cluster
from tests.chaos.campaign import VALUES
from tests.chaos.victims import NothingToKillError, reachable, victims
from tests.e2e import objects
from tests.e2e.conftest import Tenant, make_tenant
from tests.e2e.kube import KubectlError
from tests.e2e.objects import Volume
from tests.e2e.release import Release
from tests.emulator.client import Instance

Json = dict[str, Any]

PATIENCE_SECONDS = 3600
GAP_SECONDS = (2.0, 8.0)
WRITE = """
import json, os, sys
os.makedirs("/data/in", exist_ok=True)
body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello, and nothing else."}], "max_tokens": 1}
with open("/data/in/batch.jsonl", "w") as file:
    for number in range(int(sys.argv[1])):
        passing = "--status-429-times-1" if number % 100 == 7 else ""
        line = {"custom_id": f"request-{number}{passing}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        file.write(json.dumps(line) + "\\n")
"""
READ = """
import hashlib, os
lines, digest = 0, hashlib.sha256()
for line in open("/data/out/results.jsonl", "rb"):
    lines += 1
    digest.update(line)
print(lines, digest.hexdigest(), *sorted(os.listdir("/data/out")))
"""


def custom_id(number: int) -> str:
    """Name a request as WRITE does."""
    return f"request-{number}" + ("--status-429-times-1" if number % 100 == 7 else "")


class Large:
    """One such job."""

    def __init__(self, release: Release, *, lines: int, kills: int, seed: int) -> None:
        """Prepare; nothing runs yet."""
        self._release, self._lines, self._wanted = release, lines, kills
        self._random = random.Random(seed)  # noqa: S311 - a run is to be repeated
        self._kills: Counter[str] = Counter()

    def run(self) -> list[str]:
        """Run it; answers what is wrong."""
        self._release.upgrade(**VALUES)
        tenant = make_tenant(self._release, in_progress_seconds=3)
        kong = Instance(reachable(self._release), tenant.kong.name)
        volume = Volume(tenant.kube, "data", self._release.cluster.operator_image)
        volume.python(WRITE, str(self._lines))
        say(f"{self._lines} lines are written in namespace {tenant.kube.namespace}")
        limits = {"resources": {"limits": {"memory": "128Mi"}, "requests": {"memory": "64Mi"}}}
        source, target = objects.in_volume("data", "in/batch.jsonl"), objects.in_volume("data", "out/results.jsonl")
        tenant.kube.apply(
            # The reference is made of the files, so they stay.
            objects.job("job", source, target, transfer=limits, backoffLimitPerRequest=2, remoteFiles="Retain")
        )
        job = self._watch(tenant)
        found = self._judge(job, kong, volume)
        if not found:
            tenant.kube.run("delete", "namespace", tenant.kube.namespace, "--wait=false")
        return found

    def _watch(self, tenant: Tenant) -> Json:
        began, told, job = time.monotonic(), "", {}
        while time.monotonic() - began < PATIENCE_SECONDS:
            try:
                job = tenant.kube.get("batchjob", "job")
            except KubectlError as error:
                say(f"  not now: {str(error).splitlines()[0][:150]}")
            status = job.get("status") or {}
            shown = f"{status.get('phase')} {status.get('progress', '')} {status.get('requestCounts', '')}"
            if shown != told:
                say(f"{time.monotonic() - began:6.0f} s  {shown}  kills: {dict(self._kills)}")
                told = shown
            if status.get("phase") in ("Complete", "Failed") and not job["metadata"].get("finalizers"):
                break
            if sum(self._kills.values()) < self._wanted:
                self._strike()
                time.sleep(self._random.uniform(*GAP_SECONDS))
            else:
                time.sleep(1)
        say(f"from apply to the end: {time.monotonic() - began:.0f} s")
        return job

    def _strike(self) -> None:
        try:
            found, leader = victims(self._release), self._release.leader()
        except (KubectlError, NothingToKillError):
            return
        leading = [victim for victim in found if victim.kind == "operator" and victim.pod == leader]
        transfers = [victim for victim in found if victim.kind == "transfer"]
        chosen = transfers if transfers and self._random.random() < 0.35 else leading
        if chosen and (victim := self._random.choice(chosen)).kill():
            self._kills[victim.kind] += 1

    def _judge(self, job: Json, kong: Instance, volume: Volume) -> list[str]:
        status = job.get("status") or {}
        wrong = []
        if status.get("phase") != "Complete":
            return [f"the job is {status.get('phase')}: {json.dumps(status.get('conditions'))}"]
        counts = {"total": self._lines, "completed": self._lines, "failed": 0, "retried": self._lines // 100}
        if status["requestCounts"] != counts:
            wrong.append(f"requestCounts are {status['requestCounts']}, not {counts}")
        batches = sorted(kong.batches(), key=_order)
        labels = Counter((batch.get("metadata") or {}).get("llmbatch_part") for batch in batches)
        say(f"batches: {dict(labels)}; status: {len(json.dumps(status))} bytes; kills: {dict(self._kills)}")
        if any(count > 1 for count in labels.values()):
            wrong.append(f"batches made twice: {labels}")
        lines, digest, *names = volume.python(READ).split()
        if names != ["results.jsonl"]:
            wrong.append(f"beside the results there are {names}")
        expected = self._reference(kong, batches)
        if (int(lines), digest) != expected:
            wrong.append(f"the results are {lines} lines of sha256 {digest}, not {expected}")
        return wrong

    def _reference(self, kong: Instance, batches: list[Json]) -> tuple[int, str]:
        """Make the result of the provider's own files."""
        first: dict[str, bytes] = {}
        with httpx.Client(base_url=kong.url, timeout=600) as client:
            for batch in batches:
                made = client.get(f"/batches/{batch['id']}").raise_for_status().json()
                content = client.get(f"/files/{made['output_file_id']}/content").raise_for_status().content
                for line in content.split(b"\n"):
                    if line:
                        result = json.loads(line)
                        if result["response"]["status_code"] == 200:
                            first.setdefault(result["custom_id"], line)
        digest = hashlib.sha256()
        for number in range(self._lines):
            digest.update(first.get(custom_id(number), b"") + b"\n")
        return len(first), digest.hexdigest()


def _order(batch: Json) -> tuple[int, int]:
    part, _, attempt = str((batch.get("metadata") or {}).get("llmbatch_part")).partition(".")
    return int(attempt or 1), int(part)


def say(line: str) -> None:
    """Tell at once."""
    print(line, flush=True)


def main() -> int:
    """Run one; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.large", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=0, help="processes to kill: the leader, and transfer pods")
    parser.add_argument("--seed", type=int, default=1, help="of the choices")
    given = parser.parse_args()
    cluster = tests.cluster.up()
    tests.cluster.build_images(cluster)
    release = Release(cluster)
    release.install()
    try:
        wrong = Large(release, lines=given.lines, kills=given.kills, seed=given.seed).run()
        say("\n".join(wrong) or "the results are those of the reference, byte for byte; nothing was made twice or left")
        return 1 if wrong else 0
    finally:
        release.close()


if __name__ == "__main__":
    sys.exit(main())
