"""The whole process: Kopf watches an API server in memory, workers work, SIGTERM drains."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llmbatch.process.main import Process
from llmbatch.process.runtime import Runtime
from llmbatch.settings import Settings
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all, cluster_of, kubeconfig

TOKENS = 1295
"""What the five requests are estimated at."""


@asynccontextmanager
async def running(api: ApiServer, folder: Path, **settings: float) -> AsyncIterator[Process]:
    """Have a whole process work, which is told to stop at the end."""
    cluster = cluster_of(api)
    process = Process(Settings.model_validate(settings), cluster, folder)
    work = asyncio.create_task(process.run())
    try:
        yield process
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await work
        await cluster.close()


async def test_a_process_finds_jobs_by_itself_and_stops_when_told(
    api: ApiServer, kong: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(api, tmp_path))
    apply_all(api, kong, FIVE)
    changes: asyncio.Queue[Json] = asyncio.Queue()
    api.on_change.append(lambda _, found: changes.put_nowait(found))

    async def changed_to(phase: str) -> None:
        while (await changes.get()).get("status", {}).get("phase") != phase:
            pass

    async with running(api, tmp_path, recheck_seconds=0.1) as process, asyncio.timeout(10):
        await changed_to("Validating")
        assert process.ready() == ""
        api.remove("batchjobs", "job")
        await changed_to("Deleting")
    assert process.ready() == "stopping"
    annotations = [found["metadata"].get("annotations") for found in api.stored if found["_plural"] == "batchjobs"]
    assert not any(annotations), "nothing of Kopf's is ever put on a user's object"


@pytest.mark.parametrize(
    "limits", [{"maxActiveBatches": 3}, {"maxEnqueuedTokens": 3 * TOKENS}], ids=["places", "tokens"]
)
async def test_a_new_leader_gives_nobody_what_others_have_of_whom_it_hears_later(
    api: ApiServer, kong: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(api, tmp_path))
    kong.configure(in_progress_seconds=86400)
    # The watch tells of them in the order of their names: first of those that wait.
    active, waiting = [f"z-{number}" for number in range(3)], [f"a-{number:02}" for number in range(60)]
    async with Operator(api, tmp_path).running() as before:
        apply_all(api, kong, FIVE, *map(build.batchjob_apart, active), limits=limits)
        await before.until(lambda: len(kong.batches()) == 3, None)
        for name in waiting:
            api.put("batchjobs", build.batchjob_apart(name))
        await before.until(lambda: all(before.status(name).phase for name in waiting), None)
        await before.quiet()
    async with running(api, tmp_path, recheck_seconds=1) as process:
        name, looked = "llmbatch_reconcile_duration_seconds_count", 0.0
        for _ in range(600):
            looked = process.runtime.metrics.registry.get_sample_value(name, {"ending": "wait"}) or 0.0
            if looked >= len(waiting):
                break
            await asyncio.sleep(0.1)
        assert looked >= len(waiting)
    assert len(kong.batches()) == 3


async def test_a_first_list_that_fails_is_tried_again(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    apply_all(api, kong, FIVE)
    cluster = cluster_of(api)
    runtime = Runtime(Settings(), cluster, tmp_path)
    failing = api.fault("status", "list", "batchjobs", status=503, times=2)
    async with asyncio.timeout(20):
        await runtime.news.begin()
    assert failing.times == 0
    assert [key.name for key in runtime.cache.keys("BatchJob")] == ["job"]
    runtime.transfers.close()
    await cluster.close()


async def test_a_resync_finds_what_the_watch_has_missed(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    cluster = cluster_of(api)
    runtime = Runtime(Settings(), cluster, tmp_path)
    apply_all(api, kong, FIVE)
    await runtime.news.resync()
    assert runtime.queue.depth == 2
    assert [key.name for key in runtime.cache.keys("BatchJob")] == ["job"]
    await runtime.news.resync()
    assert runtime.queue.depth == 2, "what has not changed is not looked at"
    api.remove("batchjobs", "job")
    await runtime.news.resync()
    assert runtime.cache.keys("BatchJob") == []
    runtime.transfers.close()
    await cluster.close()
