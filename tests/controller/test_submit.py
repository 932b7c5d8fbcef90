"""One paid batch per job, whatever is lost, refused or written by others in between."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmbatch.api import RESUBMIT_ANNOTATION
from llmbatch.api.base import timestamp
from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all


def intends(body: Json) -> bool:
    """Tell the write of an intent."""
    return bool((body.get("status") or {}).get("submission"))


def states_id(body: Json) -> bool:
    """Tell a write that states the id of a batch."""
    batches = (body.get("status") or {}).get("batches") or []
    return any(batch.get("id") for batch in batches)


async def finished(operator: Operator, kong: Instance) -> None:
    """Let the batch end, and see that it was the only one."""
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert len(kong.batches()) == 1
    assert operator.runtime.metrics.registry.get_sample_value("llmbatch_duplicate_batches_total") == 0


async def test_the_intent_is_written_before_the_call_and_the_metadata_tells_whose_batch_it_is(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE, build.batchjob())
    await finished(operator, kong)
    writes = [call.body for call in api.calls if call.plural == "batchjobs" and call.writes]
    intent = next(index for index, body in enumerate(writes) if isinstance(body, dict) and intends(body))
    fact = next(index for index, body in enumerate(writes) if isinstance(body, dict) and states_id(body))
    assert intent < fact
    assert "resourceVersion" in writes[intent]["metadata"], "the intent is compare-and-swap"
    assert "resourceVersion" in writes[fact]["metadata"], "and so is the fact: another batch may stand there by now"
    (create,) = kong.calls("batches.create")
    uid = operator.job()["metadata"]["uid"]
    assert create["body"]["metadata"] == {"llmbatch_uid": uid, "llmbatch_part": "0", "llmbatch_attempt": "1"}


async def test_an_intent_that_conflicts_makes_no_call(operator: Operator, api: ApiServer, kong: Instance) -> None:
    conflict = api.fault("status", "patch", "batchjobs", "status", status=409, times=-1, where=intends)
    apply_all(api, kong, FIVE)
    await operator.until(
        lambda: (
            sum(
                intends(call.body)
                for call in api.writes("batchjobs")
                if call.verb == "patch" and isinstance(call.body, dict)
            )
            >= 3
        )
    )
    assert not kong.calls("batches.create")
    conflict.times = 0
    await finished(operator, kong)


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        pytest.param("reset_after", {}, id="the connection breaks"),
        pytest.param("accepted_status", {"status": 504, "as_": "kong"}, id="Kong answers 504"),
        pytest.param("accepted_status", {"status": 500}, id="the provider answers 500"),
        pytest.param("accepted_status", {"status": 408}, id="a proxy answers 408"),
        pytest.param("accepted_status", {"status": 409}, id="a proxy that sent it twice answers 409"),
    ],
)
async def test_an_accepted_call_without_its_answer_is_adopted(
    operator: Operator, api: ApiServer, kong: Instance, kind: str, details: dict[str, object]
) -> None:
    kong.fault(kind, "batches.create", **details)
    apply_all(api, kong, FIVE)
    await finished(operator, kong)
    assert len(kong.calls("batches.create")) == 1
    assert ("Normal", "Adopted") in operator.events()
    assert operator.runtime.metrics.registry.get_sample_value("llmbatch_adoptions_total") == 1


async def test_a_batch_is_adopted_by_its_file_when_the_gateway_loses_metadata(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(keep_metadata=False)
    kong.fault("reset_after", "batches.create")
    apply_all(api, kong, FIVE)
    await finished(operator, kong)
    assert len(kong.calls("batches.create")) == 1


async def test_a_batch_is_found_pages_back_in_a_list_from_old_to_new(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(page_size=2, list_order="oldest")
    for _ in range(5):
        kong.insert_batch(input_file_id="file-of-others", endpoint="/v1/chat/completions", completion_window="24h")
    kong.fault("reset_after", "batches.create")
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    assert len(kong.calls("batches.create")) == 1


async def test_a_call_that_never_arrived_is_repeated_only_after_the_settle_period(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.fault("reset_before", "batches.create")
    async with Operator(api, tmp_path, settle_seconds=1.5).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until(lambda: len(kong.calls("batches.list")) >= 4)
        assert operator.reason() == Reason.SUBMISSION_PENDING
        assert len(kong.calls("batches.create")) == 1, "the settle period is not over"
        intent = operator.status().summary.submission
        assert intent is not None
        await finished(operator, kong)
        first, second = kong.calls("batches.create")
        # intentTime has whole seconds, and the first call comes a moment after it.
        assert second["time"] - first["time"] >= 0.2
        assert operator.status().summary.attempts == 2


async def test_a_list_that_is_late_shows_the_batch_in_time(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    kong.configure(list_lag_seconds=1)
    kong.fault("reset_after", "batches.create")
    async with Operator(api, tmp_path, settle_seconds=5).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until_reason(Reason.SUBMISSION_PENDING)
        kong.advance(2)
        await finished(operator, kong)
        assert len(kong.calls("batches.create")) == 1


async def test_a_rate_limited_call_waits_for_as_long_as_the_gateway_asks(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "batches.create", status=429, retry_after=1)
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.RATE_LIMITED)
    assert operator.status().summary.submission is None, "nothing is owed after a refusal"
    await finished(operator, kong)
    first, second = kong.calls("batches.create")
    assert second["time"] - first["time"] >= 1
    assert operator.status().summary.attempts == 1, "a call that made nothing is the same attempt again"


async def test_a_refused_call_fails_the_job_and_deletes_its_file(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "batches.create", status=400, message="No such deployment.", times=-1)
    apply_all(api, kong, FIVE)
    await operator.until_ended()
    assert operator.reason() == Reason.REQUEST_REFUSED
    assert operator.status().holds("Failed")
    assert len(kong.calls("batches.create")) == 1
    assert all(file["deleted"] for file in kong.files())


@pytest.mark.parametrize("kind", ["status", "cut before", "cut after"])
async def test_the_id_is_written_until_it_lands(operator: Operator, api: ApiServer, kong: Instance, kind: str) -> None:
    refused = api.fault(kind, "patch", "batchjobs", "status", times=2, where=states_id)  # type: ignore[arg-type]
    apply_all(api, kong, FIVE)
    await finished(operator, kong)
    assert refused.times == 0
    assert len(kong.calls("batches.create")) == 1


async def test_somebody_who_edits_labels_during_the_call_loses_us_nothing(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("delay", "batches.create", seconds=0.3)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission)
    for number in range(5):
        api.edit("batchjobs", "job", {"metadata": {"labels": {"number": str(number)}}})
        await asyncio.sleep(0.05)
    await finished(operator, kong)
    assert operator.job()["metadata"]["labels"] == {"number": "4"}
    assert len(kong.calls("batches.create")) == 1


async def test_stopping_during_the_call_finishes_it_first(api: ApiServer, kong: Instance, tmp_path: Path) -> None:
    kong.fault("delay", "batches.create", seconds=0.4)
    operator = Operator(api, tmp_path)
    await operator.start()
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission)
    assert operator.status().batches[0].id is None
    await operator.stop()
    assert operator.status().batches[0].id is not None
    async with Operator(api, tmp_path).running() as successor:
        await finished(successor, kong)
        assert len(kong.calls("batches.create")) == 1


async def test_whoever_waits_for_a_call_can_be_cancelled_but_not_the_call(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.fault("delay", "batches.create", seconds=0.3)
    operator = Operator(api, tmp_path)
    await operator.start()
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission)
    operator.cancel_workers()
    await operator.runtime.submitter.drain()
    assert operator.status().batches[0].id is not None
    await operator.stop()


# --- what an earlier process left ------------------------------------------------------------------------------------


def left_behind(api: ApiServer, kong: Instance, file_id: str, seconds_ago: float = 5, attempt: int = 1) -> str:
    """Leave a job whose process died between the intent and the fact."""
    intent = timestamp(datetime.now(UTC) - timedelta(seconds=seconds_ago))
    job = build.batchjob(metadata={"finalizers": ["llmbatch.io/remote-cleanup"]})
    job["status"] = {
        "observedGeneration": 1,
        "phase": "Submitting",
        "startTime": intent,
        "progress": "0%",
        "requestCounts": {"total": 5, "completed": 0, "failed": 0},
        "input": build.INPUT,
        "batches": [{"inputFileID": file_id}],
        "submission": {"attempt": attempt, "intentTime": intent},
        "attempts": attempt,
        "conditions": [
            build.condition("Ready", "Unknown", "Submitting"),
            build.condition("Reconciling", "True", "Submitting"),
            build.condition("InputReady", "True", "InputValid"),
        ],
    }
    apply_all(api, kong, FIVE, job)
    found = api.get("batchjobs", "job")
    assert found is not None
    return str(found["metadata"]["uid"])


async def test_duplicates_keep_the_oldest_and_cancel_the_others(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    given = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    ids = [kong.insert_batch(**given, age_seconds=age)["id"] for age in (1, 3, 2)]
    left_behind(api, kong, "file-1")
    await operator.until(lambda: operator.status().summary.submission_time)
    assert operator.status().batches[0].id == ids[1]
    cancelled = {call["path"].split("/")[-2] for call in kong.calls("batches.cancel")}
    assert cancelled == {ids[0], ids[2]}
    assert operator.runtime.metrics.registry.get_sample_value("llmbatch_duplicate_batches_total") == 2
    await operator.until(lambda: operator.events().count(("Warning", "DuplicateCancelled")) == 2)


async def test_a_batch_older_than_the_intent_is_not_ours(operator: Operator, api: ApiServer, kong: Instance) -> None:
    uid = left_behind(api, kong, "file-1", seconds_ago=1)
    given = {"input_file_id": "file-0", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    kong.insert_batch(**given, metadata={"llmbatch_uid": uid}, age_seconds=3600)
    await operator.until(lambda: kong.calls("batches.create"))


async def test_without_a_list_a_person_decides(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.configure(list_supported=False)
    left_behind(api, kong, "file-1", seconds_ago=500)
    await operator.until_reason(Reason.SUBMISSION_UNKNOWN)
    await operator.quiet()
    assert operator.status().holds("Stalled")
    assert not kong.calls("batches.create")
    api.edit("batchjobs", "job", {"metadata": {"annotations": {RESUBMIT_ANNOTATION: "2"}}})
    await operator.until(lambda: kong.calls("batches.create"))
