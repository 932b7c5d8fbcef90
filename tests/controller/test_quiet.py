"""Idle costs nothing: no write without news, no event twice, no call for what has ended."""

from llmbatch.api.reasons import Reason
from llmbatch.runtime.queue import Key
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all


async def polls(operator: Operator, kong: Instance, count: int) -> None:
    for _ in range(count):
        before = len(kong.calls("batches.get"))
        await operator.until(lambda before=before: len(kong.calls("batches.get")) > before)  # type: ignore[misc]
    await operator.quiet()


async def test_a_poll_that_finds_nothing_new_writes_and_tells_nothing(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    await operator.until(lambda: operator.status().summary.duplicates_checked_time)
    await polls(operator, kong, 2)
    writes, events = len(api.writes("batchjobs")), operator.events()
    await polls(operator, kong, 5)
    assert len(api.writes("batchjobs")) == writes
    assert operator.events() == events


async def test_a_whole_life_takes_few_writes_and_no_event_twice(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    await operator.until(lambda: not operator.job()["metadata"].get("finalizers"))
    await operator.quiet()
    # Accepted, gateway unchecked, finalizer, uploading, uploaded, intent, fact, submitted, validating, ended, stored,
    # looked for duplicates, complete, finalizer.
    assert len(api.writes("batchjobs")) <= 14, [call.body for call in api.writes("batchjobs")]
    await operator.runtime.recorder.flush(1)
    about_jobs = [event for event in api.objects("events") if event["involvedObject"]["kind"] == "BatchJob"]
    reasons = [event["reason"] for event in about_jobs]
    assert len(reasons) == len(set(reasons)), reasons


async def test_a_settled_job_causes_no_call_at_all(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    await operator.until(lambda: not operator.job()["metadata"].get("finalizers"))
    await operator.quiet()
    api.calls.clear()
    kong.clear_calls()
    for _ in range(5):
        await operator.look()
    await operator.quiet()
    assert not [call for call in api.calls if call.plural != "events"]
    assert not kong.calls()


async def test_settled_jobs_that_a_restart_lists_are_not_even_enqueued(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    del kong
    job = build.batchjob()
    job["status"] = build.ended().dump()
    found = api.put("batchjobs", {**job, "metadata": {**job["metadata"], "name": "old"}})
    await operator.quiet()
    api.calls.clear()
    await operator.runtime.news.changed("LISTED", Key("BatchJob", "team-a", "old"), found)
    await operator.quiet()
    assert not api.calls


async def test_labels_and_annotations_of_others_cause_no_write(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    await operator.until(lambda: operator.status().summary.duplicates_checked_time)
    await operator.quiet()
    writes = len(api.writes("batchjobs"))
    for number in range(3):
        api.edit("batchjobs", "job", {"metadata": {"annotations": {"example.com/n": str(number)}}})
        await operator.quiet()
    assert len(api.writes("batchjobs")) == writes


async def test_our_own_status_writes_cause_no_further_pass(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE, pollIntervalSeconds=3600)
    await operator.until(lambda: operator.reason() == Reason.VALIDATING, None)
    await operator.quiet()
    reads = len([call for call in api.calls if call.verb == "get" and call.plural == "batchjobs"])
    await operator.quiet()
    assert len([call for call in api.calls if call.verb == "get" and call.plural == "batchjobs"]) == reads
    assert not kong.calls("batches.get")
