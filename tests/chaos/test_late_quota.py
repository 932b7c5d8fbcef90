"""Quota that is told late: the refused batch is no duplicate, and a job that ends for it is wrong."""

from typing import Any

from tests.chaos.kinds import KINDS
from tests.chaos.verdict import Evidence, Made, judge

KIND = next(kind for kind in KINDS if kind.name == "quota-late")


def batch(number: int, status: str, code: str = "") -> dict[str, Any]:
    errors = {"data": [{"code": code}]} if code else None
    return {"id": f"b{number}", "metadata": {"llmbatch_uid": "u"}, "object": {"status": status, "errors": errors}}


def job(kind: str, reason: str) -> dict[str, Any]:
    return {"metadata": {}, "status": {"conditions": [{"type": kind, "status": "True", "reason": reason}]}}


def test_the_refused_batch_is_no_duplicate_and_its_job_is_to_succeed() -> None:
    text = "".join(f'{{"custom_id": "{name}"}}\n' for name in KIND.custom_ids)
    both = [batch(1, "failed", "token_limit_exceeded"), batch(2, "completed")]
    seen = Evidence({"q": job("Complete", "Succeeded")}, both, [], {"q": (text, "")})
    assert judge([Made("q", KIND, "u")], seen).complaints == []
    ended = Evidence({"q": job("Failed", "BatchFailed")}, both[:1], [], {})
    assert any("should be Complete/Succeeded" in line for line in judge([Made("q", KIND, "u")], ended).complaints)
