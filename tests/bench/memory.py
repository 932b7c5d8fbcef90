"""`make bench-memory`: the operator's memory beside other people's large objects. All of them are close to a gigabyte.

python -m tests.bench.memory [share of 700 ConfigMaps of 900 KB and 300 Secrets of 1 MB, 1 by default]
"""

import base64
import json
import os
import re
import statistics
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import tests.cluster
from tests.e2e.kube import Kube
from tests.e2e.release import Release

CONFIG_MAPS, CONFIG_MAP_BYTES = 700, 900_000
SECRETS, SECRET_BYTES = 300, 1_000_000
BOUND = 1.10
SETTLE_SECONDS = 10
AT_ONCE = 10
"""Objects that go to kubectl together: each is about a megabyte."""


@dataclass(frozen=True)
class Weighed:
    """The operator's resident memory in KiB, before and after others' objects were made."""

    before: int
    after: int
    objects: int
    megabytes: int

    @property
    def ratio(self) -> float:
        """After in proportion to before."""
        return self.after / self.before

    def __str__(self) -> str:
        """Tell it in a line."""
        told = f"{self.objects} objects with {self.megabytes} MB in a watched namespace"
        return f"operator RSS {self.before / 1024:.1f} MiB, with {told} {self.after / 1024:.1f} MiB: ratio {self.ratio:.3f}"


def main() -> int:
    """Measure, and print."""
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    cluster = tests.cluster.up()
    tests.cluster.build_images(cluster)
    release = Release(cluster)
    release.install()
    try:
        weighed = weigh(release, share)
    finally:
        release.close()
    print(f"{weighed}   (bound: {BOUND:.2f})")
    return 0 if weighed.ratio < BOUND else 1


def weigh(release: Release, share: float) -> Weighed:
    """Weigh the operator before and after a namespace is filled; the namespace is removed again."""
    kube = Kube(release.cluster, f"ballast-{uuid.uuid4().hex[:8]}")
    before = resident(release)
    kube.run("create", "namespace", kube.namespace)
    try:
        made = fill(kube, share)
        after = resident(release)
    finally:
        kube.run("delete", "configmaps,secrets", "--all", "--wait=false", seconds=300)
        kube.run("delete", "namespace", kube.namespace, "--timeout=300s", seconds=310)
    return Weighed(before, after, len(made), sum(made) // 1_000_000)


def fill(kube: Kube, share: float) -> list[int]:
    """Make ConfigMaps and Secrets; answers their sizes in bytes."""
    sizes = []
    source = _objects(share)
    while some := list(islice(source, AT_ONCE)):
        items = [item for item, _ in some]
        kube.run("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        sizes += [size for _, size in some]
    return sizes


def _objects(share: float) -> Iterator[tuple[dict[str, Any], int]]:
    for number in range(round(CONFIG_MAPS * share)):
        # Random, so that nothing on the way can make it small.
        content = os.urandom(CONFIG_MAP_BYTES // 2).hex()
        yield _object("ConfigMap", f"ballast-{number}", content), CONFIG_MAP_BYTES
    for number in range(round(SECRETS * share)):
        content = base64.b64encode(os.urandom(SECRET_BYTES)).decode()
        yield _object("Secret", f"ballast-{number}", content), SECRET_BYTES


def _object(kind: str, name: str, content: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": {"content": content}}


def resident(release: Release) -> int:
    """Give the operator's resident memory in KiB, once it has come to rest: the median of ten looks."""
    time.sleep(SETTLE_SECONDS)
    status = Path("/proc", str(release.operator_process()), "status")
    looks = []
    for _ in range(10):
        looks.append(int(re.findall(r"VmRSS:\s+(\d+) kB", status.read_text())[0]))
        time.sleep(0.5)
    return int(statistics.median(looks))


if __name__ == "__main__":
    sys.exit(main())
