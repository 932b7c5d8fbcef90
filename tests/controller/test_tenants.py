"""Whatever a gateway does, the jobs that go through another one go on within seconds."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.provider.edge import resolver
from llmbatch.runtime import lanes
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.hostile import HostileGateway, Way, drip, hang
from tests.support.inprocess import Json, Operator, config_map

MINE = "team-b"
SETTINGS: dict[str, Any] = {"workers": 8, "recheck_seconds": 1}


def mine(found: Json) -> Json:
    return {**found, "metadata": {**found["metadata"], "namespace": MINE}}


def hostile_jobs(api: ApiServer, gateways: list[Json], jobs: int) -> None:
    """Apply a tenant's gateways with so many jobs each, of which each has results of its own."""
    api.put("configmaps", config_map("prompts", "batch.jsonl", FIVE))
    for gateway in gateways:
        api.put("batchgateways", gateway)
        name = gateway["metadata"]["name"]
        for number in range(jobs):
            output = {"secret": {"name": f"{name}-{number}", "key": "r"}}
            api.put("batchjobs", build.batchjob(f"{name}-{number}", gatewayRef={"name": name}, output=output))


async def goes_on(operator: Operator, api: ApiServer, kong: Instance) -> None:
    """Run a job of another tenant from its beginning to its end."""
    kong.configure(validating_seconds=0, in_progress_seconds=0, finalizing_seconds=0)
    api.put("configmaps", mine(config_map("prompts", "batch.jsonl", FIVE)))
    api.put("batchgateways", mine(build.batchgateway(kong.url, pollIntervalSeconds=1)))
    api.put("batchjobs", mine(build.batchjob()))

    def is_done() -> bool:
        found = api.get("batchjobs", "job", MINE) or {}
        told = (found.get("status") or {}).get("conditions") or []
        return any(item["type"] == "Complete" and item["status"] == "True" for item in told)

    await operator.until(is_done, None)


@contextlib.asynccontextmanager
async def beside(api: ApiServer, folder: Path, **ways: Way) -> AsyncIterator[tuple[Operator, HostileGateway]]:
    async with Operator(api, folder, **SETTINGS).running() as operator, HostileGateway(**ways).serving() as hostile:
        yield operator, hostile
        # What hangs is not waited for.
        operator.cancel_workers()


TIMES: dict[str, Any] = {"timeouts": {"connectSeconds": 5, "requestSeconds": 5, "transferSeconds": 10}}


# With these nothing ends while a test counts: the other side hears late of a connection that was given up.
PATIENT: dict[str, Any] = {"timeouts": {"connectSeconds": 60, "requestSeconds": 300, "transferSeconds": 900}}


def names_of(url: str, count: int, times: dict[str, Any] = TIMES) -> list[Json]:
    return [build.batchgateway(url, f"bad-{number}", **times) for number in range(count)]


# --- transfers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        pytest.param("content", drip(), id="a download by drips"),
        pytest.param("content", drip(b"HTTP/1.1 200 OK\r\nX-A: "), id="a download's head by drips"),
        pytest.param("content", hang, id="a download without an answer"),
        pytest.param("upload", drip(), id="an upload's answer by drips"),
        pytest.param("upload", drip(b"HTTP/1.1 200 OK\r\nX-A: "), id="an upload's answer, its head by drips"),
        pytest.param("upload", hang, id="an upload without an answer"),
    ],
)
async def test_a_gateway_that_drips_gets_its_share_of_the_threads_and_no_more(
    api: ApiServer, kong: Instance, tmp_path: Path, kind: str, way: Way
) -> None:
    async with beside(api, tmp_path, **{kind: way}) as (operator, hostile):
        hostile_jobs(api, names_of(hostile.url, 2, PATIENT), 8)
        await operator.until(lambda: hostile.active[kind] >= 2 * lanes.GATEWAY, None)
        await goes_on(operator, api, kong)
        # The other side may still count one that has ended when the next begins.
        await operator.until(lambda: hostile.active[kind] <= 2 * lanes.GATEWAY, None)
        assert hostile.most[kind] < 4 * lanes.GATEWAY
        # The other tenant's own thread may still be about to end.
        await operator.until(lambda: transfer_threads() <= 2 * lanes.GATEWAY, None)


def transfer_threads() -> int:
    return sum(thread.name == "transfer" for thread in threading.enumerate())


