"""How long the oldest batch has waited: what somebody is woken for, and what is only a long line."""

from datetime import UTC, datetime
from typing import Any

from llmbatch.runtime.cache import BATCHJOB
from llmbatch.runtime.figures import Jobs
from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.queue import Key
from tests.support import build

HOUR = 3600
NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
"""Two days after the jobs were made."""
QUEUE = {"position": 3, "aheadTokens": 5, "reason": "EnqueuedTokensExceeded", "since": "2026-03-01T12:00:00Z"}
HELD = build.condition("Submitted", "False", "WaitingForSlot")


def job(name: str, gateway: str = "kong", deleted: str = "", **status: Any) -> tuple[Key, dict[str, Any]]:
    metadata = {"creationTimestamp": "2026-03-01T12:00:00Z", **({"deletionTimestamp": deleted} if deleted else {})}
    spec = {"gatewayRef": {"name": gateway}}
    return Key(BATCHJOB, "team-a", name), {"metadata": metadata, "spec": spec, "status": status}


def batch(hour: int, status: str = "in_progress") -> dict[str, str]:
    return {"id": f"batch-{hour}", "submissionTime": f"2026-03-03T{hour:02d}:00:00Z", "status": status}


def waited(*jobs: tuple[Key, dict[str, Any]]) -> dict[str, float]:
    """Give the hours that are told, by phase."""
    metrics = Metrics("1")
    metrics.tell(Jobs(lambda: list(jobs), now=NOW.timestamp))
    name = "llmbatch_oldest_unfinished_batch_seconds"
    (family,) = [family for family in metrics.registry.collect() if family.name == name]
    return {sample.labels["phase"]: sample.value / HOUR for sample in family.samples}


def test_a_job_waits_for_its_oldest_batch_that_runs_however_old_it_is_itself() -> None:
    one = job("one", phase="InProgress", batches=[batch(9)])
    several = job("several", phase="Validating", batches=[batch(1, "completed"), batch(8), batch(11)])
    assert waited(one, several) == {"InProgress": 3, "Validating": 4}


def test_a_job_without_a_batch_waits_since_it_was_made_and_with_ended_ones_since_the_newest() -> None:
    new = job("new", phase="Pending")
    retried = job("retried", phase="Collecting", batches=[batch(1, "completed"), batch(10, "failed")])
    assert waited(new, retried) == {"Pending": 48, "Collecting": 2}


def test_who_stands_in_line_for_tokens_or_a_place_is_not_told_of() -> None:
    assert waited(job("queued", phase="Uploading", queue=QUEUE)) == {}
    assert waited(job("held", phase="Submitting", conditions=[HELD])) == {}
    ready = build.condition("Ready", "True", "Submitted")
    early = job("early", phase="Submitting", conditions=[ready, HELD], batches=[batch(1, "completed")])
    assert waited(early) == {}


def test_who_has_just_left_a_long_line_is_not_told_of_but_who_never_stood_in_one_is() -> None:
    queued = job("queued", phase="Uploading", queue=QUEUE)
    left, elsewhere = job("left", phase="Uploading"), job("elsewhere", "other", phase="Submitting")
    assert waited(queued, left, elsewhere) == {"Submitting": 48}


def test_a_line_does_not_hide_a_batch_that_never_ends_nor_results_that_nobody_stores() -> None:
    stuck = job("stuck", phase="Uploading", queue=QUEUE, batches=[batch(2)])
    late = job("late", phase="Collecting", batches=[batch(3, "completed")])
    assert waited(stuck, late) == {"Uploading": 10, "Collecting": 9}


def test_what_waits_for_a_person_or_has_ended_is_told_of_elsewhere() -> None:
    stalled = job("stalled", phase="Collecting", conditions=[build.condition("Stalled", "True", "OutputExists")])
    ended = job("ended", phase="Complete", conditions=[build.condition("Complete", "True", "Succeeded")])
    assert waited(stalled, ended) == {}


def test_a_job_that_is_deleted_waits_since_then() -> None:
    assert waited(job("gone", deleted="2026-03-03T11:00:00Z", phase="Deleting", queue=QUEUE, batches=[batch(1)])) == {
        "Deleting": 1
    }


def test_uploads_that_fail_again_and_again_are_told_of_while_the_job_goes_on_by_itself() -> None:
    tried = {"uploadTries": {"failures": 9, "lastTime": "2026-03-03T09:00:00Z", "generation": 1}}
    jobs = [job("a", phase="Uploading", batches=[{"uploadTries": {"failures": 2}}, tried]), job("b", phase="Pending")]
    metrics = Metrics("1")
    metrics.tell(Jobs(lambda: list(jobs), now=NOW.timestamp))
    assert metrics.registry.get_sample_value("llmbatch_failed_uploads_in_a_row") == 9
    jobs[0][1]["status"]["conditions"] = [build.condition("Stalled", "True", "UploadUnanswered")]
    assert metrics.registry.get_sample_value("llmbatch_failed_uploads_in_a_row") == 0
