"""Which failed requests are tried again, which end the job, and how many must succeed."""

import asyncio
from pathlib import Path

import httpx
import pytest

from llmbatch.api.counts import RequestCounts
from llmbatch.api.reasons import Reason
from llmbatch.runtime.queue import Key
from tests.controller.conftest import jsonl
from tests.controller.test_duplicates import cancels, states
from tests.controller.test_retries import NAMES, Place, begin, ended, place
from tests.controller.test_split import made, split_job
from tests.controller.test_strays import left
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import NAMESPACE, Operator, apply_all

__all__ = ["place"]

TWO: Json = {"limits": {"maxRequestsPerFile": 2}}


def rules(*given: Json) -> Json:
    return {"rules": list(given)}


def on_status(action: str, *values: int, operator: str = "In") -> Json:
    return {"action": action, "onStatusCodes": {"operator": operator, "values": list(values)}}


def on_code(action: str, *values: str, operator: str = "In") -> Json:
    return {"action": action, "onErrorCodes": {"operator": operator, "values": list(values)}}


def message(operator: Operator) -> str:
    ready = operator.status().condition("Ready")
    assert ready is not None
    return ready.message


async def test_the_first_rule_that_matches_decides_and_where_none_does_the_usual_is_done(
    operator: Operator, api: ApiServer, kong: Instance, place: Place
) -> None:
    names = [
        "a--status-400-times-1",
        "b--status-429-times-1",
        "c--status-500-times-1",
        "d--content-filter-times-1",
        "e",
    ]
    policy = rules(on_status("Fail", 429), on_code("Fail", "content_filter"), on_status("Retry", 400, 429))
    begin(api, kong, place, *names, requestFailurePolicy=policy)
    counts = await ended(operator, kong, 2)
    assert place.ids() == [names[0], names[2], names[4]]
    assert place.ids(".errors") == [names[1], names[3]]
    assert counts == RequestCounts(total=5, completed=3, failed=2, retried=2)


@pytest.mark.parametrize(
    ("rule", "retried"),
    [
        (on_status("Retry", 500, operator="NotIn"), ["a--status-404-times-1"]),
        (on_code("Retry", "batch_expired", operator="NotIn"), ["a--status-404-times-1", "b--status-500-times-1"]),
    ],
)
async def test_all_but_some_codes_are_tried_again(
    operator: Operator, api: ApiServer, kong: Instance, rule: Json, retried: list[str]
) -> None:
    names = ["a--status-404-times-1", "b--status-500-times-1", "c"]
    fail_rest = on_status("Fail", 599, operator="NotIn")
    given = {"backoffLimitPerRequest": 1, "requestFailurePolicy": rules(rule, fail_rest)}
    apply_all(api, kong, jsonl(*names), split_job(**given))
    counts = await ended(operator, kong, 2)
    assert (counts.completed, counts.retried) == (1 + len(retried), len(retried))


async def test_a_request_that_is_to_fail_the_job_cancels_what_runs_and_sends_nothing_more(
    operator: Operator, api: ApiServer, kong: Instance, place: Place
) -> None:
    names = ["a--status-400", "b", "c", "d", "e", "f", "g--status-429"]
    policy = rules(on_status("FailJob", 400))
    begin(api, kong, place, *names, limits=TWO, requestFailurePolicy=policy, parallelism=1)
    await operator.until(lambda: len(made(operator)) == 1)
    kong.advance(600)
    api.edit("batchjobs", "job", {"spec": {"parallelism": 2}})
    await operator.until(lambda: len(made(operator)) == 2)
    first, second = made(operator)
    kong.advance(200)
    await operator.until(lambda: cancels(kong))
    kong.advance(60)
    status = await operator.until_ended()
    assert operator.reason() == Reason.REQUEST_FAILURE_POLICY
    assert "a--status-400" in message(operator)
    assert states(kong).pop(first) == "completed"
    assert states(kong)[second] == "cancelled"
    assert set(states(kong).values()) == {"completed", "cancelled"}
    assert len(kong.batches()) < 4
    assert place.ids() == ["b"], "what was answered is stored"
    if not place.is_far:
        assert place.ids(".errors") == [name for name in names if name != "b"], "what was never sent is named"
    assert status.request_counts is not None
    assert (status.request_counts.total, status.request_counts.completed) == (7, 1)
    assert status.stopped is not None
    assert (status.stopped.custom_id, status.stopped.part) == ("a--status-400", 0)
    assert left(kong) == []


