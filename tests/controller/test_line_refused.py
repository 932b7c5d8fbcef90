"""Tokens of a quota, where the API server refuses what a job would write, and where the limit comes when files are uploaded."""

from collections.abc import Callable

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.controller.test_line_for_tokens import ALL, ONE, job, running
from tests.controller.test_line_goes_on import apply_other, group
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support.apicalls import Fault
from tests.support.apiserver import ApiServer
from tests.support.apistore import Call
from tests.support.inprocess import Json, Operator, apply_all


def tells_of_the_file(body: Json) -> bool:
    return any(batch.get("inputFileID") for batch in (body.get("status") or {}).get("batches") or [])


def intends(body: Json) -> bool:
    return any(batch.get("submission") for batch in (body.get("status") or {}).get("batches") or [])


@pytest.mark.parametrize("where", [tells_of_the_file, intends], ids=["of its file", "of its intent"])
async def test_a_job_whose_status_is_refused_keeps_no_other_gateway_of_the_quota_waiting(
    operator: Operator, api: ApiServer, kong: Instance, emulator: EmulatorServer, where: Callable[[Json], bool]
) -> None:
    api.faults.append(Fault(lambda call: _writes(call, "status") and where(call.body), "status", 403, times=-1))
    apply_all(api, kong, FIVE, job("a"), **group(ALL))
    await operator.until(lambda: ("Warning", "StatusRefused") in operator.events(), None)
    apply_other(api, emulator, ALL)
    await operator.until(lambda: running(operator, "other"), None)
    assert kong.calls("batches.create") == []


async def test_a_job_whose_finalizer_is_refused_keeps_no_other_gateway_of_the_quota_waiting(
    operator: Operator, api: ApiServer, kong: Instance, emulator: EmulatorServer
) -> None:
    apply_all(api, kong, FIVE, job("a"), **group(ALL))
    api.faults.append(Fault(lambda call: _writes(call, ""), "status", 422, times=-1))
    await operator.until(lambda: any(_writes(call, "") for call in api.calls), None)
    apply_other(api, emulator, ALL)
    await operator.until(lambda: running(operator, "other"), None)
    assert kong.files() == []


def _writes(call: Call, subresource: str) -> bool:
    return (call.verb, call.plural, call.name, call.subresource) == ("patch", "batchjobs", "a", subresource)


async def test_files_that_were_uploaded_before_there_was_a_limit_keep_to_it(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(file_pending_seconds=600)
    names = ("a", "b", "c")
    apply_all(api, kong, FIVE, *(job(name, second) for second, name in enumerate(names)))
    await operator.until(lambda: all(operator.reason(name) == Reason.FILE_PENDING for name in names), None)
    api.edit("batchgateways", "kong", {"spec": {"limits": {"maxEnqueuedTokens": ALL + ONE}}})
    kong.advance(700)
    await operator.until(lambda: len(kong.batches()) == 1, None)
    for name in names:
        await operator.look(name)
    await operator.quiet()
    assert len(kong.batches()) == 1
    for count in (2, 3):
        kong.advance(3600)
        await operator.until(lambda count=count: len(kong.batches()) == count, None)  # type: ignore[misc]
