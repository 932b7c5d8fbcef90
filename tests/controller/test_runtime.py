"""The whole process: Kopf watches an API server in memory, workers work, SIGTERM drains."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from llmbatch.process.main import Process
from llmbatch.process.runtime import Runtime
from llmbatch.settings import Settings
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import apply_all, cluster_of, kubeconfig


async def test_a_process_finds_jobs_by_itself_and_stops_when_told(
    api: ApiServer, kong: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(api, tmp_path))
    apply_all(api, kong, FIVE)
    cluster = cluster_of(api)
    process = Process(Settings(recheck_seconds=0.1), cluster, tmp_path)
    running = asyncio.create_task(process.run())

    changes: asyncio.Queue[Json] = asyncio.Queue()
    api.on_change.append(lambda _, found: changes.put_nowait(found))

    async def changed_to(phase: str) -> None:
        while (await changes.get()).get("status", {}).get("phase") != phase:
            pass

    try:
        async with asyncio.timeout(10):
            await changed_to("Validating")
            assert process.ready() == ""
            api.remove("batchjobs", "job")
            await changed_to("Deleting")
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await running
        await cluster.close()
    assert process.ready() == "stopping"
    annotations = [found["metadata"].get("annotations") for found in api.stored if found["_plural"] == "batchjobs"]
    assert not any(annotations), "nothing of Kopf's is ever put on a user's object"


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
