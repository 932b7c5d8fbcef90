"""Results that come late, however the batch has ended: nothing is judged before they could be there."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmbatch.api.reasons import Reason
from tests.controller.among import ALONE, Among
from tests.controller.conftest import FIVE, jsonl
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator

MIXED = jsonl("one", "two--status-400", "three")
DAYS = 400_000


def left(kong: Instance) -> list[str]:
    return [file["id"] for file in kong.files() if not file["deleted"]]


def quirks(among: Among, **values: Any) -> None:
    among.configure(quirks=values)


def completes(among: Among) -> None:
    among.kong.advance(3600)


def expires(among: Among) -> None:
    # In the middle of its run: two of five requests were answered.
    among.configure(window_seconds=360)
    among.kong.advance(3600)


def is_cancelled(among: Among) -> None:
    """Somebody cancels it at the provider, in the middle of its run."""
    url = f"{among.kong.url}/batches/{next(iter(among.states()))}"
    among.kong.advance(360)
    httpx.get(url).raise_for_status()
    httpx.post(f"{url}/cancel").raise_for_status()
    among.kong.advance(3600)


Ends = Callable[[Among], None]
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


async def submitted(operator: Operator, api: ApiServer, among: Among, content: bytes = FIVE) -> None:
    among.apply(api, content)
    await among.all_submitted(operator)
    among.kong.advance(1)


@pytest.mark.parametrize(("ends", "reason"), ENDINGS)
async def test_an_output_that_is_named_late_is_fetched_however_the_batch_has_ended(
    patient: Operator, api: ApiServer, kong: Instance, among: Among, ends: Ends, *, reason: Reason
) -> None:
    await submitted(patient, api, among)
    quirks(among, late_output_seconds=DAYS)
    ends(among)
    await among.until_reason(patient, Reason.RESULTS_PENDING)
    assert patient.status().output is None
    kong.advance(2 * DAYS)
    await among.ended(patient, seconds=0)
    assert among.reason(patient) == reason
    assert len(among.own(api)) == (5 if reason is Reason.SUCCEEDED else 2)
    assert among.batch(patient).late_since is None


@pytest.mark.parametrize("counts", ["null", "zero", "absent"])
async def test_counts_that_tell_nothing_end_no_job_before_its_output_is_named(
    patient: Operator, api: ApiServer, kong: Instance, among: Among, counts: str
) -> None:
    await submitted(patient, api, among)
    quirks(among, late_output_seconds=DAYS, counts=counts)
    completes(among)
    await among.until_reason(patient, Reason.RESULTS_PENDING)
    kong.advance(2 * DAYS)
    await among.ended(patient, seconds=0)
    assert among.reason(patient) == Reason.SUCCEEDED
    assert left(kong) == []


@pytest.mark.parametrize("counts", ["normal", "absent"])
async def test_an_error_file_that_is_named_late_is_fetched(
    patient: Operator, api: ApiServer, kong: Instance, among: Among, counts: str
) -> None:
    await submitted(patient, api, among, MIXED)
    quirks(among, late_error_seconds=DAYS, counts=counts)
    completes(among)
    await among.until_reason(patient, Reason.RESULTS_PENDING)
    kong.advance(2 * DAYS)
    status = await among.ended(patient, seconds=0)
    assert (among.own(api), among.own(api, ".errors")) == (["one", "three"], ["two--status-400"])
    assert status.failures[0].code != "missing_result"
    assert left(kong) == []


@pytest.mark.parametrize(("ends", "reason"), ENDINGS[:2])
async def test_files_that_are_still_being_filled_are_read_again(
    patient: Operator, api: ApiServer, kong: Instance, among: Among, ends: Ends, *, reason: Reason
) -> None:
    await submitted(patient, api, among)
    quirks(among, filling_seconds=DAYS)
    ends(among)
    await among.until_reason(patient, Reason.RESULTS_PENDING)
    kong.advance(2 * DAYS)
    status = await among.ended(patient, seconds=0)
    assert among.reason(patient) == reason
    assert status.output is not None
    assert status.output.missing_requests is None
    assert left(kong) == []


async def test_a_cancelled_batchs_files_are_read_again_while_its_counts_say_nothing(
    patient: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await submitted(patient, api, among)
    quirks(among, filling_seconds=DAYS, counts="zero")
    is_cancelled(among)
    await among.until_reason(patient, Reason.RESULTS_PENDING)
    quirks(among, counts="normal")
    kong.advance(2 * DAYS)
    await among.ended(patient, seconds=0)
    assert among.reason(patient) == Reason.BATCH_CANCELLED
    assert (len(among.own(api)), len(among.own(api, ".errors"))) == (2, 3)
    assert left(kong) == []


@pytest.mark.parametrize(
    ("marker", "ends"),
    [("--missing", completes), ("--malformed", completes), ("--missing", expires), ("--malformed", is_cancelled)],
)
async def test_remote_files_stay_while_a_line_is_unread_however_the_batch_has_ended(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, marker: str, *, ends: Ends
) -> None:
    await submitted(operator, api, among, jsonl(*(f"r{number}{marker}" for number in range(3)), "good-1", "good-2"))
    ends(among)
    await among.ended(operator, seconds=0)
    output = operator.status().output
    assert output is not None
    assert output.missing_requests
    assert len(left(kong)) >= 2
    await operator.until(lambda: ("Warning", "RemoteFilesRetained") in operator.events(), None)


async def test_what_a_cancelled_batch_never_ran_keeps_no_file_and_is_not_waited_for(
    patient: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await submitted(patient, api, among)
    is_cancelled(among)
    await among.ended(patient, seconds=0)
    assert among.reason(patient) == Reason.BATCH_CANCELLED
    assert (len(among.own(api)), len(among.own(api, ".errors"))) == (2, 3)
    # The input of a single batch is read where it is.
    assert len(kong.calls("files.content")) == (2 * among.count if among.several else 1), "once each"
    assert left(kong) == []


@pytest.mark.parametrize(("ends", "reason"), [(completes, Reason.ALL_REQUESTS_FAILED), (expires, Reason.BATCH_EXPIRED)])
async def test_a_batch_that_never_names_a_file_fails_when_the_wait_is_over(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, ends: Ends, *, reason: Reason
) -> None:
    await submitted(operator, api, among)
    quirks(among, late_output_seconds=DAYS, late_error_seconds=DAYS, counts="absent")
    ends(among)
    status = await among.ended(operator, seconds=0)
    assert (among.reason(operator), among.failed(status)) == (reason, True)
    assert left(kong), "nobody knows whether there are results"


async def test_an_output_that_never_gets_its_lines_is_judged_by_what_it_has(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await submitted(operator, api, among)
    quirks(among, missing_lines=2)
    completes(among)
    status = await among.ended(operator, seconds=0)
    assert among.reason(operator) == Reason.COMPLETED_WITH_FAILURES
    assert status.output is not None
    assert status.output.missing_requests == 2
    assert 2 <= len(kong.calls("files.content")) <= 10 * among.count


async def test_all_lines_there_is_no_reason_to_wait_whatever_the_counts_say(
    patient: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await submitted(patient, api, among)
    quirks(among, counts="zero")
    completes(among)
    await among.ended(patient, seconds=0)
    assert among.reason(patient) == Reason.SUCCEEDED
    # The input of a single batch is read where it is.
    assert len(kong.calls("files.content")) == (2 * among.count if among.several else 1), "once each"


async def test_a_new_process_goes_on_with_the_wait_of_the_last(api: ApiServer, among: Among, tmp_path: Path) -> None:
    async with Operator(api, tmp_path, recheck_seconds=1).running() as first:
        await submitted(first, api, among)
        quirks(among, late_output_seconds=DAYS)
        completes(among)
        await among.until_reason(first, Reason.RESULTS_PENDING)
        since = among.batch(first).late_since
    # Twenty minutes later.
    since_then: dict[str, Any] = {"lateSince": "2026-01-01T00:00:00Z", "lookedAt": "2026-01-01T00:00:05Z"}
    api.put("batchjobs", {**first.job(), "status": among.retold(first, **since_then)})
    assert since is not None
    async with Operator(api, tmp_path, recheck_seconds=1).running() as second:
        await among.ended(second, seconds=0)
        assert among.reason(second) == Reason.ALL_REQUESTS_FAILED


@pytest.mark.parametrize("among", [ALONE], indirect=True)
async def test_a_gateway_that_is_down_is_no_word_about_the_results_and_they_are_fetched_once_it_is_back(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await submitted(operator, api, among)
    kong.fault("status", "files.content", status=503, times=-1, as_="kong")
    completes(among)
    await among.until_reason(operator, Reason.RESULTS_UNREADABLE)
    kong.fault("status", "*", status=503, times=-1, as_="kong")
    await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_UNREACHABLE)
    await among.until_reason(operator, Reason.GATEWAY_UNREACHABLE)
    asked = len(kong.calls("files.content"))
    for _ in range(5):
        await operator.look()
        await operator.quiet()
    assert len(kong.calls("files.content")) == asked
    assert not operator.status().holds("Stalled"), "nobody is asked to give them up"
    kong.clear_faults()
    await among.ended(operator, seconds=0)
    assert among.reason(operator) == Reason.SUCCEEDED


async def test_a_job_that_is_deleted_meanwhile_leaves_no_results_behind(
    operator: Operator, api: ApiServer, among: Among
) -> None:
    quirks(among, late_output_seconds=DAYS)
    await submitted(operator, api, among)
    # Else it is told of another one that it is being cancelled.
    await among.all_submitted(operator)
    among.kong.advance(3600)
    await operator.until(lambda: among.batch(operator).late_since)
    api.remove("batchjobs", "job")
    await operator.until(lambda: "asked for" in str(operator.job()["status"]["conditions"]))
    among.kong.advance(2 * DAYS)
    await operator.until_gone()
    assert left(among.kong) == []
