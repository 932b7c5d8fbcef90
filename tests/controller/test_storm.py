"""A gateway that fails each time in other words: told once, and nobody is woken by it."""

import asyncio
import itertools
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.kube.events import BURST, Recorder, Subject
from tests.controller.conftest import FIVE
from tests.controller.test_tenants import goes_on
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.hostile import HostileGateway, Way, reply
from tests.support.inprocess import NAMESPACE, Operator, cluster_of, config_map

JOBS = 20
UNDER_WAY = {"id": "batch_1", "status": "in_progress", "input_file_id": "file-in"}


def failing(status: str, message: str, *head: str) -> Way:
    """Refuse in other words each time."""
    numbers = itertools.count(1)

    async def way(writer: asyncio.StreamWriter) -> None:
        number = next(numbers)
        said = message.format(n=number)
        body = {"error": {"code": f"error_{number % 1000}", "message": said}, "request_id": f"req_{number}"}
        writer.write(reply(body, status, *(line.format(n=number) for line in head)))

    return way


def unreadable() -> Way:
    numbers = itertools.count(100)

    async def way(writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"x" * next(numbers)))

    return way


async def created(writer: asyncio.StreamWriter) -> None:
    writer.write(reply(UNDER_WAY))


WAYS = {
    "a server error with ids": failing("503 Service Unavailable", "Upstream failed (request req_{n}abc)"),
    "a quota": failing("429 Too Many Requests", "Rate limit reached; please retry after {n} seconds"),
    "seconds to wait": failing("429 Too Many Requests", "Slow down", "Retry-After: 0.{n:03}"),
    "no authority": failing("401 Unauthorized", "Key sk-{n} is unknown to 10.0.0.{n}"),
    "no JSON": unreadable(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("where", ["poll", "all"])
async def test_messages_that_differ_each_time_are_no_storm(
    api: ApiServer, kong: Instance, tmp_path: Path, way: Way, where: str
) -> None:
    ways = {"poll": created, "create": created}
    bad = {"poll": way} | ({"files": way, "batches": way} if where == "all" else {})
    settings = {"workers": 8, "recheck_seconds": 1}
    async with HostileGateway(**ways).serving() as hostile, Operator(api, tmp_path, **settings).running() as operator:
        api.put("configmaps", config_map("prompts", "batch.jsonl", FIVE))
        api.put("batchgateways", build.batchgateway(hostile.url, pollIntervalSeconds=1))
        jobs = [f"j{number}" for number in range(JOBS)]
        for name in jobs:
            api.put("batchjobs", build.batchjob_apart(name))
        await operator.until(lambda: all(operator.reason(name) == Reason.IN_PROGRESS for name in jobs), None)
        hostile.ways |= bad
        await operator.until(lambda: all(operator.reason(name) != Reason.IN_PROGRESS for name in jobs), None)
        await operator.quiet()
        before, calls = len(api.writes("batchjobs")), hostile.calls.total()
        gateway = len(api.writes("batchgateways"))
        await asyncio.sleep(3)
        # Each poll is one call, and none of them finds any news.
        assert len(api.writes("batchjobs")) - before <= JOBS / 2
        assert len(api.writes("batchgateways")) - gateway <= 1
        assert hostile.calls.total() - calls <= 5 * JOBS
        await goes_on(operator, api, kong)


async def test_a_change_of_readiness_wakes_those_that_wait_for_it(api: ApiServer, tmp_path: Path) -> None:
    ways: dict[str, Way] = {"all": failing("503 Service Unavailable", "down {n}")}
    hostile = HostileGateway(**ways)
    async with hostile.serving(), Operator(api, tmp_path, recheck_seconds=0.5).running() as operator:
        api.put("configmaps", config_map("prompts", "batch.jsonl", FIVE))
        api.put("batchgateways", build.batchgateway(hostile.url))
        for number in range(5):
            api.put("batchjobs", build.batchjob(f"j{number}", output={"secret": {"name": f"s{number}", "key": "r"}}))
        await operator.until(
            lambda: all(operator.reason(f"j{number}") == Reason.GATEWAY_UNREACHABLE for number in range(5)), None
        )
        hostile.ways.clear()
        hostile.ways["create"] = created
        # The gateway is asked anew as soon as somebody has reason to; a look at it by hand stands for that here.
        operator.runtime.gateways._clients.clear()  # noqa: SLF001 - in place of ten seconds
        await operator.until(
            lambda: all(operator.status(f"j{number}").summary.submission_time for number in range(5)), None
        )


async def test_an_object_that_goes_on_changing_gets_some_events_only(api: ApiServer) -> None:
    cluster = cluster_of(api)
    recorder = Recorder(cluster, "default", "pod")
    sending = asyncio.create_task(recorder.run())
    for number in range(200):
        subject = Subject("BatchJob", NAMESPACE, "storm", "uid-1")
        recorder.record(subject, "Warning", Reason.GATEWAY_UNREACHABLE, f"{number}")
    recorder.record(Subject("BatchJob", NAMESPACE, "other", "uid-2"), "Normal", Reason.SUCCEEDED, "done")
    await recorder.flush(5)
    sending.cancel()
    await cluster.close()
    about = [event["involvedObject"]["name"] for event in api.objects("events")]
    assert about.count("storm") == BURST
    assert about.count("other") == 1
