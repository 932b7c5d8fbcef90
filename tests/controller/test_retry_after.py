"""A Retry-After holds back the operation that was refused: nobody's poll, results or cancellation waits for a create call."""

from datetime import UTC, datetime, timedelta

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.gateway.pace import LONGEST, Operation, Pace, with_moment
from llmbatch.runtime.queue import Key
from tests.controller.among import Among, also_second
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, config_map

NOW = datetime(2025, 10, 30, 12, 0, 1, tzinfo=UTC)
DAY = 86400


def job(name: str) -> dict[str, object]:
    return build.batchjob_apart(name, input={"configMap": {"name": "short", "key": "batch.jsonl"}})


def message(operator: Operator, name: str) -> str:
    ready = operator.status(name).condition("Ready")
    return ready.message if ready is not None else ""


async def begun(operator: Operator, api: ApiServer, among: Among, *names: str) -> None:
    """Have other jobs run at the same gateway."""
    put(api, *names)
    api.put("batchgateways", build.batchgateway(among.kong.url, **among.gateway()))
    for name in names:
        await operator.until(lambda name=name: operator.status(name).summary.submission_time, name)  # type: ignore[misc]


def put(api: ApiServer, *names: str) -> None:
    api.put("configmaps", config_map("short", "batch.jsonl", FIVE))
    for name in names:
        api.put("batchjobs", job(name))


async def looked_at(operator: Operator, name: str = "job") -> None:
    for _ in range(20):
        await operator.look(name)
        await operator.quiet()


def before(operator: Operator, among: Among) -> list[str | None]:
    """Give the statuses of the job's batches that were made before the one that the test is about."""
    return [batch.status for batch in operator.status().batches[: among.index]]


ASKED = [
    pytest.param({"retry_after": "86400"}, id="a day"),
    pytest.param({"retry_after": "1e300"}, id="for ever"),
    pytest.param({"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT"}, id="the last of all days"),
    pytest.param({"ai_retry_after": "86400"}, id="a day, by a word of its own"),
]


@pytest.mark.parametrize(("asked", "among"), also_second(ASKED, "a day"), indirect=["among"])
async def test_a_create_call_that_is_put_off_for_a_day_holds_up_no_other_job(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, asked: dict[str, str]
) -> None:
    await begun(operator, api, among, "running", "to-be-deleted")
    among.fault("status", "batches.create", status=429, as_="kong", times=-1, **asked)
    among.apply(api)
    await among.until_reason(operator, Reason.RATE_LIMITED)
    api.remove("batchjobs", "to-be-deleted")
    await operator.until_gone("to-be-deleted")
    assert len(kong.calls("batches.cancel")) == 1
    kong.advance(3600)
    await operator.until_ended("running")
    await looked_at(operator)
    assert among.reason(operator) == Reason.RATE_LIMITED
    assert "It is tried again at 20" in among.told(operator)
    assert before(operator, among) == ["completed"] * among.index, "nor what else the job has at the provider"
    assert len(kong.calls("batches.create")) == 3 + among.index
    api.remove("batchjobs", "job")
    await operator.until_gone()
    assert all(file["deleted"] for file in kong.files())


async def test_the_other_jobs_create_calls_wait_and_say_so(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("status", "batches.create", status=429, as_="kong", retry_after=DAY, times=-1)
    among.apply(api)
    await among.until_reason(operator, Reason.RATE_LIMITED)
    put(api, "two")
    await operator.until_reason(Reason.RATE_LIMITED, "two")
    assert "that no batch be created for a while; everything else goes on" in message(operator, "two")
    assert len(kong.calls("batches.create")) == 1 + among.index
    kong.advance(3600)
    api.remove("batchjobs", "job")
    await operator.until_gone()
    assert sum(not file["deleted"] for file in kong.files()) == 1


async def test_an_upload_that_is_put_off_holds_up_uploads_alone(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await begun(operator, api, among, "running")
    among.fault("status", "files.create", status=429, as_="kong", retry_after=DAY, times=-1)
    among.apply(api)
    await among.until_reason(operator, Reason.RATE_LIMITED)
    await looked_at(operator)
    put(api, "two")
    await operator.until_reason(Reason.RATE_LIMITED, "two")
    await looked_at(operator, "two")
    assert len(kong.calls("files.create")) == 2 + among.index
    kong.advance(3600)
    await operator.until_ended("running")
    assert operator.reason("running") == Reason.SUCCEEDED
    await operator.until(lambda: before(operator, among) == ["completed"] * among.index)


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
