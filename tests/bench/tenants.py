"""`make bench-tenants`: what a tenant's jobs wait for beside another one that means harm, and without him."""

import asyncio
import contextlib
import gzip
import logging
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tests.controller.conftest import FIVE
from tests.controller.test_storm import created, failing
from tests.controller.test_tenants import hostile_jobs
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.hostile import HostileGateway, Way, drip, hang, reply, say
from tests.support.inprocess import Json, Operator, config_map

JOBS = 5
BOUND = 1.5
MINE = "team-b"
WARM_UP_SECONDS = 10.0
BOMB = gzip.compress(gzip.compress(bytes(128 * 1024 * 1024), 1))
ONE_LAYER = gzip.compress(b'{"data": [' + b" " * 7_000_000 + b"]}")


def compressed(body: bytes, encoding: str) -> Way:
    """Answer with a body that is compressed so."""
    return say(reply(body, "200 OK", f"Content-Encoding: {encoding}"))


def gateways(count: int, **more: Any) -> Callable[[str], list[Json]]:
    """Make so many gateways of the first tenant."""
    times = {"connectSeconds": 60, "requestSeconds": 60, "transferSeconds": 900}
    return lambda url: [
        build.batchgateway(url, f"bad-{n}", timeouts=times, pollIntervalSeconds=1, **more) for n in range(count)
    ]


def unresolvable(_: str) -> list[Json]:
    """Make gateways whose names don't resolve."""
    return [build.batchgateway(f"http://g{number}.invalid", f"bad-{number}") for number in range(32)]


Tenant = tuple[dict[str, Way], Callable[[str], list[Json]], int]
TENANTS: dict[str, Tenant] = {
    "downloads by drips": ({"content": drip()}, gateways(2), 50),
    "uploads by drips": ({"upload": drip()}, gateways(2), 50),
    "a gzip of a gzip": ({"all": compressed(BOMB, "gzip, gzip")}, gateways(4), 10),
    "large answers": ({"poll": compressed(ONE_LAYER, "gzip"), "create": created}, gateways(4), 10),
    "gateways that hang": ({"all": hang}, gateways(64), 1),
    "polls that hang": ({"poll": hang, "create": created}, gateways(8), 20),
    "names without address": ({}, unresolvable, 1),
    "a storm of messages": (
        {"poll": failing("503 Unavailable", "request req_{n}, again in {n} seconds"), "create": created},
        gateways(2),
        15,
    ),
    "50 jobs for one place": ({"create": created, "poll": created}, gateways(1, limits={"maxActiveBatches": 1}), 50),
}


async def second_tenant(operator: Operator, api: ApiServer, kong: Instance, name: str) -> float:
    """Run jobs of the second tenant one after the other; answers the median of their seconds."""
    seconds = []
    for number in range(JOBS):
        job = build.batchjob(f"{name}-{number}", output={"secret": {"name": f"{name}-{number}", "key": "r"}})
        began = time.monotonic()
        api.put("batchjobs", {**job, "metadata": {**job["metadata"], "namespace": MINE}})
        while not _is_complete(api.get("batchjobs", f"{name}-{number}", MINE)):
            if time.monotonic() - began > 120:
                return 120.0
            await asyncio.sleep(0.01)
        seconds.append(time.monotonic() - began)
    del operator, kong
    return statistics.median(seconds)


def _is_complete(found: Json | None) -> bool:
    told = ((found or {}).get("status") or {}).get("conditions") or []
    return any(item["type"] == "Complete" and item["status"] == "True" for item in told)


@contextlib.asynccontextmanager
async def at_work(kong: Instance) -> AsyncIterator[tuple[Operator, ApiServer]]:
    """Have an operator with its own settings work for the second tenant's gateway."""
    with tempfile.TemporaryDirectory() as folder:
        async with ApiServer().serve() as api:
            operator = Operator(api, Path(folder), workers=32, recheck_seconds=15, settle_seconds=120)
            await operator.start()
            try:
                for plural, found in (
                    ("configmaps", config_map("prompts", "batch.jsonl", FIVE)),
                    ("batchgateways", build.batchgateway(kong.url, pollIntervalSeconds=1)),
                ):
                    api.put(plural, {**found, "metadata": {**found["metadata"], "namespace": MINE}})
                yield operator, api
            finally:
                operator.cancel_workers()
                await operator.stop()


async def measure(kong: Instance, tenant: Tenant | None) -> float:
    """Give what the second tenant's jobs take beside the first."""
    async with at_work(kong) as (operator, api):
        if tenant is None:
            return await second_tenant(operator, api, kong, "job")
        ways, made, jobs = tenant
        async with HostileGateway(**ways).serving() as hostile:
            hostile_jobs(api, made(hostile.url), jobs)
            await asyncio.sleep(WARM_UP_SECONDS)
            return await second_tenant(operator, api, kong, "job")


def slow_resolver() -> None:
    """Have names below .invalid take as long as name servers that don't answer; this process' own resolver, no other's."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *given: Any, **more: Any) -> Any:
        if str(host).endswith(".invalid"):
            time.sleep(30)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *given, **more)

    socket.getaddrinfo = getaddrinfo


def main() -> int:
    """Measure, and print."""
    logging.getLogger("llmbatch").setLevel(logging.CRITICAL)
    slow_resolver()
    worst = 0.0
    with EmulatorServer() as server:
        kong = server.instance(validating_seconds=0, in_progress_seconds=0, finalizing_seconds=0)
        alone = asyncio.run(measure(kong, None))
        print(f"Five requests, ConfigMap to Secret, poll 1 s, median of {JOBS} jobs of the second tenant:")
        print(f"  {'alone':33} {alone:6.2f} s")
        for name, tenant in TENANTS.items():
            seconds = asyncio.run(measure(kong, tenant))
            worst = max(worst, seconds / alone)
            print(f"  {'beside ' + name:33.33} {seconds:6.2f} s   ratio {seconds / alone:.2f}", flush=True)
    print(f"  worst ratio {worst:.2f}   (bound: {BOUND})")
    return 0 if worst <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
