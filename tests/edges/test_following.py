"""Objects that are followed: what is told in time, late, twice, or never, by an API server that ends, forgets and goes back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from llmbatch.kube.client import Cluster
from llmbatch.kube.following import Following
from llmbatch.kube.permissions import KUBERNETES_JOBS
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json


@dataclass
class Listener:
    """Notes what it is told."""

    names: set[str] = field(default_factory=set)
    kinds: list[str] = field(default_factory=list)
    follows_now: bool = False
    back: int = 0

    async def told(self, kind: str, found: Json) -> None:
        self.kinds.append(kind)
        name = found["metadata"]["name"]
        self.names.discard(name) if kind == "DELETED" else self.names.add(name)

    async def listed(self, namespace: str | None, version: str, uids: set[str]) -> None:
        assert (namespace, version.isdecimal()) == ("team-a", True)
        self.kinds.append(f"{len(uids)} in all")

    def went_back(self, _: str | None) -> None:
        self.back += 1
        self.names.clear()

    def follows(self, _: str | None, *, now: bool) -> None:
        self.follows_now = now


@contextlib.asynccontextmanager
async def following(cluster: Cluster) -> AsyncIterator[Listener]:
    listener = Listener()
    running = asyncio.create_task(Following(cluster, KUBERNETES_JOBS, "team-a", "of=us,too", listener).run())
    try:
        yield listener
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert not listener.follows_now


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


def put(api: ApiServer, name: str, **given: str) -> None:
    labels = {"of": "us", "too": "", **given}
    api.put("jobs", {"metadata": {"name": name, "namespace": "team-a", "labels": labels}})


async def interrupted(api: ApiServer, listener: Listener) -> None:
    """Have a watch end that has told of one object."""
    await until(lambda: listener.follows_now)
    put(api, "a")
    await until(lambda: "a" in listener.names)
    api.end_watches()
    await until(lambda: not listener.follows_now)


def count(api: ApiServer, verb: str) -> int:
    return sum(call.verb == verb for call in api.calls)


async def test_what_is_there_and_what_comes_is_told_once_and_what_others_own_is_not(
    api: ApiServer, cluster: Cluster
) -> None:
    put(api, "a")
    put(api, "of-others", of="them")
    async with following(cluster) as listener:
        await until(lambda: listener.follows_now)
        put(api, "b")
        put(api, "of-others-too", of="them")
        api.edit("jobs", "a", {"status": {"active": 1}})
        api.remove("jobs", "b")
        await until(lambda: "DELETED" in listener.kinds)
        assert listener.kinds == ["LISTED", "1 in all", "ADDED", "MODIFIED", "DELETED"]
    assert (count(api, "list"), count(api, "watch")) == (1, 1)


async def test_a_watch_that_ends_goes_on_from_there_without_a_list(api: ApiServer, cluster: Cluster) -> None:
    async with following(cluster) as listener:
        await interrupted(api, listener)
        put(api, "b")
        await until(lambda: "b" in listener.names)
    assert listener.kinds.count("ADDED") == 2
    assert count(api, "list") == 1


async def test_what_the_api_server_has_forgotten_is_listed_anew(api: ApiServer, cluster: Cluster) -> None:
    async with following(cluster) as listener:
        await interrupted(api, listener)
        put(api, "b")
        api.forget()
        await until(lambda: "b" in listener.names and listener.follows_now)
    assert listener.kinds[-1] == "2 in all"


async def test_a_connection_that_breaks_is_replaced(api: ApiServer, cluster: Cluster) -> None:
    api.fault("cut before", "watch", "jobs", times=2)
    api.fault("status", "list", "jobs", status=503, times=1)
    async with following(cluster) as listener:
        await until(lambda: listener.follows_now)
        put(api, "a")
        await until(lambda: "a" in listener.names)


async def test_without_the_permission_nobody_is_told_that_he_follows_and_little_is_asked(
    api: ApiServer, cluster: Cluster
) -> None:
    api.fault("status", "watch", "jobs", status=403, times=-1)
    async with following(cluster) as listener:
        await until(lambda: count(api, "watch"))
        await asyncio.sleep(0.5)
        assert not listener.follows_now
    assert (count(api, "list"), count(api, "watch")) == (1, 1)


async def test_when_history_has_gone_back_what_was_told_is_forgotten_first(api: ApiServer, cluster: Cluster) -> None:
    put(api, "a")
    async with following(cluster) as listener:
        await until(lambda: listener.follows_now)
        backup = api.backup()
        put(api, "b")
        await until(lambda: "b" in listener.names)
        api.restore(backup)
        api.forget()
        api.end_watches()
        # What it was to go on from is not known any more, or is ahead of all that is.
        api.fault("status", "watch", "jobs", status=410)
        await until(lambda: listener.back and listener.follows_now)
        assert listener.names == {"a"}
