"""Results that can't be had: an empty file is an answer, one that is gone needs a person, and nothing is read for ever."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmbatch.api import ACCEPT_MISSING_ANNOTATION
from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure.plan import PLAN_VARIABLE
from llmbatch.transfer.pure.report import CollectReport, Problem
from tests.controller.among import Among
from tests.controller.conftest import FIVE, jsonl
from tests.controller.test_late_results import (
    DAYS,
    completes,
    expires,
    is_cancelled,
    left,
    quirks,
    submitted,
)
from tests.controller.test_lost_node import put_pod, uids
from tests.controller.test_split import begun, made, split_job
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, config_map

MIXED = jsonl("one", "two--status-400", "three")
NEVER = {"rules": [{"action": "Fail", "onErrorCodes": {"operator": "In", "values": ["missing_result"]}}]}
VOLUME = {"persistentVolumeClaim": {"claimName": "data", "path": "out/r.jsonl"}}


def stalled(operator: Operator) -> str:
    """Give the message of the condition Stalled, for results that can't be read; "" while it isn't True."""
    found = operator.status().condition("Stalled")
    return found.message if found is not None and found.reason == Reason.RESULTS_UNREADABLE else ""


def plan_of(job: dict[str, Any]) -> dict[str, Any]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (told,) = [item["value"] for item in container["env"] if item["name"] == PLAN_VARIABLE]
    plan: dict[str, Any] = json.loads(told)
    return plan


def ended(among: Among) -> dict[str, Any]:
    """Give the batch as the provider shows it at its end."""
    return shown(among.kong, next(iter(among.states())))


def shown(kong: Instance, batch_id: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{kong.url}/batches/{batch_id}").raise_for_status().json()
    return found


def remove(kong: Instance, file_id: str) -> None:
    httpx.delete(f"{kong.url}/files/{file_id}").raise_for_status()


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        (completes, Reason.ALL_REQUESTS_FAILED),
        (expires, Reason.BATCH_EXPIRED),
        (is_cancelled, Reason.BATCH_CANCELLED),
    ],
)
async def test_an_empty_output_says_that_nothing_succeeded(
    operator: Operator, api: ApiServer, among: Among, ends: Any, *, reason: Reason
) -> None:
    await submitted(operator, api, among, jsonl("one--status-500", "two--status-400"))
    quirks(among, output_file="empty_file")
    ends(among)
    status = await among.ended(operator, seconds=0)
    assert (among.reason(operator), among.failed(status)) == (reason, True)
    assert among.own(api) == []


@pytest.mark.parametrize("ends", [completes, expires, is_cancelled])
async def test_files_that_stay_empty_end_the_job_when_the_wait_is_over(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, ends: Any
) -> None:
    await submitted(operator, api, among)
    quirks(among, filling_seconds=10 * DAYS)
    ends(among)
    status = await among.ended(operator, seconds=0)
    assert among.failed(status)
    assert len(among.own(api, ".errors")) == 5
    assert len(left(kong)) >= 2, "the counts say that there is more"
    assert 2 <= len(kong.calls("files.content")) <= 20 * among.count


GONE = [
    pytest.param({"status": 404, "message": "The file was not found."}, id="404"),
    pytest.param({"status": 410, "message": "Gone"}, id="410"),
    pytest.param({"status": 410, "as_": "text", "message": "Gone"}, id="410 of a proxy"),
    pytest.param({"status": 400, "message": "The file has been deleted."}, id="400"),
    pytest.param({"status": 403, "message": "File is not accessible any more."}, id="403"),
]


@pytest.mark.parametrize("fault", GONE)
async def test_a_file_that_is_gone_needs_a_person_and_is_not_asked_for_again_and_again(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, fault: dict[str, Any]
) -> None:
    await submitted(operator, api, among)
    completes(among)
    output = ended(among)["output_file_id"]
    kong.fault("status", "files.content", times=-1, about=output, **fault)
    kong.fault("status", "files.get", status=404, times=-1, about=output)
    await operator.until(lambda: stalled(operator))
    assert ACCEPT_MISSING_ANNOTATION in stalled(operator)
    assert "apply it again" in stalled(operator)
    assert len(left(kong)) == 2 * among.count
    calls = len(kong.calls("files.content"))
    for _ in range(5):
        await operator.look()
        await operator.quiet()
    assert len(kong.calls("files.content")) <= calls + 2 * among.count
    kong.clear_faults()
    await among.ended(operator, seconds=0)
    assert among.reason(operator) == Reason.SUCCEEDED, "brought back, it is found"


async def test_a_refusal_that_says_nothing_of_the_file_is_one_of_the_credentials(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await submitted(operator, api, among)
    completes(among)
    kong.fault(
        "status", "files.content", times=-1, status=403, message="Forbidden", about=ended(among)["output_file_id"]
    )
    await among.until_reason(operator, Reason.GATEWAY_UNAUTHORIZED)


async def test_a_file_without_a_readable_line_needs_a_person_after_a_while(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await submitted(operator, api, among)
    completes(among)
    kong.fault("not_json", "files.content", times=-1, about=ended(among)["output_file_id"])
    await operator.until(lambda: stalled(operator))
    assert "holds no result line that can be read" in stalled(operator)
    assert len(kong.calls("files.content")) <= 10 * among.count
    assert len(left(kong)) == 2 * among.count


async def test_what_can_be_read_is_stored_when_a_person_says_so(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await submitted(operator, api, among, MIXED)
    completes(among)
    output = ended(among)["output_file_id"]
    remove(kong, output)
    await operator.until(lambda: stalled(operator))
    assert output in stalled(operator), "the error file is there: the message names the one that isn't"
    batch_id = among.batch(operator).id
    api.edit("batchjobs", "job", {"metadata": {"annotations": {ACCEPT_MISSING_ANNOTATION: "batch_of_another_day"}}})
    await operator.quiet()
    assert operator.status().output is None
    api.edit("batchjobs", "job", {"metadata": {"annotations": {ACCEPT_MISSING_ANNOTATION: batch_id}}})
    status = await among.ended(operator, seconds=0)
    assert status.output is not None
    assert status.output.missing_requests == 2
    assert among.own(api, ".errors")[1] == "two--status-400"
    assert {failure.code for failure in status.failures} >= {"missing_result"}


async def test_an_error_file_that_is_gone_is_told_of_and_not_needed_for_the_answers(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await submitted(operator, api, among, MIXED)
    completes(among)
    errors = ended(among)["error_file_id"]
    remove(kong, errors)
    await operator.until(lambda: stalled(operator))
    assert errors in stalled(operator)
    batch_id = among.batch(operator).id
    api.edit("batchjobs", "job", {"metadata": {"annotations": {ACCEPT_MISSING_ANNOTATION: batch_id}}})
    await among.ended(operator, seconds=0)
    assert (among.reason(operator), among.own(api)) == (Reason.COMPLETED_WITH_FAILURES, ["one", "three"])


@pytest.mark.parametrize(
    "given", [{}, {"backoffLimitPerRequest": 1, "requestFailurePolicy": NEVER}], ids=["", "judged"]
)
async def test_a_person_may_say_so_of_several_batches_of_a_job_one_after_the_other(
    operator: Operator, api: ApiServer, kong: Instance, given: dict[str, Any]
) -> None:
    await begun(operator, api, kong, **given)
    kong.advance(3600)
    gone = {name: shown(kong, name)["output_file_id"] for name in made(operator)[:2]}
    for file_id in gone.values():
        remove(kong, file_id)
    said: list[str] = []

    def asked() -> list[str]:
        return [name for name in gone if name not in said and name in stalled(operator)]

    while len(said) < len(gone):
        await operator.until(asked)
        assert "added to other ids with a comma" in stalled(operator)
        said += asked()
        api.edit("batchjobs", "job", {"metadata": {"annotations": {ACCEPT_MISSING_ANNOTATION: ",".join(said)}}})
    status = await operator.until_ended()
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert status.request_counts is not None
    assert (status.request_counts.completed, status.request_counts.failed) == (1, 4)
    assert len(kong.batches()) == 3


async def test_a_person_is_asked_about_requests_of_which_nobody_can_tell_any_more_whether_to_send_them_again(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, request_retry_seconds=3).running() as operator:
        names = ["one", "two--status-429-times-1", "three"]
        apply_all(api, kong, jsonl(*names), split_job(backoffLimitPerRequest=1))
        await operator.until(lambda: made(operator))
        kong.advance(3600)
        await operator.until_reason(Reason.WAITING_TO_RETRY)
        (batch_id,) = made(operator)
        remove(kong, shown(kong, batch_id)["output_file_id"])
        await operator.until(lambda: f"{ACCEPT_MISSING_ANNOTATION}={batch_id}" in stalled(operator))
        api.edit("batchjobs", "job", {"metadata": {"annotations": {ACCEPT_MISSING_ANNOTATION: batch_id}}})
        status = await operator.until_ended()
        assert status.request_counts is not None
        assert (status.request_counts.completed, status.request_counts.failed) == (0, 3)
        assert status.request_counts.retried is None
        assert len(kong.batches()) == 1, "nothing is paid for twice"


@pytest.mark.parametrize("reason", [Reason.RESULTS_UNREADABLE, Reason.RESULTS_PENDING])
async def test_no_pod_is_started_again_and_again_for_results_that_are_not_there(
    operator: Operator, api: ApiServer, kong: Instance, reason: Reason
) -> None:
    api.put("persistentvolumeclaims", config_map("data", "unused", b""))
    apply_all(api, kong, FIVE, build.batchjob(output=VOLUME))
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    seen: dict[str, dict[str, Any]] = {}

    def fails() -> None:
        for job in api.objects("jobs"):
            if (uid := job["metadata"]["uid"]) not in seen and "deletionTimestamp" not in job["metadata"]:
                seen[uid] = plan_of(job)
                report = CollectReport(problem=Problem(reason=reason, message="That is how it is."))
                message = json.dumps(report.dump())
                put_pod(api, f"pod-{len(seen)}", job, {"terminated": {"exitCode": 1, "message": message}})

    def over() -> bool:
        fails()
        return bool(seen) and not list(seen.values())[-1].get("patient")

    await operator.until(over)
    plans = list(seen.values())
    assert plans[0]["patient"], "the first look doesn't judge yet"
    assert 2 <= len(plans) <= 4
    if reason is Reason.RESULTS_UNREADABLE:
        await operator.until(lambda: stalled(operator))
        for _ in range(5):
            await operator.look()
            await operator.quiet()
        assert len(uids(api)) <= 1
