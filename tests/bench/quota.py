"""`make bench-quota`: many jobs of several namespaces through one token quota, and what that quota alone would have allowed.

python -m tests.bench.quota [jobs, 200 by default] [at once, 40 by default] [seconds of a batch, 20 by default]
    [seconds between two deaths of the leader, 0 by default: it lives] [times the quota that the gateways say, 4 by default]

An API server in memory, and the emulator, which refuses whatever is above its quota. The gateways say four times as much as
there is, so that it has to be learnt: from then on they go by nine tenths, so that the same takes 1.11 times as long, and
a whole number of rounds. The operator is in this process; or, where the leader dies (SIGKILL), there are two
processes with a Lease of 4 s, of which each is started again.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.parts import verdict
from tests.chaos.operators import QUICK, OperatorProcess
from tests.controller.lines import FIVE
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, config_map
from tests.support.kstatus import check_jobs

NAMESPACES = [f"team-{letter}" for letter in "abcde"]
EACH = 5 * 259
"""Tokens that a job is estimated at; see tests/controller/test_line_for_tokens.py."""
RECHECK_SECONDS, WORKERS = 0.5, 32
FAIR, MOST_REFUSED, SLOWEST = 0.95, 0.05, 1.1


@dataclass(frozen=True)
class Wanted:
    """What is run."""

    jobs: int = 200
    at_once: int = 40
    """So many jobs have room at one time."""
    batch_seconds: int = 20
    kill_seconds: int = 0
    said: int = 4
    """Times the quota that is there: so much the gateways say."""


@dataclass
class Figures:
    """What a run came to."""

    seconds: float = 0.0
    least_seconds: float = 0.0
    """What the quota alone would have taken, were there nothing else."""
    creates: int = 0
    refused: int = 0
    """Create calls that were refused after the first refusal of the same gateway, from which it has learnt."""
    failed: int = 0
    doubled: int = 0
    """Batches beyond one for each job."""
    deaths: int = 0
    """Of leaders."""
    halfway: Counter[str] = field(default_factory=Counter)
    """Jobs of each namespace that had ended when half of all had."""

    @property
    def fairness(self) -> float:
        """Jain's index of what each namespace had got at half-time: 1 when all had the same."""
        got = [self.halfway[name] for name in NAMESPACES]
        return sum(got) ** 2 / (len(got) * sum(item * item for item in got)) if sum(got) else 0.0


