"""Jobs that wait for a place cost nothing, and the end of a batch calls as many as there are places, the oldest first."""

import asyncio
from pathlib import Path

from llmbatch.api.reasons import Reason
from llmbatch.runtime.queue import Key
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Json, Operator, apply_all, remove_by_force

NAMES = [f"j{number}" for number in range(6)]


def job(name: str, second: int = 0) -> Json:
    made = build.batchjob_apart(name)
    made["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:{second:02d}Z"
    return made


def running(operator: Operator) -> set[str]:
    return {name for name in NAMES if operator.reason(name) == Reason.VALIDATING}


def waiting(operator: Operator) -> set[str]:
    return {name for name in NAMES if operator.reason(name) == Reason.WAITING_FOR_SLOT}


async def settled(operator: Operator, active: int) -> None:
    await operator.until(
        lambda: len(running(operator)) == active and len(waiting(operator)) == len(NAMES) - active, None
    )
    await operator.quiet()


async def began(operator: Operator, api: ApiServer, kong: Instance, places: int = 1) -> None:
    """Have as many jobs run as there are places; the others wait, the last of the list for the longest."""
    jobs = [job(name, 30 - number) for number, name in enumerate(NAMES)]
    apply_all(api, kong, FIVE, *jobs, limits={"maxActiveBatches": places})
    await settled(operator, places)


async def finish(operator: Operator, kong: Instance, *names: str) -> None:
    kong.advance(3600)
    for name in names:
        await operator.until(lambda name=name: operator.status(name).completion_time, name)  # type: ignore[misc]


async def test_jobs_that_wait_for_a_place_cause_no_call_and_no_pass(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await began(operator, api, kong)
    kong.clear_calls()
    api.calls.clear()
    # Many times the setting after which everything else is looked at again.
    await asyncio.sleep(20 * operator.runtime.settings.recheck_seconds)
    assert not kong.calls("files.get")
    assert not [call for call in api.calls if call.plural == "batchjobs" and call.name in waiting(operator)]


async def test_a_look_at_a_job_that_waits_asks_the_gateway_nothing(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await began(operator, api, kong)
    kong.clear_calls()
    for name in waiting(operator):
        await operator.runtime.queue.add(Key("BatchJob", NAMESPACE, name))
    await operator.quiet()
    assert not kong.calls("files.get")


async def test_the_end_of_a_batch_calls_the_oldest_and_nobody_else(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await began(operator, api, kong)
    left = sorted(waiting(operator), reverse=True)
    (first,) = running(operator)
    for _ in range(3):
        api.calls.clear()
        await finish(operator, kong, first)
        await operator.until(lambda: running(operator), None)
        await operator.quiet()
        (first,) = running(operator)
        assert first == left.pop(0), "the one that was made first"
        assert not [call for call in api.calls if call.plural == "batchjobs" and call.name in left]


async def test_the_ends_of_two_batches_call_two(operator: Operator, api: ApiServer, kong: Instance) -> None:
    await began(operator, api, kong, places=2)
    left = sorted(waiting(operator), reverse=True)
    await finish(operator, kong, *running(operator))
    await operator.until(lambda: len(running(operator)) == 2, None)
    await operator.quiet()
    assert running(operator) == set(left[:2])
    assert sum(batch["object"]["status"] == "validating" for batch in kong.batches()) == 2


async def test_after_a_restart_the_oldest_is_called_all_the_same(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path).running() as operator:
        await began(operator, api, kong)
        (first,), left = running(operator), sorted(waiting(operator), reverse=True)
    kong.advance(3600)
    async with Operator(api, tmp_path).running() as operator:
        await finish(operator, kong, first)
        await operator.until(lambda: running(operator), None)
        await operator.quiet()
        assert running(operator) == {left[0]}


async def test_a_raised_limit_calls_as_many_as_it_makes_room_for(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await began(operator, api, kong)
    left = sorted(waiting(operator), reverse=True)
    api.edit("batchgateways", "kong", {"spec": {"limits": {"maxActiveBatches": 3}}})
    await operator.until(lambda: len(running(operator)) == 3, None)
    await operator.quiet()
    assert running(operator) >= set(left[:2])
    assert len(running(operator)) == 3
    api.edit("batchgateways", "kong", {"spec": {"limits": {"maxActiveBatches": 0}}})
    await operator.until(lambda: len(running(operator)) == len(NAMES), None)


async def test_the_place_of_a_job_that_is_deleted_is_given_on(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await began(operator, api, kong)
    (first,) = running(operator)
    api.remove("batchjobs", first)
    await operator.until(lambda: operator.status(first).phase == "Deleting", first)
    kong.advance(3600)
    await operator.until_gone(first)
    others = [name for name in NAMES if name != first]
    await operator.until(lambda: any(operator.reason(name) == Reason.VALIDATING for name in others), None)


async def test_the_place_of_a_job_that_vanished_is_given_on(operator: Operator, api: ApiServer, kong: Instance) -> None:
    await began(operator, api, kong)
    (first,) = running(operator)
    # Somebody takes the finalizer off by force.
    remove_by_force(api, first)
    others = [name for name in NAMES if name != first]
    await operator.until(lambda: any(operator.reason(name) == Reason.VALIDATING for name in others), None)


async def test_a_claim_of_a_job_that_is_gone_holds_no_place(operator: Operator, api: ApiServer, kong: Instance) -> None:
    slots = operator.runtime.reconciler.observer.slots
    apply_all(api, kong, FIVE, job("j0"), limits={"maxActiveBatches": 1})
    gone, gateway = Key("BatchJob", NAMESPACE, "gone"), Key("BatchGateway", NAMESPACE, "kong")
    await operator.runtime.news.changed("ADDED", gateway, api.get("batchgateways", "kong") or {})
    operator.runtime.cache.put(gone, job("gone"))
    assert slots.claim(gone, gateway)
    operator.runtime.cache.drop(gone)
    await operator.until(lambda: operator.reason("j0") == Reason.VALIDATING, "j0")


async def test_one_whose_intent_is_refused_is_not_called_again_and_again(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await began(operator, api, kong)
    (first,) = running(operator)

    def orders(body: Json) -> bool:
        return any(batch.get("submission") for batch in body["status"].get("batches") or [])

    refused = api.fault("status", "patch", "batchjobs", "status", status=403, times=-1, where=orders)
    await finish(operator, kong, first)
    api.calls.clear()
    await asyncio.sleep(2)
    # After one second, and after two more.
    assert len([call for call in api.calls if refused.fits(call)]) <= 3
    api.faults.clear()
    await operator.until(lambda: running(operator), None)
