"""`make bench-quota`: many jobs of several namespaces through one token quota, and what that quota alone would have allowed.

python -m tests.bench.quota [jobs, 200 by default] [at once, 40 by default] [seconds of a batch, 20 by default]

The operator in this process, an API server in memory, and the emulator, which refuses whatever is above its quota. The
gateways say four times as much as there is, so that it has to be learnt.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.parts import verdict
from tests.controller.lines import FIVE
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, config_map

NAMESPACES = [f"team-{letter}" for letter in "abcde"]
EACH = 5 * 259
"""Tokens that a job is estimated at; see tests/controller/test_line_for_tokens.py."""
SAID = 4
"""Times the quota that is there: so much the gateways say."""
FAIR, MOST_REFUSED, SLOWEST = 0.95, 0.05, 1.1


@dataclass
class Figures:
    """What a run came to."""

    seconds: float = 0.0
    least_seconds: float = 0.0
    """What the quota alone would have taken, were there nothing else."""
    creates: int = 0
    refused: int = 0
    """Create calls that were refused after the first refusal, from which the gateways learnt."""
    failed: int = 0
    halfway: Counter[str] = field(default_factory=Counter)
    """Jobs of each namespace that had ended when half of all had."""

    @property
    def fairness(self) -> float:
        """Jain's index of what each namespace had got at half-time: 1 when all had the same."""
        got = [self.halfway[name] for name in NAMESPACES]
        return sum(got) ** 2 / (len(got) * sum(item * item for item in got)) if sum(got) else 0.0


def objects(kong: Instance, jobs: int, at_once: int) -> list[tuple[str, dict[str, Any]]]:
    """Make prompts and a gateway for each namespace, and jobs in turn: the first namespace's first."""
    made: list[tuple[str, dict[str, Any]]] = []
    for name in NAMESPACES:
        prompts = config_map("prompts", "batch.jsonl", FIVE)
        limits = {"maxEnqueuedTokens": SAID * at_once * EACH}
        gateway = build.batchgateway(kong.url, limits=limits, pollIntervalSeconds=1)
        for plural, item in (("configmaps", prompts), ("batchgateways", gateway)):
            item["metadata"]["namespace"] = name
            made.append((plural, item))
    share = -(-jobs // len(NAMESPACES))
    for number in range(jobs):
        # Whoever comes first comes with all of his: age alone would serve him first.
        target = {"secret": {"name": f"out-{number}", "key": "r.jsonl"}}
        job = build.batchjob(f"job-{number}", NAMESPACES[min(number // share, len(NAMESPACES) - 1)], output=target)
        made.append(("batchjobs", job))
    return made


async def run(kong: Instance, folder: Path, jobs: int, at_once: int, batch_seconds: float) -> Figures:
    """Run so many jobs, of which so many have room at one time."""
    figures = Figures(least_seconds=-(-jobs // at_once) * batch_seconds)
    quota = at_once * (len(FIVE) // 4)
    kong.configure(
        quota_tokens=quota,
        quota_fail_fast=True,
        validating_seconds=0,
        in_progress_seconds=batch_seconds,
        finalizing_seconds=0,
    )
    async with ApiServer().serve() as api, Operator(api, folder, recheck_seconds=0.5, workers=32).running():
        for plural, item in objects(kong, jobs, at_once):
            api.put(plural, item)
        began = time.monotonic()
        while True:
            found = api.objects("batchjobs")
            ended = [job for job in found if (job.get("status") or {}).get("completionTime")]
            if not figures.halfway and 2 * len(ended) >= jobs:
                figures.halfway = Counter(job["metadata"]["namespace"] for job in ended)
            if len(ended) == jobs:
                break
            await asyncio.sleep(0.2)
        figures.seconds = time.monotonic() - began
        figures.failed = sum(job["status"]["phase"] == "Failed" for job in found)
    calls = await asyncio.to_thread(kong.calls, "batches.create")
    refused = [call for call in calls if call["answer_id"] is None]
    figures.creates = len(calls)
    learnt = min((call["time"] for call in refused), default=0.0)
    # Those that were under way when the first was refused could not know of it.
    figures.refused = sum(call["time"] > learnt + 1.0 for call in refused)
    return figures


def main() -> int:
    """Measure, and print."""
    given = [int(word) for word in sys.argv[1:4]]
    jobs, at_once, seconds = (*given, *(200, 40, 20)[len(given) :])
    with tempfile.TemporaryDirectory() as name, EmulatorServer() as emulator:
        figures = asyncio.run(run(emulator.instance("bench"), Path(name), jobs, at_once, seconds))
    ratio, share = figures.seconds / figures.least_seconds, figures.refused / figures.creates
    print(f"{jobs} jobs in {len(NAMESPACES)} namespaces, room for {at_once} at one time, batches of {seconds} s:")
    rows = (
        ("time", f"{figures.seconds:.0f} s, {ratio:.2f} x what the quota allows", SLOWEST, ratio <= SLOWEST),
        (
            "refused",
            f"{figures.refused} of {figures.creates} create calls, {share:.1%}",
            MOST_REFUSED,
            share <= MOST_REFUSED,
        ),
        ("fairness", f"Jain's index {figures.fairness:.3f}  {dict(figures.halfway)}", FAIR, figures.fairness >= FAIR),
        ("failed", f"{figures.failed} jobs", 0, not figures.failed),
    )
    for what, told, bound, holds in rows:
        print(f"  {what:10}{told}   (bound: {bound}; {verdict(holds)})")
    return 0 if all(row[-1] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
