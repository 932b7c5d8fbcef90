"""spec.readyWhen: a job counts as ready once its batches are at the provider, for tools that would not wait a day."""

from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE, jsonl
from tests.controller.test_split import SMALL, made, split_job
from tests.emulator.client import Instance
from tests.support import build, kstatus
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all


def seen_by_tools(operator: Operator, name: str = "job") -> str:
    return kstatus.computed(operator.job(name))


def ready(operator: Operator) -> tuple[str, str]:
    condition = operator.status().condition("Ready")
    return ("", "") if condition is None else (condition.status, condition.reason)


@pytest.mark.parametrize("given", [{}, {"backoffLimitPerRequest": 1}], ids=["one batch", "one of perhaps several"])
async def test_a_job_is_ready_once_it_is_submitted_and_to_its_end(
    operator: Operator, api: ApiServer, kong: Instance, given: dict[str, Any]
) -> None:
    apply_all(api, kong, FIVE, build.batchjob(readyWhen="Submitted", **given))
    await operator.until(lambda: ready(operator)[0] == "True")
    assert ready(operator) == ("True", Reason.SUBMITTED)
    assert len(kong.batches()) == 1
    assert seen_by_tools(operator) == "Current"
    kong.advance(3600)
    await operator.until_ended()
    assert ready(operator) == ("True", Reason.SUCCEEDED)
    statuses = [found for found in api.stored if found["_plural"] == "batchjobs"]
    told = [item["status"] for found in statuses for item in _conditions(found) if item["type"] == "Ready"]
    first = told.index("True")
    assert set(told[:first]) == {"Unknown"}
    assert set(told[first:]) == {"True"}, "it never takes that back"


async def test_a_job_that_fails_afterwards_is_not_ready(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, jsonl("one--status-400"), build.batchjob(readyWhen="Submitted"))
    await operator.until(lambda: ready(operator)[0] == "True")
    kong.advance(3600)
    await operator.until_ended()
    assert ready(operator)[0] == "False"
    assert operator.status().holds("Stalled")
    assert seen_by_tools(operator) == "Failed"


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        pytest.param({}, {"maxActiveBatches": 1}, id="no place at the gateway"),
        pytest.param({}, {"maxEnqueuedTokens": 600}, id="no tokens"),
        pytest.param({"parallelism": 1}, {}, id="by the job itself"),
    ],
)
async def test_what_may_not_be_submitted_yet_is_not_waited_for(
    operator: Operator, api: ApiServer, kong: Instance, given: dict[str, Any], limits: dict[str, Any]
) -> None:
    apply_all(api, kong, FIVE, split_job(readyWhen="Submitted", **given), limits={**SMALL["limits"], **limits})
    await operator.until(lambda: ready(operator)[0] == "True")
    assert len(made(operator)) == 1
    kong.advance(3600)
    await operator.until(lambda: len(made(operator)) == 2)
    kong.advance(3600)
    await operator.until(lambda: len(made(operator)) == 3)
    kong.advance(3600)
    await operator.until_ended()
    assert ready(operator) == ("True", Reason.SUCCEEDED)


async def test_a_job_that_waits_for_a_place_is_not_ready(operator: Operator, api: ApiServer, kong: Instance) -> None:
    jobs = [build.batchjob_apart(name, readyWhen="Submitted") for name in ("first", "second")]
    apply_all(api, kong, FIVE, *jobs, limits={"maxActiveBatches": 1})
    wanted = {("Current", Reason.SUBMITTED), ("InProgress", Reason.WAITING_FOR_SLOT)}
    names = ("first", "second")
    await operator.until(
        lambda: {(seen_by_tools(operator, name), operator.reason(name)) for name in names} == wanted, None
    )


async def test_it_may_be_changed_under_way(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    assert ready(operator)[0] == "Unknown"
    api.edit("batchjobs", "job", {"spec": {"readyWhen": "Submitted"}})
    await operator.until(lambda: ready(operator) == ("True", Reason.SUBMITTED))
    assert operator.status().phase == "Validating"


async def test_a_job_that_is_being_deleted_is_not_told_as_ready(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE, build.batchjob(readyWhen="Submitted"))
    await operator.until(lambda: ready(operator)[0] == "True")
    api.remove("batchjobs", "job")
    await operator.until_gone()
    last = [found for found in api.stored if found["_plural"] == "batchjobs"][-1]
    assert next(item["status"] for item in _conditions(last) if item["type"] == "Ready") == "Unknown"


def _conditions(found: dict[str, Any]) -> list[dict[str, Any]]:
    conditions: list[dict[str, Any]] = (found.get("status") or {}).get("conditions") or []
    return conditions