def objects(kong: Instance, wanted: Wanted) -> list[tuple[str, dict[str, Any]]]:
    """Make prompts and a gateway for each namespace, and jobs in turn: the first namespace's first."""
    made: list[tuple[str, dict[str, Any]]] = []
    for name in NAMESPACES:
        prompts = config_map("prompts", "batch.jsonl", FIVE)
        limits = {"maxEnqueuedTokens": wanted.said * wanted.at_once * EACH}
        gateway = build.batchgateway(kong.url, limits=limits, pollIntervalSeconds=1)
        for plural, item in (("configmaps", prompts), ("batchgateways", gateway)):
            item["metadata"]["namespace"] = name
            made.append((plural, item))
    share = -(-wanted.jobs // len(NAMESPACES))
    for number in range(wanted.jobs):
        # Whoever comes first comes with all of his: age alone would serve him first.
        target = {"secret": {"name": f"out-{number}", "key": "r.jsonl"}}
        job = build.batchjob(f"job-{number}", NAMESPACES[min(number // share, len(NAMESPACES) - 1)], output=target)
        made.append(("batchjobs", job))
    return made


@contextlib.asynccontextmanager
async def operating(api: ApiServer, folder: Path, kill_seconds: float, figures: Figures) -> AsyncIterator[None]:
    """Have the operator work while the context is open; its leader dies every so many seconds (0: never)."""
    if not kill_seconds:
        async with Operator(api, folder, recheck_seconds=RECHECK_SECONDS, workers=WORKERS).running():
            yield
        return
    given = {"LLMBATCH_RECHECK_SECONDS": str(RECHECK_SECONDS), "LLMBATCH_WORKERS": str(WORKERS)}
    operators: dict[str, OperatorProcess] = {}
    for name in ("one", "two"):
        (folder / name).mkdir()
        operators[name] = OperatorProcess(api, folder / name, **given, LLMBATCH_POD_NAME=name)
    killing = asyncio.create_task(kill(api, operators, kill_seconds, figures))
    try:
        for operator in operators.values():
            await operator.start()
        while leader(api) not in operators:  # noqa: ASYNC110 - an API server that nobody watches
            await asyncio.sleep(0.1)
        yield
    finally:
        killing.cancel()
        await asyncio.gather(*(operator.stop() for operator in operators.values()))
    check_jobs(api.stored)


async def kill(api: ApiServer, operators: dict[str, OperatorProcess], seconds: float, figures: Figures) -> None:
    """Kill whoever leads, again and again."""
    while True:
        await asyncio.sleep(seconds)
        if (operator := operators.get(leader(api))) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(operator.pid, signal.SIGKILL)
                figures.deaths += 1


def leader(api: ApiServer) -> str:
    """Name the operator that has the Lease; empty when none has."""
    lease = api.get("leases", "llmbatch", QUICK["LLMBATCH_NAMESPACE"]) or {}
    return str((lease.get("spec") or {}).get("holderIdentity") or "").rpartition("_")[0]


async def run(kong: Instance, folder: Path, wanted: Wanted) -> Figures:
    """Run the jobs."""
    jobs, at_once, batch_seconds = wanted.jobs, wanted.at_once, wanted.batch_seconds
    figures = Figures(least_seconds=-(-jobs // at_once) * batch_seconds)
    quota = at_once * (len(FIVE) // 4)
    kong.configure(
        quota_tokens=quota,
        quota_fail_fast=True,
        validating_seconds=0,
        in_progress_seconds=batch_seconds,
        finalizing_seconds=0,
    )
    ended: dict[str, str] = {}
    namespaces: dict[str, str] = {}

    def changed(_: str, found: dict[str, Any]) -> None:
        if found["_plural"] == "batchjobs":
            metadata = found["metadata"]
            namespaces[metadata["uid"]] = metadata["namespace"]
            if (found.get("status") or {}).get("completionTime"):
                ended[metadata["uid"]] = found["status"]["phase"]

    async with ApiServer().serve() as api, operating(api, folder, wanted.kill_seconds, figures):
        # To read all of them again and again would take more of this process' time than the operator does.
        api.on_change.append(changed)
        for plural, item in objects(kong, wanted):
            api.put(plural, item)
        began = time.monotonic()
        while True:
            if not figures.halfway and 2 * len(ended) >= jobs:
                figures.halfway = Counter(map(namespaces.__getitem__, ended))
            if len(ended) == jobs:
                break
            await asyncio.sleep(0.2)
        figures.seconds = time.monotonic() - began
        figures.failed = list(ended.values()).count("Failed")
    calls = await asyncio.to_thread(kong.calls, "batches.create")
    refused = [
        (call["time"], namespaces[call["body"]["metadata"]["llmbatch_uid"]]) for call in calls if _is_refused(call)
    ]
    figures.creates = len(calls)
    figures.doubled = len(await asyncio.to_thread(kong.batches)) - jobs
    # Each gateway learns by itself; and those that were under way when its first was refused could not know of it.
    learnt = {name: min(moment for moment, of in refused if of == name) for _, name in refused}
    figures.refused = sum(moment > learnt[name] + 1.0 for moment, name in refused)
    return figures


def _is_refused(call: dict[str, Any]) -> bool:
    return call["answer_id"] is None and call["status"] is not None


def main() -> int:
    """Measure, and print."""
    wanted = Wanted(*map(int, sys.argv[1:6]))
    with tempfile.TemporaryDirectory() as name, EmulatorServer() as emulator:
        figures = asyncio.run(run(emulator.instance("bench"), Path(name), wanted))
    ratio, share = figures.seconds / figures.least_seconds, figures.refused / figures.creates
    print(
        f"{wanted.jobs} jobs in {len(NAMESPACES)} namespaces, room for {wanted.at_once} at one time, of {wanted.said} times as"
        f" many that the gateways say, batches of {wanted.batch_seconds} s:"
    )
    if wanted.kill_seconds:
        print(f"  the leader was killed every {wanted.kill_seconds} s, {figures.deaths} times")
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
        ("doubled", f"{figures.doubled} batches", 0, not figures.doubled),
    )
    for what, told, bound, holds in rows:
        print(f"  {what:10}{told}   (bound: {bound}; {verdict(holds)})")
    return 0 if all(row[-1] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
