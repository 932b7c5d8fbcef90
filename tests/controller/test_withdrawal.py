"""An intent is taken away by whoever wrote it, or knows that it made nothing; never that of another leader."""

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all

THEIRS = {"attempt": 7, "intentTime": "2026-03-01T12:00:00Z"}


def withdraws(body: Json) -> bool:
    status = body.get("status") or {}
    return "submission" in status and status["submission"] is None


@pytest.mark.parametrize(("kind", "details"), [
    pytest.param("status", {"status": 429, "retry_after": 60}, id="after a refusal"),
    pytest.param("reset_before", {}, id="after the settle period"),
])  # fmt: skip
async def test_the_intent_that_another_leader_has_written_meanwhile_stays(
    operator: Operator, api: ApiServer, kong: Instance, kind: str, details: Json
) -> None:
    kong.fault(kind, "batches.create", **details)
    late = api.fault("hold", "patch", "batchjobs", "status", where=withdraws)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: late.times == 0, None)
    # Frozen just before its write arrives; in the meantime the next leader has begun a call of its own.
    api.edit("batchjobs", "job", {"metadata": {"labels": {"by": "another leader"}}})
    job = operator.job()
    api.put("batchjobs", {**job, "status": build.retold(job["status"], submission=THEIRS, attempts=7)})
    kong.fault("status", "batches.list", status=503, times=-1)
    late.released.set()
    await operator.quiet()
    submission = operator.status().summary.submission
    assert submission is not None
    assert submission.attempt == 7
    assert len(kong.calls("batches.create")) == 1


async def test_an_edit_of_the_object_does_not_keep_an_intent_from_being_withdrawn(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "batches.create", status=429, retry_after=60)
    conflict = api.fault("status", "patch", "batchjobs", "status", status=409, times=3, where=withdraws)
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.RATE_LIMITED)
    assert conflict.times == 0
    assert operator.status().summary.submission is None


async def test_an_api_server_that_can_not_be_read_after_a_conflict_does_not_lose_a_refusal(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "batches.create", status=429, retry_after=60)

    def unread(body: Json) -> bool:
        if withdraws(body):
            api.fault("status", "get", "batchjobs", status=500, times=2)
        return withdraws(body)

    api.fault("status", "patch", "batchjobs", "status", status=409, where=unread)
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.RATE_LIMITED)
    assert len(kong.calls("batches.create")) == 1
    assert operator.status().summary.attempts is None