async def test_cancellations_that_a_provider_takes_no_notice_of_are_not_repeated_one_after_the_other(
    operator: Operator, api: ApiServer, kong: Instance, place: Place
) -> None:
    policy = rules(on_status("FailJob", 400))
    names = ["a--status-400", "b", "c", "d", "e", "f"]
    begin(api, kong, place, *names, limits=TWO, requestFailurePolicy=policy, parallelism=1)
    await operator.until(lambda: len(made(operator)) == 1)
    kong.advance(600)
    kong.configure(cancel_allowed=())
    api.edit("batchjobs", "job", {"spec": {"parallelism": 3}})
    await operator.until(lambda: len(made(operator)) == 3)
    kong.advance(200)
    await operator.until(lambda: len(set(cancels(kong))) == 2)
    before = len(cancels(kong))
    # One at each look that the other part asks for, and not as many as there is time for.
    await asyncio.sleep(2)
    assert len(cancels(kong)) <= before + 10


async def test_one_that_no_cancellation_stops_is_cancelled_no_more_often_than_it_is_polled(
    operator: Operator, api: ApiServer, kong: Instance, place: Place
) -> None:
    policy = rules(on_status("FailJob", 400))
    slow = {**TWO, "pollIntervalSeconds": 60}
    begin(api, kong, place, "a--status-400", "b", "c", limits=slow, requestFailurePolicy=policy, parallelism=1)
    await operator.until(lambda: len(made(operator)) == 1)
    kong.advance(600)
    kong.configure(cancel_allowed=())
    api.edit("batchjobs", "job", {"spec": {"parallelism": 2}})
    await operator.until(lambda: len(made(operator)) == 2)
    kong.advance(200)
    await operator.until(lambda: cancels(kong))
    await operator.quiet()
    assert operator.runtime.queue.planned(Key("BatchJob", NAMESPACE, "job")) > 50


async def test_requests_of_a_batch_that_expired_are_sent_again(
    operator: Operator, api: ApiServer, kong: Instance, place: Place
) -> None:
    begin(api, kong, place, "one", "two", "three", backoffLimitPerRequest=1, emulate="expires")
    await operator.until(lambda: made(operator))
    kong.advance(90000)
    await operator.until(lambda: len(made(operator)) == 2)
    kong.advance(90000)
    status = await operator.until_ended()
    batches = [batch.status for batch in status.batches]
    assert batches == ["expired", "expired"]
    assert status.request_counts is not None
    assert status.request_counts.retried
    assert sorted([*place.ids(), *place.ids(".errors")]) == ["one", "three", "two"]
    assert status.request_counts.completed == len(place.ids())
    assert left(kong) == []


async def test_a_batch_that_a_person_cancelled_is_not_sent_again(
    operator: Operator, api: ApiServer, kong: Instance, place: Place
) -> None:
    begin(api, kong, place, *NAMES)
    await operator.until(lambda: made(operator))
    async with httpx.AsyncClient() as person:
        (await person.post(f"{kong.url}/batches/{made(operator)[0]}/cancel")).raise_for_status()
    kong.advance(600)
    await operator.until_ended()
    assert len(kong.batches()) == 1
    assert operator.reason() == Reason.BATCH_CANCELLED


async def test_deletion_during_the_delay_begins_nothing_and_leaves_nothing(
    api: ApiServer, kong: Instance, place: Place, tmp_path: Path
) -> None:
    begin(api, kong, place, *NAMES)
    async with Operator(api, tmp_path, request_retry_seconds=3600).running() as operator:
        await operator.until(lambda: made(operator))
        kong.advance(3600)
        await operator.until_reason(Reason.WAITING_TO_RETRY)
        told = message(operator)
        assert "2 requests of part 0 failed in a way that may pass; they are sent again (attempt 2 of 3) at " in told
        api.remove("batchjobs", "job")
        await operator.until_gone()
    assert len(kong.batches()) == 1
    assert left(kong) == []


