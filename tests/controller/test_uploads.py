"""Uploads that fail: one copy at most, growing delays however often the job is looked at, and a person who hears of it."""

from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.among import ALONE, SECOND, Among, also_second
from tests.controller.conftest import FIVE
from tests.controller.test_ambiguity import reasons
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.between import Between, Exchange
from tests.support.inprocess import Operator, config_map

REFUSALS = [
    pytest.param({"status": 400, "message": "Invalid file format."}, id="400"),
    pytest.param({"status": 413, "as_": "kong", "message": "Payload too large"}, id="413"),
    pytest.param({"status": 415}, id="415"),
    pytest.param({"status": 422}, id="422"),
    pytest.param({"status": 403, "as_": "kong"}, id="403"),
    pytest.param({"status": 409}, id="409"),
    pytest.param({"status": 500}, id="500"),
    pytest.param({"status": 503, "as_": "kong"}, id="503"),
]
LOOKS = 60


def left(kong: Instance) -> int:
    return sum(not file["deleted"] for file in kong.files())


async def looked_at(operator: Operator, times: int = LOOKS) -> None:
    """Have a job looked at again and again."""
    for _ in range(times):
        await operator.look()
        await operator.quiet()


@pytest.mark.parametrize(("refusal", "among"), also_second(REFUSALS, "400", "413", "503"), indirect=["among"])
async def test_an_upload_that_is_refused_is_not_sent_anew_at_each_look(
    api: ApiServer, among: Among, tmp_path: Path, refusal: dict[str, Any]
) -> None:
    among.fault("status", "files.create", times=-1, **refusal)
    async with Operator(api, tmp_path, recheck_seconds=100).running() as operator:
        among.apply(api)
        await operator.until(lambda: among.batch(operator).upload_tries)
        await looked_at(operator)
        assert len(among.uploads()) == 1
        tries = among.batch(operator).upload_tries
        assert tries is not None
        assert tries.failures == 1


async def test_the_delays_grow_and_end_with_the_trouble(api: ApiServer, among: Among, tmp_path: Path) -> None:
    among.fault("status", "files.create", status=400, times=6)
    async with Operator(api, tmp_path).running() as operator:
        among.apply(api)
        await among.submitted(operator)
        assert among.batch(operator).upload_tries is None
    calls = [call["time"] for call in among.uploads()]
    assert len(calls) == 7


@pytest.mark.parametrize(
    ("change", "among"),
    # Where the input was cut stays as it is.
    [("spec", ALONE), ("gateway", ALONE), ("input", ALONE), ("spec", SECOND), ("gateway", SECOND)],
    indirect=["among"],
)
async def test_what_is_changed_is_tried_at_once(api: ApiServer, among: Among, tmp_path: Path, change: str) -> None:
    among.fault("status", "files.create", status=400)
    async with Operator(api, tmp_path, recheck_seconds=1000).running() as operator:
        among.apply(api)
        await among.until_reason(operator, Reason.REQUEST_REFUSED)
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
        await among.submitted(operator)


async def test_another_process_goes_on_with_the_delay(api: ApiServer, among: Among, tmp_path: Path) -> None:
    among.fault("status", "files.create", status=400, times=-1)
    among.apply(api)
    for _ in range(3):
        async with Operator(api, tmp_path, recheck_seconds=100).running() as operator:
            await among.until_reason(operator, Reason.REQUEST_REFUSED)
            await looked_at(operator, 10)
    assert len(among.uploads()) == 1


@pytest.mark.parametrize("fault", [{"kind": "reset_after"}, {"kind": "accepted_status", "status": 504, "as_": "kong"}])
@pytest.mark.parametrize("dialect", ["azure", "openai"])
async def test_an_upload_that_is_never_answered_leaves_one_copy_and_the_job_goes_on(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, fault: dict[str, Any], *, dialect: str
) -> None:
    kong.configure(dialect=dialect)
    kong.fault(operation="files.create", times=-1, **fault)
    among.apply(api)
    await among.submitted(operator)
    assert len(among.copies()) == 1
    await among.ended(operator)
    assert left(kong) == 0


# The list can't fail before the first of several is made.
@pytest.mark.parametrize("among", [ALONE], indirect=True)
async def test_a_file_that_was_sent_by_a_process_that_died_is_taken_by_the_next(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    among.fault("accepted_status", "files.create", status=504)
    # While the first one lives, the list lags behind: it can't tell.
    kong.fault("status", "files.list", status=503, times=-1, skip=1)
    among.apply(api)
    async with Operator(api, tmp_path, recheck_seconds=100).running() as first:
        await first.until(lambda: among.batch(first).upload_tries)
    kong.clear_faults()
    async with Operator(api, tmp_path).running() as second:
        await among.submitted(second)
    assert (len(among.uploads()), len(among.copies())) == (1, 1)


async def test_without_a_list_two_copies_are_left_at_most_and_a_person_hears_of_it(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    api.put("configmaps", config_map("prompts", "batch.jsonl", among.spread(FIVE)))
    api.put("batchgateways", build.batchgateway(kong.url, **among.gateway()))
    await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_READY, None)
    among.fault("accepted_status", "files.create", status=504, as_="kong", times=-1)
    kong.fault("status", "files.list", status=404, as_="azure", times=-1)
    api.put("batchjobs", among.job())
    await among.until_reason(operator, Reason.UPLOAD_UNANSWERED)
    await looked_at(operator)
    assert operator.status().holds("Stalled")
    assert len(among.copies()) == 2
    assert "read_timeout" in among.told(operator)
    assert ("Warning", "UploadUnanswered") in operator.events()
    kong.clear_faults()
    api.edit("batchgateways", "kong", {"spec": {"timeouts": {"requestSeconds": 50}}})
    await among.submitted(operator)
    await among.ended(operator)
    assert left(kong) == 0


async def test_an_outage_of_uploads_and_list_together_needs_no_person_and_leaves_no_copy(
    operator: Operator, api: ApiServer, among: Among, between: Between
) -> None:
    """The list fails for a moment whenever an upload has failed, and tells before the next that there is nothing."""
    fails = False

    def outage(told: Exchange) -> bool:
        nonlocal fails
        sends = told.method == "POST" and told.path == "/files"
        asks = told.method == "GET" and told.path == "/files" and told.query.get("limit") != "1"
        if (sends and between.spoilt < 6) or (asks and fails):
            fails = sends
            told.status, told.json = 500, {"error": {"message": "Internal error", "code": "500"}}
            return True
        return False

    between.instead.append(outage)
    among.apply(api, url=between.url)
    await among.submitted(operator)
    assert between.spoilt == 6
    assert Reason.UPLOAD_UNANSWERED not in reasons(api)
    assert len(among.copies()) == 1


async def test_uploads_that_leave_nothing_are_told_to_a_person_and_go_on(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("status", "files.create", status=504, as_="kong", times=-1)
    among.apply(api)
    await among.until_reason(operator, Reason.UPLOAD_UNANSWERED)
    assert "does not show it" in str(operator.job()["status"]["conditions"])
    kong.clear_faults()
    await among.submitted(operator)
    assert among.batch(operator).upload_tries is None
