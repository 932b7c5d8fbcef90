"""A job with several batches: what is true of all of them, and how one is seen as the only one of a job."""

import json
from datetime import timedelta

import pytest

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.conditions import COMPLETE
from llmbatch.api.reasons import Reason
from llmbatch.api.request_policy import MOST_RETRIES
from llmbatch.batch.pure import part_view
from llmbatch.batch.pure.decision import Done, Finish, Stalled, Wait
from llmbatch.batch.pure.part_view import PartView
from llmbatch.batch.pure.stage import Stage, stage_of
from llmbatch.job.pure import next_status, parts
from llmbatch.jsonl.cut import MOST_PARTS, Cut
from llmbatch.transfer.pure.report import CollectReport
from tests.support import build, definitions
from tests.support.apistore import Json


def cut(count: int = 3) -> BatchJobStatus:
    """Make the status of a job that was just cut."""
    report = build.upload_report(input={**build.INPUT, "requests": 2 * count})
    begun = build.status(uid=build.UID, startTime="2026-03-01T11:00:00Z")
    return parts.with_cuts(begun, report, [Cut(2, 100, 110, 7)] * count)


def entry(whole: BatchJobStatus, index: int, **told: object) -> BatchJobStatus:
    batches = list(whole.batches)
    batches[index] = batches[index].model_copy(update=told)
    return whole.model_copy(update={"batches": batches})


def state(phase: str, reason: str = "InProgress", status: str = "Unknown") -> Json:
    return {"phase": phase, "status": status, "reason": reason, "message": "Told.", "sinceTime": "2026-03-01T11:00:00Z"}


def test_each_part_begins_where_the_one_before_it_ends() -> None:
    status = cut()
    assert [(batch.part, batch.first_request, batch.source and batch.source.offset) for batch in status.batches] == [
        (0, 0, 0),
        (1, 2, 110),
        (2, 4, 220),
    ]
    assert status.request_counts is not None
    assert (status.parts, status.request_counts.total) == (3, 6)


@pytest.mark.parametrize(
    ("told", "stage"),
    [
        pytest.param({}, Stage.INPUT, id="not begun"),
        pytest.param({"inputFileID": "file-1"}, Stage.FILE, id="uploaded"),
        pytest.param({"inputFileID": "file-1", "submission": {"attempt": 1, "intentTime": "2026-03-01T12:00:00Z"}}, Stage.ANSWER, id="asked for"),
        pytest.param({"id": "batch-1", "status": "in_progress"}, Stage.BATCH, id="under way"),
        pytest.param({"id": "batch-1", "status": "completed"}, Stage.RESULTS, id="over"),
        pytest.param({"refusal": {"reason": "BatchFailed", "message": "No."}}, Stage.RESULTS, id="refused"),
        pytest.param({"id": "batch-1", "results": {"bytes": 1, "requests": 1, "sha256": "a", "storedTime": "2026-03-01T12:00:00Z"}}, Stage.CLEANUP, id="stored"),
        pytest.param({"state": state("Complete", "Succeeded", "True")}, Stage.ENDED, id="ended well"),
        pytest.param({"state": state("Failed", "BatchFailed", "False")}, Stage.ENDED, id="ended badly"),
    ],
)  # fmt: skip
def test_one_of_several_is_seen_as_the_only_one(told: Json, stage: Stage) -> None:
    whole = cut()
    batches = [whole.batches[0], Batch.parse({**whole.batches[1].dump(), **told}), whole.batches[2]]
    whole = whole.model_copy(update={"batches": batches})
    view = PartView(1)
    seen = view.of(whole)
    assert stage_of(seen) is stage
    assert [batch.part for batch in seen.batches] == [1]
    if stage is not Stage.ENDED:
        assert view.put(whole, seen).batches[1] == whole.batches[1], "what is seen and put back is as it was"
    assert view.put(whole, seen).batches[0] == whole.batches[0]


def test_a_state_comes_back_as_the_conditions_it_was_made_of() -> None:
    whole, view = cut(), PartView(1)
    waits = Wait(Reason.QUOTA_EXCEEDED, "Wait for it.", aspect="InputReady")
    closed = next_status.close(
        view.of(whole),
        view.of(whole),
        uid=build.UID,
        ending=waits,
        finish=None,
        generation=1,
        deleting=False,
        now=build.NOW,
    )
    again = view.of(view.put(whole, closed))
    ready, aspect = again.condition("Ready"), again.condition("InputReady")
    assert ready is not None
    assert aspect is not None
    assert (ready.reason, ready.message, ready.last_transition_time) == ("QuotaExceeded", "Wait for it.", build.NOW)
    assert (aspect.status, aspect.reason) == ("False", "QuotaExceeded")
    assert again.holds("Reconciling")