async def test_what_is_sent_again_does_not_depend_on_the_input_which_may_be_gone(
    operator: Operator, api: ApiServer, kong: Instance, place: Place
) -> None:
    begin(api, kong, place, *NAMES)
    await operator.until(lambda: made(operator))
    place.put(b"something else\n")
    api.edit("configmaps", "prompts", {"data": {"batch.jsonl": "something else"}})
    counts = await ended(operator, kong, 3)
    assert place.ids() == NAMES
    assert counts == RequestCounts(total=5, completed=5, failed=0, retried=2)


# --- how many must succeed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("least", "reason"),
    [
        (1, Reason.COMPLETED_WITH_FAILURES),
        (3, Reason.COMPLETED_WITH_FAILURES),
        (4, Reason.SUCCESS_POLICY_NOT_MET),
        ("75%", Reason.COMPLETED_WITH_FAILURES),
        ("76%", Reason.SUCCESS_POLICY_NOT_MET),
        ("100%", Reason.SUCCESS_POLICY_NOT_MET),
    ],
)
@pytest.mark.parametrize("parts", [1, 2])
async def test_the_job_is_complete_when_enough_requests_have_succeeded_and_results_are_stored_in_any_case(
    operator: Operator, api: ApiServer, kong: Instance, least: int | str, *, reason: Reason, parts: int
) -> None:
    names = ["a", "b", "c", "d--status-400"]
    job = split_job(successPolicy={"minSucceeded": least})
    apply_all(api, kong, jsonl(*names), job, **(TWO if parts > 1 else {}))
    await operator.until(lambda: len(made(operator)) == parts)
    kong.advance(3600)
    status = await operator.until_ended()
    assert operator.reason() == reason
    assert status.holds("Complete") == (reason == Reason.COMPLETED_WITH_FAILURES)
    assert status.output is not None
    assert status.output.requests == 3
    if reason == Reason.SUCCESS_POLICY_NOT_MET:
        assert "and 3 did" in message(operator)


async def test_a_number_that_the_input_can_not_reach_is_refused_before_anything_is_sent(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, jsonl("a", "b"), split_job(successPolicy={"minSucceeded": 3}))
    await operator.until_ended()
    assert operator.reason() == Reason.INVALID_INPUT
    assert "the input has 2 requests, of which 3 must succeed (spec.successPolicy.minSucceeded)" in message(operator)
    assert kong.calls("files.create") == []


async def test_a_job_whose_batch_expired_is_complete_when_enough_requests_have_succeeded(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    job = split_job(successPolicy={"minSucceeded": 1})
    job["spec"]["metadata"] = {"emulate": "expires"}
    apply_all(api, kong, jsonl(*"abcdefgh"), job)
    await operator.until(lambda: made(operator))
    kong.advance(90000)
    await operator.until_ended()
    assert states(kong) == {made(operator)[0]: "expired"}
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES


@pytest.mark.parametrize("parts", [1, 2])
async def test_a_job_all_of_whose_requests_have_succeeded_is_complete_though_a_batch_was_cancelled_then(
    operator: Operator, api: ApiServer, kong: Instance, parts: int
) -> None:
    apply_all(api, kong, jsonl(*"abc"), split_job(successPolicy={"minSucceeded": "100%"}), **(TWO if parts > 1 else {}))
    await operator.until(lambda: len(made(operator)) == parts)
    kong.advance(60 + 600 + 1)
    async with httpx.AsyncClient() as person:
        (await person.post(f"{kong.url}/batches/{made(operator)[0]}/cancel")).raise_for_status()
    kong.advance(3600)
    status = await operator.until_ended()
    assert "cancelled" in states(kong).values()
    assert status.output is not None
    assert status.output.requests == 3
    assert (operator.reason(), status.holds("Complete")) == (Reason.SUCCEEDED, True)
