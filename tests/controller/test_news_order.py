"""Lists and the watch tell of the same objects, each at its own pace: what is gone or was made anew meanwhile is found out."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmbatch.kube.client import ClusterError
from llmbatch.process.runtime import Runtime
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB, uid_of
from llmbatch.runtime.queue import Key
from llmbatch.settings import Settings
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apicalls import Fault
from tests.support.apiserver import ApiServer
from tests.support.apistore import Verb
from tests.support.inprocess import NAMESPACE, Operator, apply_all, cluster_of

JOB = Key(BATCHJOB, NAMESPACE, "job")
GATEWAY = Key(BATCHGATEWAY, NAMESPACE, "kong")


@pytest.fixture
async def runtime(api: ApiServer, tmp_path: Path) -> AsyncIterator[Runtime]:
    cluster = cluster_of(api)
    made = Runtime(Settings(), cluster, tmp_path)
    yield made
    made.transfers.close()
    await cluster.close()


def held(runtime: Runtime, key: Key = JOB) -> str:
    return uid_of(runtime.cache.get(key))


@pytest.mark.parametrize("ended", [False, True], ids=["a job", "a job that has ended"])
async def test_what_was_deleted_while_a_list_was_on_its_way_is_not_held(
    operator: Operator, api: ApiServer, ended: bool
) -> None:
    made = build.batchjob()
    if ended:
        made["status"] = build.ended().dump()
    found = api.put("batchjobs", made)
    await operator.quiet()
    api.edit("batchjobs", "job", {"metadata": {"finalizers": None}})
    api.remove("batchjobs", "job")
    if api.get("batchjobs", "job") is not None:
        api.edit("batchjobs", "job", {"metadata": {"finalizers": None}})
    await operator.until(lambda: operator.runtime.cache.get(JOB) is None, None)
    await operator.runtime.news.changed("RESYNC", JOB, found)
    await operator.until(lambda: operator.runtime.cache.get(JOB) is None, None)


@pytest.mark.parametrize("kind", ["MODIFIED", "RESYNC", "LISTED"])
async def test_an_object_is_not_taken_for_the_one_that_had_its_name_before(
    runtime: Runtime, api: ApiServer, kind: str
) -> None:
    before = api.put("batchjobs", build.batchjob())
    api.remove("batchjobs", "job")
    anew = api.put("batchjobs", build.batchjob())
    assert anew["metadata"]["uid"] != before["metadata"]["uid"]
    await runtime.news.changed("ADDED", JOB, anew)
    await runtime.news.changed(kind, JOB, before)
    assert held(runtime) == anew["metadata"]["uid"]
    assert not runtime.cache.is_sure(JOB), "the API server is asked: it may have gone back"


async def test_an_object_that_was_made_anew_while_others_were_listed_is_not_held_to_be_gone(
    runtime: Runtime, api: ApiServer
) -> None:
    before = api.put("batchjobs", build.batchjob())
    await runtime.news.changed("ADDED", JOB, before)
    api.remove("batchjobs", "job")
    runtime.news.namespaces = (NAMESPACE, "team-b")
    listing = Fault(lambda call: (call.verb, call.plural, call.namespace) == ("list", "batchjobs", "team-b"), "hold")
    api.faults.append(listing)
    resync = asyncio.create_task(runtime.news.resync())
    while not any(call.namespace == "team-b" for call in api.calls):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    # The first namespace has been read by now, without it.
    anew = api.put("batchjobs", build.batchjob())
    await runtime.news.changed("ADDED", JOB, anew)
    listing.released.set()
    await resync
    assert held(runtime) == anew["metadata"]["uid"]


async def test_an_answer_that_is_no_list_is_not_taken_for_the_end_of_all_objects(
    runtime: Runtime, api: ApiServer
) -> None:
    api.put("batchjobs", build.batchjob())
    await runtime.news.resync()
    api.fault("page", "list", "batchjobs")
    with pytest.raises(ClusterError, match="no JSON object"):
        await runtime.news.resync()
    assert runtime.cache.keys(BATCHJOB) == [JOB]


async def test_so_it_is_with_a_gateway(runtime: Runtime, api: ApiServer) -> None:
    before = api.put("batchgateways", build.batchgateway("https://kong"))
    api.remove("batchgateways", "kong")
    anew = api.put("batchgateways", build.batchgateway("https://kong"))
    await runtime.news.changed("ADDED", GATEWAY, anew)
    await runtime.news.changed("RESYNC", GATEWAY, before)
    assert (runtime.cache.get(GATEWAY) or {})["metadata"]["uid"] == anew["metadata"]["uid"]


@pytest.mark.parametrize(
    "call",
    [("get", "batchjobs", ""), ("patch", "batchjobs", ""), ("patch", "batchjobs", "status")],
    ids=["its state", "its finalizer", "its status"],
)
@pytest.mark.parametrize("again", [False, True], ids=["", "though made anew under its name"])
async def test_a_job_that_was_deleted_while_an_answer_was_on_its_way_is_not_held(
    operator: Operator, api: ApiServer, kong: Instance, call: tuple[Verb, str, str], again: bool
) -> None:
    verb, plural, subresource = call
    late = api.fault("late", verb, plural, subresource)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: late.times == 0, None)
    uid = operator.job()["metadata"]["uid"]
    api.edit("batchjobs", "job", {"metadata": {"finalizers": None}})
    api.remove("batchjobs", "job")
    if again:
        api.put("batchjobs", build.batchjob(input={"configMap": {"name": "none", "key": "batch.jsonl"}}))
    await operator.until(lambda: held(operator.runtime) != uid, None)
    late.released.set()
    await operator.quiet()
    assert held(operator.runtime) == ((api.get("batchjobs", "job") or {}).get("metadata") or {}).get("uid", "")
    assert bool(held(operator.runtime)) == again


async def test_so_it_is_with_the_answer_to_a_write_of_a_gateways_status(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    late = api.fault("late", "patch", "batchgateways", "status")
    apply_all(api, kong, FIVE)
    await operator.until(lambda: late.times == 0, None)
    api.remove("batchgateways", "kong")
    await operator.until(lambda: not held(operator.runtime, GATEWAY), None)
    late.released.set()
    await operator.quiet()
    assert not held(operator.runtime, GATEWAY)


async def test_a_gateway_that_a_job_was_quicker_to_ask_for_and_that_goes_meanwhile_is_not_held(
    runtime: Runtime, api: ApiServer
) -> None:
    late = api.fault("late", "get", "batchgateways")
    api.put("batchgateways", build.batchgateway("https://kong"))
    asked = asyncio.create_task(runtime.gateways.resolve(GATEWAY))
    await late.met()
    api.remove("batchgateways", "kong")
    await runtime.news.changed("DELETED", GATEWAY, {"metadata": {}})
    late.released.set()
    await asked
    await runtime.reconciler.health.reconcile(GATEWAY)
    assert not held(runtime, GATEWAY)


@pytest.mark.parametrize("gone", [True, False], ids=["that it is gone", "how it was"])
@pytest.mark.parametrize("key", [JOB, GATEWAY], ids=["a job", "a gateway"])
async def test_an_object_that_was_made_anew_while_an_answer_was_on_its_way_stays(
    runtime: Runtime, api: ApiServer, key: Key, gone: bool
) -> None:
    plural = "batchjobs" if key is JOB else "batchgateways"
    body = build.batchjob() if key is JOB else build.batchgateway("https://kong.invalid", name="kong")
    before = api.put(plural, body)
    await runtime.news.changed("ADDED", key, before)
    runtime.cache.doubt(key)
    if gone:
        api.remove(plural, key.name)
    late = api.fault("late", "get", plural)
    ask = runtime.reconciler.objects.to_look_at if key is JOB else runtime.reconciler.health.reconcile
    asked = asyncio.ensure_future(ask(key))
    await late.met()
    if not gone:
        api.remove(plural, key.name)
    anew = api.put(plural, body)
    await runtime.news.changed("DELETED", key, before)
    await runtime.news.changed("ADDED", key, anew)
    late.released.set()
    await asked
    assert held(runtime, key) == anew["metadata"]["uid"]


async def test_what_was_deleted_while_the_first_list_was_on_its_way_is_not_held(
    runtime: Runtime, api: ApiServer
) -> None:
    late = api.fault("late", "list", "batchjobs")
    made = api.put("batchjobs", build.batchjob())
    beginning = asyncio.create_task(runtime.news.begin())
    await late.met()
    api.remove("batchjobs", "job")
    await runtime.news.changed("ADDED", JOB, made)
    await runtime.news.changed("DELETED", JOB, made)
    late.released.set()
    await beginning
    assert not held(runtime)


@pytest.mark.parametrize("key", [JOB, GATEWAY], ids=["a job", "a gateway"])
async def test_what_turns_out_to_be_gone_when_it_is_written_is_held_no_more(
    runtime: Runtime, api: ApiServer, kong: Instance, key: Key
) -> None:
    plural = "batchjobs" if key is JOB else "batchgateways"
    made = api.put(plural, build.batchjob() if key is JOB else build.batchgateway(kong.url))
    await runtime.news.changed("ADDED", key, made)
    # The watch was broken off just then.
    api.remove(plural, key.name)
    looks = runtime.queue.keys()
    async with asyncio.timeout(10):
        while held(runtime, key):
            await runtime.reconciler.work(await anext(looks))
            await runtime.passes.drain()
    assert len(api.writes(plural)) == 1
