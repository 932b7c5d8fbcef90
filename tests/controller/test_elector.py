"""Of several operators one works, and it knows until when."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmbatch.kube.client import Cluster
from llmbatch.kube.permissions import JOBS
from llmbatch.process.main import Process
from llmbatch.runtime.election import Elector
from llmbatch.settings import Settings
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import cluster_of

NAMESPACE = "llmbatch-system"
FOREVER = 60.0
MOST_CONNECTIONS = 100
"""That one client has to the API server."""


@pytest.fixture
async def cluster(api: ApiServer) -> AsyncIterator[Cluster]:
    made = cluster_of(api)
    yield made
    await made.close()


def elector(cluster: Cluster, identity: str, lease: float = 1.0) -> Elector:
    return Elector(
        cluster,
        namespace=NAMESPACE,
        name="llmbatch",
        identity=identity,
        lease_seconds=lease,
        renew_seconds=lease * 0.6,
        retry_seconds=lease * 0.1,
    )


def lease(api: ApiServer) -> Json:
    found = api.get("leases", "llmbatch", NAMESPACE)
    assert found is not None
    spec: Json = found["spec"]
    return spec


async def test_the_first_one_leads_at_once_and_says_so_in_the_lease(api: ApiServer, cluster: Cluster) -> None:
    first = elector(cluster, "first", FOREVER)
    assert not first.leads()
    await first.acquire()
    assert first.leads()
    spec = lease(api)
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("first", 60, 0)


async def test_a_second_one_waits_as_long_as_the_first_renews(cluster: Cluster) -> None:
    first, second = elector(cluster, "first", 5.0), elector(cluster, "second", 5.0)
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    waiting = asyncio.create_task(second.acquire())
    for _ in range(60):
        await asyncio.sleep(0.1)
        assert first.leads()
        assert not second.leads()
    assert not holding.done()
    for task in (holding, waiting):
        task.cancel()


async def test_a_leader_that_died_is_replaced_and_the_change_is_counted(api: ApiServer, cluster: Cluster) -> None:
    await elector(cluster, "first").acquire()
    second = elector(cluster, "second")
    began = time.monotonic()
    async with asyncio.timeout(5):
        await second.acquire()
    assert time.monotonic() - began >= 1.0, "the lease of the dead one was waited out"
    assert (lease(api)["holderIdentity"], lease(api)["leaseTransitions"]) == ("second", 1)


async def test_a_lease_that_was_given_back_is_taken_at_once(api: ApiServer, cluster: Cluster) -> None:
    first, second = elector(cluster, "first", FOREVER), elector(cluster, "second", FOREVER)
    await first.acquire()
    await first.release()
    assert not first.leads()
    assert lease(api)["holderIdentity"] == ""
    async with asyncio.timeout(5):
        await second.acquire()


async def test_nobody_gives_back_what_is_another_ones(api: ApiServer, cluster: Cluster) -> None:
    first, second = elector(cluster, "first"), elector(cluster, "second", FOREVER)
    await first.acquire()
    api.edit("leases", "llmbatch", {"spec": {"holderIdentity": ""}}, NAMESPACE)
    await second.acquire()
    await first.release()
    assert lease(api)["holderIdentity"] == "second"


@pytest.mark.parametrize("renewed", ["1970-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"])
async def test_the_holders_clock_does_not_count(api: ApiServer, cluster: Cluster, renewed: str) -> None:
    await elector(cluster, "first").acquire()
    api.edit("leases", "llmbatch", {"spec": {"renewTime": renewed}}, NAMESPACE)
    second = elector(cluster, "second")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.7):
            await second.acquire()
    async with asyncio.timeout(5):
        await second.acquire()


async def test_of_many_that_try_at_the_same_time_one_succeeds(cluster: Cluster) -> None:
    crowd = [elector(cluster, f"number-{number}", FOREVER) for number in range(10)]
    tries = [asyncio.create_task(member.acquire()) for member in crowd]
    await asyncio.wait(tries, timeout=2, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.3)
    assert sum(member.leads() for member in crowd) == 1
    for task in tries:
        task.cancel()


async def test_an_api_server_that_hangs_ends_the_term_before_another_can_begin(
    api: ApiServer, cluster: Cluster
) -> None:
    first = elector(cluster, "first", 6.0)
    await first.acquire()
    began = time.monotonic()
    hanging = api.fault("hold", "update", "leases", times=-1)
    async with asyncio.timeout(10):
        await first.hold()
    assert not first.leads()
    assert time.monotonic() - began < 6.0, "the others wait longer than that"
    hanging.released.set()


async def test_a_single_renewal_that_hangs_ends_nothing(api: ApiServer, cluster: Cluster) -> None:
    first = elector(cluster, "first", 5.0)
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    hanging = api.fault("hold", "update", "leases")
    await hanging.met()
    hung = lease(api)["renewTime"]
    async with asyncio.timeout(5):
        while lease(api)["renewTime"] == hung:
            assert not holding.done(), "the connection may be dead, and another one be answered at once"
            await asyncio.sleep(0.05)
    assert first.leads()
    holding.cancel()
    hanging.released.set()


async def test_it_is_renewed_though_a_thousand_other_calls_hang(api: ApiServer, tmp_path: Path) -> None:
    cluster = cluster_of(api)
    given = {"namespace": NAMESPACE, "lease_seconds": 4, "renew_seconds": 3, "retry_seconds": 0.3}
    process = Process(Settings.model_validate(given), cluster, tmp_path)
    hanging = api.fault("hold", "get", "batchjobs", times=-1)
    others = [asyncio.create_task(cluster.get(JOBS, "team-a", f"job-{number}")) for number in range(1000)]
    while len(api.calls) < MOST_CONNECTIONS:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await process.elector.acquire()
    holding = asyncio.create_task(process.elector.hold())
    taken = lease(api)["renewTime"]
    async with asyncio.timeout(5):
        while lease(api)["renewTime"] == taken:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)
    assert not holding.done()
    for task in (holding, *others):
        task.cancel()
    hanging.released.set()
    await process.close()
    await cluster.close()


async def test_a_renewal_is_a_single_call(api: ApiServer, cluster: Cluster) -> None:
    first = elector(cluster, "first", 10.0)
    await first.acquire()
    api.calls.clear()
    holding = asyncio.create_task(first.hold())
    while len(api.calls) < 3:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.05)
    holding.cancel()
    assert {call.verb for call in api.calls} == {"update"}


@pytest.mark.parametrize("status", [500, 403, 409])
async def test_a_renewal_that_fails_now_and_then_ends_nothing(api: ApiServer, cluster: Cluster, status: int) -> None:
    first = elector(cluster, "first", 5.0)
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    for _ in range(2):
        failing = api.fault("status", "update", "leases", status=status, times=2)
        await failing.met()
        await asyncio.sleep(0.7)
        assert first.leads()
    assert not holding.done()
    holding.cancel()


async def test_a_leader_whose_lease_was_taken_ends_its_term_at_once(api: ApiServer, cluster: Cluster) -> None:
    first = elector(cluster, "first", 10.0)
    await first.acquire()
    api.edit("leases", "llmbatch", {"spec": {"holderIdentity": "a person"}}, NAMESPACE)
    async with asyncio.timeout(5):
        await first.hold()
    assert not first.leads()


async def test_a_lease_that_is_deleted_is_made_anew_by_its_holder(api: ApiServer, cluster: Cluster) -> None:
    first = elector(cluster, "first", 3.0)
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    api.remove("leases", "llmbatch", NAMESPACE)
    while api.get("leases", "llmbatch", NAMESPACE) is None:  # noqa: ASYNC110 - until it is made
        await asyncio.sleep(0.05)
    assert lease(api)["holderIdentity"] == "first"
    holding.cancel()


async def test_the_guard_calls_even_while_the_event_loop_is_stuck(cluster: Cluster) -> None:
    first = elector(cluster, "first")
    await first.acquire()
    lost: list[float] = []
    first.guard(lambda: lost.append(time.monotonic()))
    time.sleep(1.2)  # noqa: ASYNC251 - that is what a stuck loop is
    assert len(lost) == 1


async def test_after_a_release_the_guard_has_nothing_to_say(cluster: Cluster) -> None:
    first = elector(cluster, "first", 3.0)
    await first.acquire()
    lost: list[None] = []
    first.guard(lambda: lost.append(None))
    with contextlib.suppress(ConnectionError):
        await first.release()
    await asyncio.sleep(2.0)
    assert lost == []
