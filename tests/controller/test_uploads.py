"""Uploads that fail: one copy at most, growing delays however often the job is looked at, and a person who hears of it."""

from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, config_map

REFUSALS: list[dict[str, Any]] = [
    {"status": 400, "message": "Invalid file format."},
    {"status": 413, "as_": "kong", "message": "Payload too large"},
    {"status": 415},
    {"status": 422},
    {"status": 403, "as_": "kong"},
    {"status": 409},
    {"status": 500},
    {"status": 503, "as_": "kong"},
]
LOOKS = 60


def sends(kong: Instance) -> int:
    return len(kong.calls("files.create"))


def left(kong: Instance) -> int:
    return sum(not file["deleted"] for file in kong.files())


async def looked_at(operator: Operator, times: int = LOOKS) -> None:
    """Have a job looked at again and again."""
    for _ in range(times):
        await operator.look()
        await operator.quiet()


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda given: str(given["status"]))
async def test_an_upload_that_is_refused_is_not_sent_anew_at_each_look(
    api: ApiServer, kong: Instance, tmp_path: Path, refusal: dict[str, Any]
) -> None:
    kong.fault("status", "files.create", times=-1, **refusal)
    async with Operator(api, tmp_path, recheck_seconds=100).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until(lambda: operator.batch().upload_tries)
        await looked_at(operator)
        assert sends(kong) == 1
        tries = operator.batch().upload_tries
        assert tries is not None
        assert tries.failures == 1


async def test_the_delays_grow_and_end_with_the_trouble(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    kong.fault("status", "files.create", status=400, times=6)
    async with Operator(api, tmp_path).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until(lambda: operator.status().summary.submission_time)
        assert operator.batch().upload_tries is None
    calls = [call["time"] for call in kong.calls("files.create")]
    assert len(calls) == 7


@pytest.mark.parametrize("change", ["spec", "gateway", "input"])
async def test_what_is_changed_is_tried_at_once(api: ApiServer, kong: Instance, tmp_path: Path, change: str) -> None:
    kong.fault("status", "files.create", status=400)
    async with Operator(api, tmp_path, recheck_seconds=1000).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until_reason(Reason.REQUEST_REFUSED)
        match change:
            case "spec":
                api.edit("batchjobs", "job", {"spec": {"remoteFiles": "Retain"}})
            case "gateway":
                api.edit("batchgateways", "kong", {"spec": {"timeouts": {"requestSeconds": 50}}})
            case "input":
                api.put(
                    "configmaps",
                    config_map("prompts", "batch.jsonl", FIVE + FIVE.replace(b'"custom_id": "', b'"custom_id": "x')),
                )
        await operator.until(lambda: operator.status().summary.submission_time)


async def test_another_process_goes_on_with_the_delay(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    kong.fault("status", "files.create", status=400, times=-1)
    apply_all(api, kong, FIVE)
    for _ in range(3):
        async with Operator(api, tmp_path, recheck_seconds=100).running() as operator:
            await operator.until_reason(Reason.REQUEST_REFUSED)
            await looked_at(operator, 10)
    assert sends(kong) == 1


@pytest.mark.parametrize("fault", [{"kind": "reset_after"}, {"kind": "accepted_status", "status": 504, "as_": "kong"}])
@pytest.mark.parametrize("dialect", ["azure", "openai"])
async def test_an_upload_that_is_never_answered_leaves_one_copy_and_the_job_goes_on(
    operator: Operator, api: ApiServer, kong: Instance, fault: dict[str, Any], dialect: str
) -> None:
    kong.configure(dialect=dialect)
    kong.fault(operation="files.create", times=-1, **fault)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    assert left(kong) == 1
    kong.advance(3600)
    await operator.until_ended()
    assert left(kong) == 0


async def test_a_file_that_was_sent_by_a_process_that_died_is_taken_by_the_next(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.fault("accepted_status", "files.create", status=504)
    # While the first one lives, the list lags behind: it can't tell.
    kong.fault("status", "files.list", status=503, times=-1, skip=1)
    apply_all(api, kong, FIVE)
    async with Operator(api, tmp_path, recheck_seconds=100).running() as first:
        await first.until(lambda: first.batch().upload_tries)
    kong.clear_faults()
    async with Operator(api, tmp_path).running() as second:
        await second.until(lambda: second.status().summary.submission_time)
    assert (sends(kong), left(kong)) == (1, 1)


async def test_without_a_list_two_copies_are_left_at_most_and_a_person_hears_of_it(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    api.put("configmaps", config_map("prompts", "batch.jsonl", FIVE))
    api.put("batchgateways", build.batchgateway(kong.url))
    await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_READY, None)
    kong.fault("accepted_status", "files.create", status=504, as_="kong", times=-1)
    kong.fault("status", "files.list", status=404, as_="azure", times=-1)
    api.put("batchjobs", build.batchjob())
    await operator.until_reason(Reason.UPLOAD_UNANSWERED)
    await looked_at(operator)
    assert operator.status().holds("Stalled")
    assert left(kong) == 2
    ready = operator.status().condition("Ready")
    assert ready is not None
    assert "read_timeout" in ready.message
    assert ("Warning", "UploadUnanswered") in operator.events()
    kong.clear_faults()
    api.edit("batchgateways", "kong", {"spec": {"timeouts": {"requestSeconds": 50}}})
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    assert left(kong) == 0


async def test_uploads_that_leave_nothing_are_told_to_a_person_and_go_on(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "files.create", status=504, as_="kong", times=-1)
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.UPLOAD_UNANSWERED)
    assert "does not show it" in str(operator.job()["status"]["conditions"])
    kong.clear_faults()
    await operator.until(lambda: operator.status().summary.submission_time)
    assert operator.batch().upload_tries is None
