"""An object of ten thousand levels, as the API server stores it: nobody else's work stands still for it."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from llmbatch.process.runtime import Runtime
from llmbatch.settings import Settings
from tests.controller.conftest import FIVE
from tests.controller.test_runtime import running
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all, cluster_of, kubeconfig

MARK = "ten thousand levels"
LEVELS = 9_900
DEEP = '{"a":' * LEVELS + "1" + "}" * LEVELS


def hostile(name: str) -> Json:
    """Make a BatchJob with what its schema leaves free, and what it leaves to managedFields."""
    made = build.batchjob_apart(name)
    made["spec"]["transfer"] = {"affinity": {"nodeAffinity": {"a": MARK}}}
    made["metadata"]["managedFields"] = [{"manager": "me", "fieldsV1": {"f:spec": MARK}}]
    return made


@pytest.fixture
def api(api: ApiServer) -> ApiServer:
    api.writes_json = lambda text: text.replace(f'"{MARK}"', DEEP)
    return api


async def test_a_process_starts_and_watches_though_an_object_is_too_deep(
    api: ApiServer, kong: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(api, tmp_path))
    apply_all(api, kong, FIVE, hostile("deep"))
    changes: asyncio.Queue[Json] = asyncio.Queue()
    api.on_change.append(lambda _, found: changes.put_nowait(found))

    async def taken_on(name: str) -> None:
        while (found := await changes.get())["metadata"]["name"] != name or not found.get("status", {}).get("batches"):
            pass

    async with running(api, tmp_path, recheck_seconds=0.1) as process, asyncio.timeout(20):
        api.put("batchjobs", build.batchjob_apart("first"))
        await taken_on("first")
        api.put("batchjobs", hostile("deeper"))
        # What comes in the same stream after it, not by a list.
        api.put("batchjobs", build.batchjob_apart("second"))
        await taken_on("second")
        assert process.runtime.watch.started.is_set()
        assert not process.runtime.watch.ended.done()


async def test_a_resync_looks_at_all_others(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    apply_all(api, kong, FIVE, hostile("deep"), build.batchjob_apart("other"))
    cluster = cluster_of(api)
    runtime = Runtime(Settings(), cluster, tmp_path)
    async with asyncio.timeout(20):
        await runtime.news.begin()
    await runtime.news.resync()
    assert {key.name for key in runtime.cache.keys("BatchJob")} == {"deep", "other"}
    runtime.transfers.close()
    await cluster.close()


async def test_the_job_itself_is_run_by_what_of_it_can_be_read(
    operator: Operator, api: ApiServer, kong: Instance, logged: io.StringIO
) -> None:
    apply_all(api, kong, FIVE, hostile("deep"))
    await operator.until(lambda: operator.status("deep").batches, "deep")
    assert '"trace":' not in logged.getvalue()


async def test_an_affinity_that_is_too_large_is_told_of_and_not_held(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    made = build.batchjob()
    made["spec"]["transfer"] = {"affinity": {"nodeAffinity": {"a": "x" * 1_000_000}}}
    apply_all(api, kong, FIVE, made)
    await operator.until_reason("InvalidSpec")
    ready = operator.status().condition("Ready")
    assert ready is not None
    assert ready.message == "spec.transfer.affinity has more than 16384 bytes; correct it, and the job goes on."
    assert len(json.dumps(operator.runtime.cache.all_of("BatchJob"))) < 10_000
    api.edit("batchjobs", "job", {"spec": {"transfer": None}})
    await operator.until(lambda: operator.batch().id)