async def test_many_gateways_that_drip_get_the_share_of_their_namespace(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with beside(api, tmp_path, upload=drip()) as (operator, hostile):
        hostile_jobs(api, names_of(hostile.url, 12), 2)
        await operator.until(lambda: hostile.active["upload"] >= lanes.NAMESPACE, None)
        await goes_on(operator, api, kong)
        await operator.until(lambda: hostile.active["upload"] <= lanes.NAMESPACE, None)
        assert hostile.most["upload"] < 2 * lanes.NAMESPACE


# --- gateways ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "way",
    [pytest.param(hang, id="no answer"), pytest.param(drip(b"HTTP/1.1 200 OK\r\nX-A: "), id="an answer by drips")],
)
async def test_gateways_that_take_calls_and_never_answer_hold_no_worker(
    api: ApiServer, kong: Instance, tmp_path: Path, way: Way
) -> None:
    async with beside(api, tmp_path, all=way) as (operator, hostile):
        hostile_jobs(api, names_of(hostile.url, 32), 1)
        await operator.until(lambda: hostile.active.total() >= 16, None)
        await goes_on(operator, api, kong)


async def test_gateways_that_are_ready_and_then_hang_hold_no_worker(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with beside(api, tmp_path, file=hang) as (operator, hostile):
        hostile_jobs(api, names_of(hostile.url, 8), 4)
        await operator.until(lambda: hostile.active["file"] >= 8, None)
        await goes_on(operator, api, kong)


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The system's resolver as it is with name servers that don't answer; gives the names that are being looked up."""
    asked: list[str] = []
    over = threading.Event()
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *given: Any, **more: Any) -> Any:
        if not str(host).endswith(".invalid"):
            return real(host, *given, **more)
        asked.append(str(host))
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    over.set()


async def test_names_that_do_not_resolve_hold_up_nobody_elses(
    api: ApiServer, kong: Instance, tmp_path: Path, slow_names: list[str]
) -> None:
    port = kong.url.split(":")[2]
    async with Operator(api, tmp_path, **SETTINGS).running() as operator:
        gateways = [build.batchgateway(f"http://g{n}.invalid", f"bad-{n}", **TIMES) for n in range(32)]
        hostile_jobs(api, gateways, 1)
        await operator.until(lambda: len(slow_names) >= resolver.SHARE, None)
        # By name, so that its own has to be resolved too.
        kong.url = f"http://localhost:{port}"
        await goes_on(operator, api, kong)
        assert sum(thread.name == "names" for thread in threading.enumerate()) <= resolver.SHARE


async def test_a_name_that_is_never_resolved_is_said_and_costs_a_pass_no_more_than_its_time(
    api: ApiServer, tmp_path: Path, slow_names: list[str]
) -> None:
    del slow_names
    async with Operator(api, tmp_path, **SETTINGS).running() as operator:
        times = {"connectSeconds": 1, "requestSeconds": 1}
        api.put("batchgateways", build.batchgateway("http://alone.invalid", "kong", timeouts=times))
        await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_UNREACHABLE, None)


# --- deletion ------------------------------------------------------------------------------------------------------------


async def test_a_deletion_ends_the_pass_that_is_under_way(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    del kong
    async with beside(api, tmp_path, file=hang) as (operator, hostile):
        times = {"connectSeconds": 5, "requestSeconds": 300}
        hostile_jobs(api, [build.batchgateway(hostile.url, "bad", timeouts=times)], 1)
        await operator.until(lambda: hostile.active["file"], None)
        api.remove("batchjobs", "bad-0")
        await operator.until(lambda: api.get("batchjobs", "bad-0") is None, None)


async def test_a_list_without_an_end_is_not_read_on_for_a_job_that_is_deleted(api: ApiServer, tmp_path: Path) -> None:
    async def page(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        entry = b'{"id": "batch_%d", "status": "completed"}' % time.monotonic_ns()
        body = b'{"data": [%b], "has_more": true}' % entry
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with beside(api, tmp_path, batches=page, create=drip(b"")) as (operator, hostile):
        times = {"connectSeconds": 1, "requestSeconds": 1}
        hostile_jobs(api, [build.batchgateway(hostile.url, "bad", timeouts=times)], 1)
        # The answer to the create call is lost, and the list is searched for the batch.
        await operator.until(lambda: hostile.calls["create"] and hostile.calls["batches"] > 5, None)
        api.remove("batchjobs", "bad-0")
        await operator.until(lambda: api.get("batchjobs", "bad-0") is None, None)
        assert hostile.calls["batches"] < 200
