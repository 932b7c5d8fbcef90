"""A Retry-After holds back the operation that was refused: nobody's poll, results or cancellation waits for a create call."""

from datetime import UTC, datetime, timedelta

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.gateway.pace import LONGEST, Operation, Pace, with_moment
from llmbatch.runtime.queue import Key
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all

NOW = datetime(2025, 10, 30, 12, 0, 1, tzinfo=UTC)
DAY = 86400


def job(name: str) -> dict[str, object]:
    return build.batchjob(name, output={"secret": {"name": name, "key": "r.jsonl"}})


def message(operator: Operator, name: str = "job") -> str:
    ready = operator.status(name).condition("Ready")
    return ready.message if ready is not None else ""


async def looked_at(operator: Operator, name: str) -> None:
    for _ in range(20):
        await operator.look(name)
        await operator.quiet()


@pytest.mark.parametrize(
    "asked",
    [
        {"retry_after": "86400"},
        {"retry_after": "1e300"},
        {"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT"},
        {"ai_retry_after": "86400"},
    ],
    ids=lambda asked: ",".join(f"{name}={value}" for name, value in asked.items()),
)
async def test_a_create_call_that_is_put_off_for_a_day_holds_up_no_other_job(
    operator: Operator, api: ApiServer, kong: Instance, asked: dict[str, str]
) -> None:
    apply_all(api, kong, FIVE, job("running"), job("to-be-deleted"))
    for name in ("running", "to-be-deleted"):
        await operator.until(lambda name=name: operator.status(name).summary.submission_time, name)  # type: ignore[misc]
    kong.fault("status", "batches.create", status=429, as_="kong", times=-1, **asked)
    api.put("batchjobs", job("waiting"))
    await operator.until_reason(Reason.RATE_LIMITED, "waiting")
    api.remove("batchjobs", "to-be-deleted")
    await operator.until_gone("to-be-deleted")
    assert len(kong.calls("batches.cancel")) == 1
    kong.advance(3600)
    await operator.until_ended("running")
    await looked_at(operator, "waiting")
    assert operator.reason("waiting") == Reason.RATE_LIMITED
    assert "It is tried again at 20" in message(operator, "waiting")
    assert len(kong.calls("batches.create")) == 3


async def test_the_other_jobs_create_calls_wait_and_say_so(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.fault("status", "batches.create", status=429, as_="kong", retry_after=DAY, times=-1)
    apply_all(api, kong, FIVE, job("one"))
    await operator.until_reason(Reason.RATE_LIMITED, "one")
    api.put("batchjobs", job("two"))
    await operator.until_reason(Reason.RATE_LIMITED, "two")
    assert "that no batch be created for a while; everything else goes on" in message(operator, "two")
    assert len(kong.calls("batches.create")) == 1
    api.remove("batchjobs", "one")
    await operator.until_gone("one")
    assert sum(not file["deleted"] for file in kong.files()) == 1


async def test_an_upload_that_is_put_off_holds_up_uploads_alone(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE, job("running"))
    await operator.until(lambda: operator.status("running").summary.submission_time, "running")
    kong.fault("status", "files.create", status=429, as_="kong", retry_after=DAY, times=-1)
    for name in ("one", "two"):
        api.put("batchjobs", job(name))
        await operator.until_reason(Reason.RATE_LIMITED, name)
        await looked_at(operator, name)
    assert len(kong.calls("files.create")) == 2
    kong.advance(3600)
    await operator.until_ended("running")
    assert operator.reason("running") == Reason.SUCCEEDED


@pytest.mark.parametrize("operation", [Operation.READ, Operation.RESULTS, Operation.CLEANUP])
def test_reading_and_cleaning_up_are_held_back_for_minutes_at_most(operation: Operation) -> None:
    pace = Pace("kong")
    assert pace.slow_down(operation, DAY) == LONGEST[operation] <= 300
    assert pace.slow_down(operation, None) is None
    held = pace.held(operation, NOW)
    assert held is not None
    assert held.retry_after_seconds is not None
    assert held.retry_after_seconds <= 300
    others = [other for other in Operation if other is not operation]
    assert not any(pace.held(other, NOW) for other in others)


async def test_a_probe_that_is_put_off_for_a_day_is_made_again_within_minutes(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "batches.list", status=429, as_="kong", retry_after=DAY, times=-1)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.gateway_reason() == Reason.RATE_LIMITED, None)
    after = await operator.runtime.reconciler.health.reconcile(Key("BatchGateway", "team-a", "kong"))
    assert after is not None
    assert after <= 300


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "No."),
        (59.0, "No."),
        (60.0, "No. It is tried again at 2025-10-30T12:02:00Z."),
        (86400.0, "No. It is tried again at 2025-10-31T12:01:00Z."),
    ],
)
def test_a_long_wait_is_told_with_its_end(seconds: float | None, told: str) -> None:
    assert with_moment("No.", seconds, NOW) == told


def test_the_moment_does_not_change_while_it_is_waited_for() -> None:
    told = {with_moment("No.", 3600.0 - gone, NOW + timedelta(seconds=gone)) for gone in (0.0, 10.0, 1000.0)}
    assert len(told) == 1
