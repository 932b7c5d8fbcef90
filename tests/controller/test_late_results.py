"""Results that come late, however the batch has ended: nothing is judged before they could be there."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE, jsonl
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all

MIXED = jsonl("one", "two--status-400", "three")
DAYS = 400_000


def left(kong: Instance) -> list[str]:
    return [file["id"] for file in kong.files() if not file["deleted"]]


def quirks(kong: Instance, **values: Any) -> None:
    kong.configure(quirks=values)


def stored(api: ApiServer, key: str = "r.jsonl") -> list[str]:
    return [json.loads(line)["custom_id"] for line in api.data("secrets", "results", key).splitlines()]


def completes(kong: Instance) -> None:
    kong.advance(3600)


def expires(kong: Instance) -> None:
    # In the middle of its run: two of five requests were answered.
    kong.configure(window_seconds=360)
    kong.advance(3600)


def is_cancelled(kong: Instance) -> None:
    """Somebody cancels it at the provider, in the middle of its run."""
    batch = kong.batches()[0]
    kong.advance(360)
    httpx.get(f"{kong.url}/batches/{batch['id']}").raise_for_status()
    httpx.post(f"{kong.url}/batches/{batch['id']}/cancel").raise_for_status()
    kong.advance(3600)


Ends = Callable[[Instance], None]
ENDINGS = [
    pytest.param(completes, Reason.SUCCEEDED, id="completed"),
    pytest.param(expires, Reason.BATCH_EXPIRED, id="expired"),
    pytest.param(is_cancelled, Reason.BATCH_CANCELLED, id="cancelled"),
]


@pytest.fixture
async def patient(api: ApiServer, tmp_path: Path) -> AsyncIterator[Operator]:
    """An operator that waits for twenty seconds."""
    async with Operator(api, tmp_path, recheck_seconds=1).running() as running:
        yield running


async def submitted(operator: Operator, api: ApiServer, kong: Instance, content: bytes = FIVE) -> None:
    apply_all(api, kong, content)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(1)


@pytest.mark.parametrize(("ends", "reason"), ENDINGS)
async def test_an_output_that_is_named_late_is_fetched_however_the_batch_has_ended(
    patient: Operator, api: ApiServer, kong: Instance, ends: Ends, reason: Reason
) -> None:
    await submitted(patient, api, kong)
    quirks(kong, late_output_seconds=DAYS)
    ends(kong)
    await patient.until_reason(Reason.RESULTS_PENDING)
    assert patient.status().output is None
    kong.advance(2 * DAYS)
    await patient.until_ended()
    assert patient.reason() == reason
    assert len(stored(api)) == (5 if reason is Reason.SUCCEEDED else 2)
    assert patient.status().batches[0].late_since is None


@pytest.mark.parametrize("counts", ["null", "zero", "absent"])
async def test_counts_that_tell_nothing_end_no_job_before_its_output_is_named(
    patient: Operator, api: ApiServer, kong: Instance, counts: str
) -> None:
    await submitted(patient, api, kong)
    quirks(kong, late_output_seconds=DAYS, counts=counts)
    completes(kong)
    await patient.until_reason(Reason.RESULTS_PENDING)
    kong.advance(2 * DAYS)
    await patient.until_ended()
    assert patient.reason() == Reason.SUCCEEDED
    assert left(kong) == []


@pytest.mark.parametrize("counts", ["normal", "absent"])
async def test_an_error_file_that_is_named_late_is_fetched(
    patient: Operator, api: ApiServer, kong: Instance, counts: str
) -> None:
    await submitted(patient, api, kong, MIXED)
    quirks(kong, late_error_seconds=DAYS, counts=counts)
    completes(kong)
    await patient.until_reason(Reason.RESULTS_PENDING)
    kong.advance(2 * DAYS)
    status = await patient.until_ended()
    assert (stored(api), stored(api, "r.jsonl.errors")) == (["one", "three"], ["two--status-400"])
    assert status.failures[0].code != "missing_result"
    assert left(kong) == []


@pytest.mark.parametrize(("ends", "reason"), ENDINGS[:2])
async def test_files_that_are_still_being_filled_are_read_again(
    patient: Operator, api: ApiServer, kong: Instance, ends: Ends, reason: Reason
) -> None:
    await submitted(patient, api, kong)
    quirks(kong, filling_seconds=DAYS)
    ends(kong)
    await patient.until_reason(Reason.RESULTS_PENDING)
    kong.advance(2 * DAYS)
    status = await patient.until_ended()
    assert patient.reason() == reason
    assert status.output is not None
    assert status.output.missing_requests is None
    assert left(kong) == []


async def test_a_cancelled_batchs_files_are_read_again_while_its_counts_say_nothing(
    patient: Operator, api: ApiServer, kong: Instance
) -> None:
    await submitted(patient, api, kong)
    quirks(kong, filling_seconds=DAYS, counts="zero")
    is_cancelled(kong)
    await patient.until_reason(Reason.RESULTS_PENDING)
    quirks(kong, counts="normal")
    kong.advance(2 * DAYS)
    await patient.until_ended()
    assert patient.reason() == Reason.BATCH_CANCELLED
    assert (len(stored(api)), len(stored(api, "r.jsonl.errors"))) == (2, 3)
    assert left(kong) == []


@pytest.mark.parametrize(
    ("marker", "ends"),
    [("--missing", completes), ("--malformed", completes), ("--missing", expires), ("--malformed", is_cancelled)],
)
async def test_remote_files_stay_while_a_line_is_unread_however_the_batch_has_ended(
    operator: Operator, api: ApiServer, kong: Instance, marker: str, ends: Ends
) -> None:
    await submitted(operator, api, kong, jsonl(*(f"r{number}{marker}" for number in range(3)), "good-1", "good-2"))
    ends(kong)
    await operator.until_ended()
    output = operator.status().output
    assert output is not None
    assert output.missing_requests
    assert len(left(kong)) >= 2
    await operator.until(lambda: ("Warning", "RemoteFilesRetained") in operator.events(), None)


async def test_what_a_cancelled_batch_never_ran_keeps_no_file_and_is_not_waited_for(
    patient: Operator, api: ApiServer, kong: Instance
) -> None:
    await submitted(patient, api, kong)
    is_cancelled(kong)
    await patient.until_ended()
    assert patient.reason() == Reason.BATCH_CANCELLED
    assert (len(stored(api)), len(stored(api, "r.jsonl.errors"))) == (2, 3)
    assert len(kong.calls("files.content")) == 2, "input and output, once each"
    assert left(kong) == []


@pytest.mark.parametrize(("ends", "reason"), [(completes, Reason.ALL_REQUESTS_FAILED), (expires, Reason.BATCH_EXPIRED)])
async def test_a_batch_that_never_names_a_file_fails_when_the_wait_is_over(
    operator: Operator, api: ApiServer, kong: Instance, ends: Ends, reason: Reason
) -> None:
    await submitted(operator, api, kong)
    quirks(kong, late_output_seconds=DAYS, late_error_seconds=DAYS, counts="absent")
    ends(kong)
    status = await operator.until_ended()
    assert (operator.reason(), status.holds("Failed")) == (reason, True)
    assert left(kong), "nobody knows whether there are results"


async def test_an_output_that_never_gets_its_lines_is_judged_by_what_it_has(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await submitted(operator, api, kong)
    quirks(kong, missing_lines=2)
    completes(kong)
    status = await operator.until_ended()
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert status.output is not None
    assert status.output.missing_requests == 2
    assert 2 <= len(kong.calls("files.content")) <= 10


async def test_all_lines_there_is_no_reason_to_wait_whatever_the_counts_say(
    patient: Operator, api: ApiServer, kong: Instance
) -> None:
    await submitted(patient, api, kong)
    quirks(kong, counts="zero")
    completes(kong)
    await patient.until_ended()
    assert patient.reason() == Reason.SUCCEEDED
    assert len(kong.calls("files.content")) == 2, "input and output, once each"


async def test_a_new_process_goes_on_with_the_wait_of_the_last(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    async with Operator(api, tmp_path, recheck_seconds=1).running() as first:
        await submitted(first, api, kong)
        quirks(kong, late_output_seconds=DAYS)
        completes(kong)
        await first.until_reason(Reason.RESULTS_PENDING)
        since = first.status().batches[0].late_since
    # Twenty minutes later.
    job = first.job()
    job["status"]["batches"][0] |= {"lateSince": "2026-01-01T00:00:00Z", "lookedAt": "2026-01-01T00:00:05Z"}
    api.put("batchjobs", job)
    assert since is not None
    async with Operator(api, tmp_path, recheck_seconds=1).running() as second:
        await second.until_ended()
        assert second.reason() == Reason.ALL_REQUESTS_FAILED