def test_an_entry_keeps_what_is_needed_when_its_batch_has_ended() -> None:
    whole, view = cut(), PartView(1)
    whole = entry(
        whole, 1, id="batch-1", input_file_id="file-1", status="completed", expires_at=build.NOW, refused_ids=["x"]
    )
    finish = Finish(Reason.SUCCEEDED, "Done.", complete=True)
    whole = entry(whole, 1, state=Batch.parse({"state": state("CleaningUp", "CleaningUp")}).state)
    closed = next_status.close(
        view.of(whole),
        view.of(whole),
        uid=build.UID,
        ending=Done(),
        finish=finish,
        generation=1,
        deleting=False,
        now=build.NOW,
    )
    kept = view.put(whole, closed).batches[1].dump()
    assert kept.keys() == {
        "part",
        "attempt",
        "firstRequest",
        "requests",
        "bytes",
        "state",
        "id",
        "inputFileID",
        "status",
    }
    assert stage_of(view.of(view.put(whole, closed))) is Stage.ENDED


def test_the_least_advanced_batch_says_where_the_job_is_and_one_that_needs_a_person_is_named_first() -> None:
    whole = cut()
    whole = entry(whole, 0, state=Batch.parse({"state": state("InProgress")}).state)
    whole = entry(whole, 1, state=Batch.parse({"state": state("Validating", "Validating")}).state)
    assert parts.phase(whole) == "Validating"
    running = Wait(Reason.IN_PROGRESS, "Running.", after=30)
    validating = Wait(Reason.VALIDATING, "Validating.", after=60)
    ending = parts.ending(whole, [(whole.batches[0], running), (whole.batches[1], validating)])
    assert (ending.reason, ending.message, ending.after) == (Reason.VALIDATING, "Part 1: Validating.", 30)
    asks = Stalled(Reason.SUBMISSION_UNKNOWN, "Look.", after=None)
    ending = parts.ending(whole, [(whole.batches[1], validating), (whole.batches[0], asks), (whole.batches[2], Done())])
    assert isinstance(ending, Stalled)
    assert (ending.message, ending.after) == ("Part 0: Look.", 60)


def test_of_several_attempts_at_the_only_part_the_first_has_a_name_too() -> None:
    whole = build.status(parts=1, batches=[{"part": 0, "attempt": 1}, {"part": 0, "attempt": 2, "parts": [0]}])
    waits = Wait(Reason.COLLECTING, "Results are next.", after=1)
    first, second = ((batch, waits) for batch in whole.batches)
    assert parts.ending(whole, [first, second]).message == "Attempt 1 (and 1 more): Results are next."
    assert parts.ending(whole, [second]).message == "Attempt 2: Results are next."
    assert parts.ending(whole, [first]).message == "Results are next."


def test_the_next_part_begins_only_when_the_one_before_it_has_its_batch() -> None:
    whole = cut()
    assert [view.index for view in parts.to_look_at(whole)] == [0]
    whole = entry(whole, 0, input_file_id="file-1")
    assert [view.index for view in parts.to_look_at(whole)] == [0]
    whole = entry(whole, 0, id="batch-1")
    assert [view.index for view in parts.to_look_at(whole)] == [0, 1]
    whole = entry(whole, 0, state=Batch.parse({"state": state("Complete", "Succeeded", "True")}).state)
    assert [view.index for view in parts.to_look_at(whole)] == [1]


def test_what_is_sent_again_is_what_was_stored_though_it_was_looked_at_before_when_results_were_to_go_elsewhere() -> (
    None
):
    def report(unfinished: int, crc32: int) -> CollectReport:
        told = {"unfinished": unfinished, "unfinished_bytes": 10 * unfinished, "unfinished_crc32": crc32}
        return build.collect_report(2, 0).model_copy(update=told)

    alone = parts.views(cut())[0].of(cut())
    judged = part_view.with_judgement(alone, report(2, 5), build.ago(60), may_retry=True)
    stored = part_view.with_part_results(judged, report(1, 7), build.NOW, may_retry=True, where="there")
    (before,), (after,) = judged.batches, stored.batches
    assert before.unfinished is not None
    assert after.unfinished == before.unfinished.model_copy(update={"requests": 1, "bytes": 10, "crc32": "00000007"})
    assert parts.views(cut())[0].put(cut(), stored).parts_location == "there"


@pytest.mark.parametrize(
    ("completed", "reason", "complete"),
    [(6, Reason.SUCCEEDED, True), (1, Reason.COMPLETED_WITH_FAILURES, True), (0, Reason.ALL_REQUESTS_FAILED, False)],
)
def test_one_success_is_enough(completed: int, reason: Reason, complete: bool) -> None:
    whole = cut(1).model_copy(update={"parts": 2, "output": build.stored().output})
    counts = {"total": 2, "completed": min(completed, 2), "failed": 2 - min(completed, 2)}
    whole = entry(whole, 0, request_counts=Batch.parse({"requestCounts": counts}).request_counts)
    told = whole.batches[0].request_counts
    finish = parts.verdict(whole.model_copy(update={"request_counts": told}), build.spec())
    assert (finish.reason, finish.complete) == (reason, complete)


