"""Batches wait in line for tokens of their gateway's quota, before their input is uploaded, and cost nothing meanwhile."""

import asyncio
from typing import Any

import httpx
import pytest

from llmbatch.api.batchgateway import BatchGatewayStatus
from llmbatch.api.batchjob_status import Queue
from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE, jsonl
from tests.controller.test_slots import finish
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Json, Operator, apply_all

ONE = 259
"""Tokens that a line of these inputs is estimated at: 10 bytes of prompt, and 256 for an answer without a limit."""
ALL = 5 * ONE
NAMES = ("a", "b", "c", "d", "e")


def job(name: str, second: int = 0, **given: Any) -> Json:
    made = build.batchjob_apart(name, **given)
    made["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:{second:02d}Z"
    return made


def jobs(*names: str, **given: Any) -> list[Json]:
    return [job(name, second, **given) for second, name in enumerate(names)]


def gateway(api: ApiServer, name: str = "kong") -> BatchGatewayStatus:
    return BatchGatewayStatus.parse((api.get("batchgateways", name) or {}).get("status") or {})


def queue(operator: Operator, name: str) -> Queue:
    found = operator.status(name).queue
    assert found is not None, f"{name} waits for no tokens"
    return found


def running(operator: Operator, *names: str) -> list[str]:
    return [name for name in names or NAMES if operator.reason(name) == Reason.VALIDATING]


def in_line(operator: Operator, *names: str) -> list[str]:
    """Give who waits, in the order of their places."""
    waiting = [name for name in names or NAMES if operator.status(name).queue is not None]
    return sorted(waiting, key=lambda name: queue(operator, name).position)


def said_of_refused(api: ApiServer) -> set[tuple[int, str]]:
    """Give what status.queue has said of batches that the provider had refused, until their own next tries."""
    told: set[tuple[int, str]] = set()
    for found in api.stored:
        status = found.get("status") or {}
        ready: Json = next((item for item in status.get("conditions") or [] if item["type"] == "Ready"), {})
        if found["_plural"] == "batchjobs" and "create batch" in ready.get("message", ""):
            told.add((status["queue"]["position"], status["queue"]["reason"]))
    return told


async def settled(operator: Operator, active: int, *names: str) -> None:
    wanted = names or NAMES
    await operator.until(
        lambda: len(running(operator, *wanted)) == active and len(in_line(operator, *wanted)) == len(wanted) - active,
        None,
    )
    await operator.quiet()


async def test_what_does_not_fit_waits_in_line_before_anything_of_it_is_sent(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE, *jobs(*NAMES), limits={"maxEnqueuedTokens": 2 * ALL})
    await settled(operator, 2)
    assert len(kong.files()) == len(kong.batches()) == 2
    waiting = in_line(operator)
    for name in waiting:
        told = operator.status(name)
        assert (told.phase, operator.reason(name)) == ("Pending", Reason.QUOTA_EXCEEDED)
        assert told.input is not None
        assert told.input.estimated_tokens == ALL
        assert queue(operator, name).reason == "EnqueuedTokensExceeded"
        assert queue(operator, name).ahead_tokens == ALL * (queue(operator, name).position - 1)
    await operator.until(lambda: gateway(api).enqueued_tokens == 2 * ALL and gateway(api).queued_batches == 3, None)


async def test_who_waits_costs_no_call_and_no_pass(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE, *jobs(*NAMES), limits={"maxEnqueuedTokens": ALL}, pollIntervalSeconds=3600)
    await settled(operator, 1)
    await operator.until(lambda: gateway(api).queued_batches == 4, None)
    await operator.quiet()
    kong.clear_calls()
    api.calls.clear()
    # Many times the setting after which everything else is looked at again.
    await asyncio.sleep(20 * operator.runtime.settings.recheck_seconds)
    assert [call for call in kong.calls() if not call["path"].endswith(("/files", "/batches"))] == []
    assert [call for call in api.calls if call.plural == "batchjobs"] == []


async def test_the_end_of_a_batch_calls_the_next(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE, *jobs(*NAMES), limits={"maxEnqueuedTokens": 2 * ALL})
    await settled(operator, 2)
    for left in (3, 1, 0):
        first, oldest = running(operator), sorted(in_line(operator))[:2]
        await finish(operator, kong, *first)
        # Those that were made first, whatever place they were told while others were still being checked.
        await operator.until(lambda oldest=oldest: running(operator) == oldest, None)  # type: ignore[misc]
        assert len(in_line(operator)) == max(0, left - 2)
    assert all(operator.reason(name) == Reason.SUCCEEDED for name in NAMES)
    assert all(operator.status(name).queue is None for name in NAMES)
    await operator.until(lambda: gateway(api).enqueued_tokens == 0, None)


async def test_deleting_the_head_of_the_line_or_what_runs_wakes_the_next(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    large = jobs("a", "b", "c")
    apply_all(api, kong, FIVE, *large, limits={"maxEnqueuedTokens": ALL})
    await settled(operator, 1, "a", "b", "c")
    (runs,), (head, following) = running(operator, "a", "b", "c"), sorted(in_line(operator, "a", "b", "c"))
    api.remove("batchjobs", head)
    await operator.until_gone(head)
    api.remove("batchjobs", runs)
    await operator.until_gone(runs)
    await operator.until(lambda: running(operator, following) == [following], None)


async def test_a_higher_priority_goes_first_also_when_it_is_raised_in_line(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    made = [job("a"), job("b", 1), job("c", 2, priority=5), job("d", 3)]
    apply_all(api, kong, FIVE, *made[:1], limits={"maxEnqueuedTokens": ALL})
    await operator.until(lambda: running(operator, "a") == ["a"], None)
    for item in made[1:]:
        api.put("batchjobs", item)
    await settled(operator, 1, "a", "b", "c", "d")
    api.edit("batchjobs", "d", {"spec": {"priority": 10}})
    await operator.quiet()
    await finish(operator, kong, "a")
    await operator.until(lambda: running(operator, "b", "c", "d") == ["d"], None)
    await finish(operator, kong, "d")
    await operator.until(lambda: running(operator, "b", "c") == ["c"], None)


async def test_a_batch_larger_than_the_limit_is_cut_smaller(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE, job("a"), limits={"maxEnqueuedTokens": 2 * ONE})
    await operator.until(lambda: operator.status("a").parts == 3, "a")
    assert [batch.estimated_tokens for batch in operator.status("a").batches] == [2 * ONE, 2 * ONE, ONE]
    for _ in range(3):
        await operator.until(lambda: any(b["object"]["status"] != "completed" for b in kong.batches()), "a")
        assert sum(b["object"]["status"] != "completed" for b in kong.batches()) == 1
        assert operator.status("a").phase not in ("Pending", "Uploading")
        done = len(kong.batches())
        kong.advance(3600)
        await operator.until(lambda done=done: len(kong.batches()) > done or done == 3, "a")  # type: ignore[misc]
    assert (await operator.until_ended("a")).holds("Complete")


@pytest.mark.parametrize("reason", [Reason.BATCH_EXPIRED, Reason.BATCH_CANCELLED])
async def test_a_batch_that_does_not_run_to_its_end_ends_its_job_as_it_does_without_a_limit(
    operator: Operator, api: ApiServer, kong: Instance, reason: Reason
) -> None:
    made = job("a")
    made["spec"]["metadata"] = {"emulate": "expires"} if reason is Reason.BATCH_EXPIRED else {}
    apply_all(api, kong, FIVE, made, limits={"maxEnqueuedTokens": ALL})
    await operator.until(lambda: running(operator, "a") == ["a"], "a")
    if reason is Reason.BATCH_CANCELLED:
        async with httpx.AsyncClient() as client:
            (await client.post(f"{kong.url}/batches/{kong.batches()[0]['id']}/cancel")).raise_for_status()
    kong.advance(90000)
    assert (await operator.until_ended("a")).holds("Failed")
    assert operator.reason("a") == reason


@pytest.mark.parametrize("limit", [ONE - 1, 1])
async def test_a_request_that_alone_is_too_large_is_told_at_once_with_the_numbers(
    operator: Operator, api: ApiServer, kong: Instance, limit: int
) -> None:
    apply_all(api, kong, FIVE, job("a"), limits={"maxEnqueuedTokens": limit})
    await operator.until_reason(Reason.QUOTA_IMPOSSIBLE, "a")
    status = operator.status("a")
    stalled = status.condition("Stalled")
    assert stalled is not None
    assert stalled.reason == Reason.QUOTA_IMPOSSIBLE
    assert str(ONE) in stalled.message
    assert str(limit) in stalled.message
    assert kong.files() == []
    # Raised, it goes on by itself.
    api.edit("batchgateways", "kong", {"spec": {"limits": {"maxEnqueuedTokens": ALL}}})
    await operator.until(lambda: running(operator, "a") == ["a"], None)


async def test_a_part_that_no_longer_fits_since_the_limit_was_lowered_is_told_and_cancels_nothing(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE, *jobs("a", "b"), limits={"maxEnqueuedTokens": ALL})
    await settled(operator, 1, "a", "b")
    (waits,), runs = in_line(operator, "a", "b"), running(operator, "a", "b")
    api.edit("batchgateways", "kong", {"spec": {"limits": {"maxEnqueuedTokens": ONE}}})
    await operator.until_reason(Reason.QUOTA_IMPOSSIBLE, waits)
    assert running(operator, "a", "b") == runs
    assert kong.calls("batches.cancel") == []


async def test_requests_of_several_parts_that_are_sent_again_fit_the_limit_as_their_parts_did(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    names = [f"{name}--status-429-times-1" for name in "abcd"]
    given: Json = {"backoffLimitPerRequest": 1, "splitPolicy": "Auto"}
    apply_all(api, kong, jsonl(*names), job("a", **given), limits={"maxEnqueuedTokens": 2 * ONE})
    for count in range(1, 5):
        await operator.until(lambda count=count: len(kong.batches()) >= count, None)  # type: ignore[misc]
        await operator.until(lambda: operator.reason("a") == Reason.VALIDATING, None)
        kong.advance(3600)
    await operator.until_ended("a")
    assert operator.reason("a") == Reason.SUCCEEDED
    assert [batch.parts for batch in operator.status("a").batches] == [[], [], [0], [1]]


async def test_an_input_above_its_ceiling_is_refused_before_anything_is_sent(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE, job("a", maxEstimatedTokens=ALL - 1), job("b", maxEstimatedTokens=ALL))
    failed = (await operator.until_ended("a")).condition("Failed")
    assert failed is not None
    assert failed.reason == Reason.ESTIMATE_TOO_HIGH
    assert str(ALL) in failed.message
    assert str(ALL - 1) in failed.message
    await operator.until(lambda: running(operator, "b") == ["b"], None)
    assert len(kong.files()) == 1


async def test_a_refusal_of_the_provider_teaches_the_gateway_and_one_batch_tries_again(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    # Room for two of them, though the gateway says that there is for five.
    kong.configure(quota_tokens=2 * (len(FIVE) // 4) + 1, quota_fail_fast=True)
    apply_all(api, kong, FIVE, *jobs(*NAMES), limits={"maxEnqueuedTokens": 5 * ALL})
    await operator.until(lambda: gateway(api).learned_tokens is not None and len(running(operator)) == 2, None)
    assert 0 < (gateway(api).learned_tokens or 0) < 5 * ALL
    # The refused one is the next, and says so while it waits for its next try.
    assert said_of_refused(api) == {(1, "QuotaExceeded")}
    while now := running(operator):
        assert len(now) <= 2
        await finish(operator, kong, *now)
        await operator.until(lambda: running(operator) or all(operator.status(n).completion_time for n in NAMES), None)
    assert all(operator.reason(name) == Reason.SUCCEEDED for name in NAMES)
    # The same file again: none is uploaded twice, and none of its batches was made twice.
    assert len(kong.files()) - 2 * len(NAMES) <= len(NAMES)
    assert len(kong.batches()) == len(NAMES)
