"""An intent is taken away by whoever wrote it, or knows that it made nothing; never that of another leader."""

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator

THEIRS = {"attempt": 7, "intentTime": "2026-03-01T12:00:00Z"}


@pytest.mark.parametrize(("kind", "details"), [
    pytest.param("status", {"status": 429, "retry_after": 60}, id="after a refusal"),
    pytest.param("reset_before", {}, id="after the settle period"),
])  # fmt: skip
async def test_the_intent_that_another_leader_has_written_meanwhile_stays(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, kind: str, *, details: Json
) -> None:
    among.fault(kind, "batches.create", **details)
    late = api.fault("hold", "patch", "batchjobs", "status", where=among.withdraws)
    among.apply(api)
    await operator.until(lambda: late.times == 0, None)
    # Frozen just before its write arrives; in the meantime the next leader has begun a call of its own.
    api.edit("batchjobs", "job", {"metadata": {"labels": {"by": "another leader"}}})
    status = among.retold(operator, submission=THEIRS, createCalls=7)
    api.put("batchjobs", {**operator.job(), "status": status})
    kong.fault("status", "batches.list", status=503, times=-1)
    late.released.set()
    await operator.quiet()
    submission = among.batch(operator).submission
    assert submission is not None
    assert submission.attempt == 7
    assert len(among.creates()) == 1


async def test_an_edit_of_the_object_does_not_keep_an_intent_from_being_withdrawn(
    operator: Operator, api: ApiServer, among: Among
) -> None:
    among.fault("status", "batches.create", status=429, retry_after=60)
    conflict = api.fault("status", "patch", "batchjobs", "status", status=409, times=3, where=among.withdraws)
    among.apply(api)
    await among.until_reason(operator, Reason.RATE_LIMITED)
    assert conflict.times == 0
    assert among.batch(operator).submission is None


async def test_an_api_server_that_can_not_be_read_after_a_conflict_does_not_lose_a_refusal(
    operator: Operator, api: ApiServer, among: Among
) -> None:
    among.fault("status", "batches.create", status=429, retry_after=60)

    def unread(body: Json) -> bool:
        if among.withdraws(body):
            api.fault("status", "get", "batchjobs", status=500, times=2)
        return among.withdraws(body)

    api.fault("status", "patch", "batchjobs", "status", status=409, where=unread)
    among.apply(api)
    await among.until_reason(operator, Reason.RATE_LIMITED)
    assert len(among.creates()) == 1
    assert among.batch(operator).create_calls is None