@pytest.mark.parametrize(
    ("batches", "policy", "reason"),
    [
        (1, None, Reason.BATCH_EXPIRED),
        (1, {"minSucceeded": 1}, Reason.COMPLETED_WITH_FAILURES),
        (2, None, Reason.COMPLETED_WITH_FAILURES),
    ],
)
def test_one_batch_alone_that_expired_is_judged_as_without_parts(
    batches: int, policy: dict[str, int] | None, reason: Reason
) -> None:
    whole = cut(batches).model_copy(update={"parts": batches, "output": build.stored().output})
    whole = entry(whole, 0, state=Batch.parse({"state": state("Failed", "BatchExpired", "False")}).state)
    counts = Batch.parse({"requestCounts": {"total": 4, "completed": 3, "failed": 1}}).request_counts
    finish = parts.verdict(whole.model_copy(update={"request_counts": counts}), build.spec(successPolicy=policy))
    assert (finish.reason, finish.complete) == (reason, reason is Reason.COMPLETED_WITH_FAILURES)


def test_a_status_of_a_hundred_parts_stays_below_128_kib() -> None:
    whole = cut(MOST_PARTS)
    late = build.NOW + timedelta(days=1)
    for index in range(MOST_PARTS):
        whole = entry(
            whole,
            index,
            id=f"batch_{'x' * 40}",
            input_file_id=f"file-{'x' * 40}",
            output_file_id=f"file-{'x' * 40}",
            error_file_id=f"file-{'x' * 40}",
            status="completed",
            request_counts=build.stored().request_counts,
            sha256="ab" * 32,
            results=Batch.parse({"results": {"bytes": 10**9, "requests": 10**5, "sha256": "ab" * 32, "errorsBytes": 10**6, "errorsSHA256": "ab" * 32, "storedTime": "2026-03-01T12:00:00Z"}}).results,
            state=Batch.parse({"state": state("Complete", "CompletedWithFailures", "True")}).state,
            create_calls=1,
            **dict.fromkeys(("created_at", "in_progress_at", "finalizing_at", "completed_at", "expires_at", "uploaded_time", "submission_time", "recorded_time", "duplicates_checked_time"), late),
        )  # fmt: skip
    assert len(json.dumps(whole.dump(), separators=(",", ":"))) < 128 * 1024
    assert not whole.holds(COMPLETE)


def test_however_often_and_wordily_a_hundred_parts_fail_the_api_server_takes_the_status() -> None:
    whole = cut(MOST_PARTS)
    long, moment = "x" * 290, "2026-03-01T12:00:00Z"
    files = {name: f"{name}-{long}" for name in ("inputFileID", "outputFileID", "errorFileID")}
    told: Json = {
        **files,
        "id": long,
        "requests": 10**5,
        "bytes": 2 * 10**9,
        "estimatedTokens": 10**10,
        "status": "completed",
        "requestCounts": {"total": 10**5, "completed": 0, "failed": 10**5},
        "unfinished": {"requests": 10**5, "bytes": 2 * 10**9, "crc32": "0" * 8, "again": True, "sinceTime": moment},
        "results": {"bytes": 10**9, "requests": 1, "sha256": "ab" * 32, "errorsBytes": 10**9, "errorsSHA256": "ab" * 32, "storedTime": moment},
        "state": {**state("Failed", "AllRequestsFailed", "False"), "message": "\u00e4" * 512},
        **dict.fromkeys(("createdAt", "completedAt", "submissionTime", "duplicatesCheckedTime"), moment),
    }  # fmt: skip
    entries = [
        Batch.parse({**told, "part": part, "attempt": attempt, "parts": [part] if attempt > 1 else []})
        for attempt in range(1, MOST_RETRIES + 2)
        for part in range(MOST_PARTS)
    ]
    under_way = {"state": {**told["state"], "phase": "Submitting"}, "refusedIDs": ["y" * 300] * 13}
    entries[-1] = Batch.parse({**entries[-1].dump(), **under_way})
    whole = whole.model_copy(update={"batches": entries})
    waits = Wait(Reason.QUOTA_EXCEEDED, "Wait for it.")
    closed = next_status.close(
        whole, whole, uid=build.UID, ending=waits, finish=None, generation=1, deleting=False, now=build.NOW
    )
    made = {**build.batchjob(), "status": closed.dump()}
    assert list(definitions.refusals("batchjobs", None, made, status=True)) == []
    kept = closed.batches[-1]
    assert kept == entries[-1], "what is under way is told in full"
    ended = closed.batches[0]
    assert (ended.id, ended.input_file_id, ended.unfinished) == (long, files["inputFileID"], entries[0].unfinished)
