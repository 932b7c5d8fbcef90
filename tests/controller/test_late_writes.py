"""What a pass writes too late: over what another leader has written meanwhile, or to another object of the same name."""

import asyncio

from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import remote_state
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB
from llmbatch.runtime.queue import Key
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.between import Between
from tests.support.inprocess import NAMESPACE, Operator, apply_all, config_map, remove_by_force

JOB, GATEWAY = Key(BATCHJOB, NAMESPACE, "job"), Key(BATCHGATEWAY, NAMESPACE, "kong")
NONE = {"configMap": {"name": "none", "key": "batch.jsonl"}}


def held(operator: Operator, key: Key) -> bool:
    return operator.runtime.cache.get(key) is not None


def states(api: ApiServer, uid: str) -> list[Json]:
    return [found for found in api.stored if found["metadata"]["uid"] == uid]


async def test_what_a_late_leader_says_of_a_job_takes_no_verdict_away(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    api.put("configmaps", config_map("bad", "batch.jsonl", b"{}\n"))
    bad = build.batchjob_apart("bad", input={"configMap": {"name": "bad", "key": "batch.jsonl"}})
    late = api.fault("hold", "patch", "batchjobs", "status", where=lambda body: "InputNotFound" in str(body))
    apply_all(api, kong, FIVE, bad, build.batchjob(input=NONE))
    failed = await operator.until_ended("bad")
    await operator.until(lambda: late.times == 0, None)
    # Another leader has found an input, and what is wrong with it.
    found = operator.job()
    status = {**operator.job("bad")["status"], "uid": found["metadata"]["uid"]}
    verdict = api.put("batchjobs", {**found, "status": status})
    assert remote_state.is_ended(verdict)
    late.released.set()
    await operator.quiet()
    assert operator.reason() == Reason.INVALID_INPUT
    since = states(api, verdict["metadata"]["uid"])
    ended = [remote_state.is_ended(found) for found in since]
    assert all(ended[ended.index(True) :])
    assert operator.status().completion_time == failed.completion_time


async def test_what_is_said_of_a_job_that_cant_be_read_is_not_said_of_the_next_one_of_its_name(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    late = api.fault("hold", "patch", "batchjobs", "status", where=lambda body: "InvalidSpec" in str(body))
    apply_all(api, kong, FIVE, {**build.batchjob(), "spec": {"gatewayRef": {"name": "kong"}}})
    await operator.until(lambda: late.times == 0, None)
    api.remove("batchjobs", "job")
    anew = api.put("batchjobs", build.batchjob())
    late.released.set()
    await operator.until(lambda: operator.batch().id, None)
    told = [found.get("status") for found in states(api, anew["metadata"]["uid"])]
    assert "InvalidSpec" not in str(told)


async def test_a_batch_whose_job_and_gateway_were_removed_by_force_during_its_create_call_is_cancelled(
    operator: Operator, api: ApiServer, kong: Instance, between: Between
) -> None:
    between.held = asyncio.Event()
    apply_all(api, kong, FIVE, url=between.url)
    await operator.until(lambda: between.waiting, None)
    remove_by_force(api)
    await operator.until(lambda: not held(operator, JOB), None)
    api.remove("batchgateways", "kong")
    await operator.until(lambda: not held(operator, GATEWAY), None)
    await operator.quiet()
    between.held.set()
    await operator.until(lambda: ("Warning", "Cancelling") in operator.events(), None)
    assert [batch["status"] for batch in kong.batches()] == ["cancelling"]
