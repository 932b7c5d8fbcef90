"""The life of jobs, one after the other, with an operator in this process: what each costs in time and calls, as JSON.

python -m tests.bench.life URL PARTS JOBS volume|configmap: the URL is that of an emulator.

Uses nothing that the operator had not before there were parts, so that `make bench-parts` can run it with the sources of then.
"""

import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.emulator.client import Instance, make_instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, config_map
from tests.support.kubelet import Kubelet

PATIENCE_SECONDS = 900
AT_ONCE = {"validating_seconds": 0, "in_progress_seconds": 0, "finalizing_seconds": 0}


def lines(count: int) -> bytes:
    """Make so many requests."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}]}
    made = ({"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": body} for n in range(count))
    return "".join(f"{json.dumps(line)}\n" for line in made).encode()


def job(name: str, parts: int, where: str) -> dict[str, Any]:
    """Make a job; one of a single part is written as it was before there were any."""
    given: dict[str, Any] = {} if parts == 1 else {"splitPolicy": "Auto"}
    if where == "volume":
        given["input"] = {"persistentVolumeClaim": {"claimName": "data", "path": "batch.jsonl"}}
        given["output"] = {"persistentVolumeClaim": {"claimName": "data", "path": f"out/{name}.jsonl"}}
    else:
        given["output"] = {"secret": {"name": name, "key": "r.jsonl"}}
    return build.batchjob(name, **given)


def is_over(found: dict[str, Any] | None) -> bool:
    """Tell whether a job is Complete; it is an error that it has failed."""
    told = {item["type"]: item["status"] for item in ((found or {}).get("status") or {}).get("conditions") or []}
    assert told.get("Failed") != "True", found
    return told.get("Complete") == "True"


async def live(operator: Operator, api: ApiServer, kong: Instance, made: dict[str, Any]) -> dict[str, Any]:
    """Have a job live, and say what it cost."""
    name = made["metadata"]["name"]
    api.calls.clear()
    await asyncio.to_thread(kong.clear_calls)
    before, busy, began = passes(operator), time.process_time(), time.monotonic()
    api.put("batchjobs", made)
    while not is_over(api.get("batchjobs", name)):
        assert time.monotonic() - began < PATIENCE_SECONDS, f"{name} does not end"
        await asyncio.sleep(0.01)
    seconds, cpu = time.monotonic() - began, time.process_time() - busy
    # Events are written a little later, by themselves.
    await asyncio.sleep(1)
    calls = Counter(f"{call.verb} {call.plural}{call.subresource and '/'}{call.subresource}" for call in api.calls)
    return {
        "seconds": seconds,
        "cpu": cpu,
        "passes": passes(operator) - before,
        "api": dict(calls.most_common()),
        "gateway": dict(Counter(call["operation"] for call in await asyncio.to_thread(kong.calls))),
    }


def passes(operator: Operator) -> int:
    """Count the passes so far, over all objects."""
    name = "llmbatch_reconcile_duration_seconds_count"
    metrics = operator.runtime.metrics.registry.collect()
    return int(sum(item.value for metric in metrics for item in metric.samples if item.name == name))


async def main() -> None:
    """Run the jobs, and print what each cost."""
    url, parts, jobs, where = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    logging.getLogger("llmbatch").setLevel(logging.CRITICAL)
    kong = make_instance(url, f"parts-{parts}-{time.time_ns()}", AT_ONCE)
    content = lines(2 * parts)
    with tempfile.TemporaryDirectory() as folder:
        async with ApiServer().serve() as api:
            kubelet = Kubelet(api, Path(folder, "node"), {})
            (kubelet.volume("data") / "batch.jsonl").write_bytes(content)
            (kubelet.volume("data") / "out").mkdir()
            api.put("configmaps", config_map("prompts", "batch.jsonl", content))
            api.put("batchgateways", build.batchgateway(kong.url, limits={"maxRequestsPerFile": 2}))
            # As they are in a real operator.
            operator = Operator(
                api, Path(folder), workers=16, recheck_seconds=15, settle_seconds=120, stall_after_seconds=300
            )
            await operator.start()
            try:
                await asyncio.sleep(1)  # the gateway is looked at
                found = [await live(operator, api, kong, job(f"job-{n}", parts, where)) for n in range(jobs)]
            finally:
                await operator.stop()
                await kubelet.close()
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
