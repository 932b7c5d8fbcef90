"""The judge of a campaign sees each kind of fault, and has nothing to say when there is none."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.kinds import KINDS
from tests.chaos.verdict import Evidence, Made, judge

Json = dict[str, Any]

EXPIRED = next(kind for kind in KINDS if kind.name == "expired")
PARTLY = next(kind for kind in KINDS if kind.name == "partly")
MADE = [Made("partly-0", PARTLY, uid="uid-0"), Made("partly-1", PARTLY, uid="uid-1", deleted=True)]


def text(custom_ids: set[str]) -> str:
    return "".join(
        json.dumps({"custom_id": custom_id}) + "\n" for custom_id in PARTLY.custom_ids if custom_id in custom_ids
    )


def batch(number: int, status: str = "completed") -> Json:
    return {"id": f"batch-{number}", "metadata": {"llmbatch_uid": f"uid-{number}"}, "object": {"status": status}}


def job(kind: str = "Complete", reason: str = "CompletedWithFailures") -> Json:
    conditions = [{"type": item, "status": "True", "reason": reason} for item in (kind, "Ready")]
    return {"metadata": {"name": "partly-0"}, "status": {"conditions": conditions}}


def evidence() -> Evidence:
    stored: dict[str, tuple[str | None, str | None]] = {
        "partly-0": (text(PARTLY.good), text(set(PARTLY.custom_ids) - PARTLY.good))
    }
    file = {"id": "file-1", "filename": "uid-0-0-1.jsonl", "deleted": True}
    return Evidence({"partly-0": job()}, [batch(0), batch(1, "cancelled")], [file], stored)


def test_nothing_wrong_is_nothing_to_say() -> None:
    assert judge(MADE, evidence()).complaints == []


def _two(seen: Evidence) -> None:
    seen.batches.append({**batch(0), "id": "batch-9"})


def _nobodys(seen: Evidence) -> None:
    seen.batches.append(batch(7))


def _half(seen: Evidence) -> None:
    seen.stored["partly-0"] = (text({"one"}), seen.stored["partly-0"][1])


def _nowhere(seen: Evidence) -> None:
    seen.stored.clear()


def _gone(seen: Evidence) -> None:
    seen.jobs.clear()


def _working(seen: Evidence) -> None:
    seen.jobs["partly-0"] = job("Reconciling", "InProgress")


def _held(seen: Evidence) -> None:
    seen.jobs["partly-0"]["metadata"]["finalizers"] = ["llmbatch.io/remote-cleanup"]


def _undeleted(seen: Evidence) -> None:
    seen.jobs["partly-1"] = job()


def _praised(seen: Evidence) -> None:
    seen.jobs["partly-0"] = job(reason="Succeeded")


def _running(seen: Evidence) -> None:
    seen.batches[1] = batch(1, "in_progress")


def _left(seen: Evidence) -> None:
    seen.files[0]["deleted"] = False


@pytest.mark.parametrize(("harm", "told"), [
    pytest.param(_two, "duplicate: partly-0: 2 batches", id="two batches of one job"),
    pytest.param(_nobodys, "duplicate: a batch of nobody's", id="a batch of no job"),
    pytest.param(_half, "lost: partly-0: results have", id="results that lack requests"),
    pytest.param(_nowhere, "lost: partly-0: results have", id="no results at all"),
    pytest.param(_gone, "lost: partly-0: the BatchJob is gone", id="a job that vanished"),
    pytest.param(_working, "stuck: partly-0", id="a job that has not ended"),
    pytest.param(_held, "stuck: partly-0", id="a job that keeps its finalizer"),
    pytest.param(_undeleted, "stuck: partly-1: deleted, and still there", id="a deleted job that is still there"),
    pytest.param(_praised, "wrong: partly-0", id="a wrong verdict"),
    pytest.param(_running, "wrong: partly-1: deleted, and its batches are", id="a batch that runs on"),
    pytest.param(_left, "left: uid-0-0-1.jsonl", id="a file that is left"),
])  # fmt: skip
def test_each_fault_is_seen(harm: Callable[[Evidence], None], told: str) -> None:
    seen = copy.deepcopy(evidence())
    harm(seen)
    complaints = judge(MADE, seen).complaints
    assert any(complaint.startswith(told) for complaint in complaints), complaints


@pytest.mark.parametrize(("good", "bad", "told"), [
    pytest.param({"one", "three"}, set(EXPIRED.custom_ids) - {"one", "three"}, "", id="all that was answered"),
    pytest.param({"one"}, set(EXPIRED.custom_ids) - {"one"}, "lost: e: results have", id="an answer is missing"),
    pytest.param({"one", "three"}, {"five"}, "lost: e: results and errors have", id="requests that nothing tells of"),
])  # fmt: skip
def test_what_an_expired_batch_had_answered_is_to_be_there(good: set[str], bad: set[str], told: str) -> None:
    expired = {**batch(0, "expired"), "object": {"status": "expired", "request_counts": {"completed": 2}}}
    found = {"metadata": {"name": "e"}, "status": job("Failed", "BatchExpired")["status"]}
    seen = Evidence({"e": found}, [expired], [], {"e": (text(good), text(bad))})
    complaints = judge([Made("e", EXPIRED, uid="uid-0")], seen).complaints
    assert [complaint.startswith(told) for complaint in complaints] == ([True] if told else [])


# --- jobs with several batches ---------------------------------------------------------------------------------------

SPLIT = next(kind for kind in KINDS if kind.name == "split")


def split_evidence() -> Evidence:
    stored: dict[str, tuple[str | None, str | None]] = {
        "split-0": ("".join(json.dumps({"custom_id": name}) + "\n" for name in SPLIT.custom_ids), None)
    }
    batches = [
        {**batch(0), "id": f"batch-{part}", "metadata": {"llmbatch_uid": "uid-0", "llmbatch_part": str(part)}}
        for part in range(SPLIT.parts)
    ]
    return Evidence({"split-0": job(reason="Succeeded")}, batches, [], stored)


def judged(seen: Evidence) -> list[str]:
    return [line.split(":")[0] for line in judge([Made("split-0", SPLIT, uid="uid-0")], seen).complaints]


def test_one_batch_of_each_part_is_nothing_to_say() -> None:
    assert judged(split_evidence()) == []


def test_two_of_one_part_are_a_duplicate() -> None:
    seen = split_evidence()
    seen.batches.append({**seen.batches[1], "id": "batch-9"})
    assert "duplicate" in judged(seen)


def test_a_part_without_a_batch_and_results_in_another_order_are_wrong() -> None:
    seen = split_evidence()
    seen.batches.pop()
    assert "wrong" in judged(seen)
    seen = split_evidence()
    lines = (seen.stored["split-0"][0] or "").splitlines(keepends=True)
    seen.stored["split-0"] = ("".join(reversed(lines)), None)
    assert judged(seen) == ["wrong"]


# --- jobs whose requests are sent again ------------------------------------------------------------------------------

RETRY = next(kind for kind in KINDS if kind.name == "retry")


def retry_evidence(*sent: int) -> Evidence:
    """Give the evidence of a job that has sent so many requests in its attempts."""
    bad = {"three--status-400"}

    def text(*names: str) -> str:
        return "".join(json.dumps({"custom_id": name}) + "\n" for name in names)

    good = [name for name in RETRY.custom_ids if name not in bad]
    batches = []
    for attempt, count in enumerate(sent, 1):
        label = "0" if attempt == 1 else f"0.{attempt}"
        made = {**batch(0), "id": f"batch-{attempt}", "metadata": {"llmbatch_uid": "uid-0", "llmbatch_part": label}}
        batches.append({**made, "object": {"status": "completed", "request_counts": {"total": count}}})
    said = job(reason="CompletedWithFailures")
    return Evidence({"retry-0": said}, batches, [], {"retry-0": (text(*good), text(*bad))})


def of_retry(seen: Evidence) -> list[str]:
    return [line.split(":")[0] for line in judge([Made("retry-0", RETRY, uid="uid-0")], seen).complaints]


def test_each_attempt_with_what_failed_before_is_nothing_to_say() -> None:
    assert of_retry(retry_evidence(6, 3, 1)) == []


def test_requests_that_are_sent_again_though_they_were_answered_are_duplicates() -> None:
    assert of_retry(retry_evidence(6, 4, 1)) == ["duplicate"]
    assert of_retry(retry_evidence(6, 3, 1, 1)) == ["duplicate"]


def test_an_attempt_that_was_not_made_is_told() -> None:
    assert of_retry(retry_evidence(6, 3)) == ["duplicate"]
