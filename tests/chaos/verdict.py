"""Judges a campaign, from the emulator's record and what is stored alone."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.kinds import Kind

Json = dict[str, Any]


@dataclass
class Made:
    """A job of the campaign."""

    name: str
    kind: Kind
    uid: str = ""
    deleted: bool = False


@dataclass
class Evidence:
    """All that is known at the end."""

    jobs: dict[str, Json]
    """The BatchJobs that are still there, by name."""
    batches: list[Json]
    files: list[Json]
    stored: dict[str, tuple[str | None, str | None]]
    """By job: the text of the results and of the failed requests."""


@dataclass
class Verdict:
    """What was wrong, one line each."""

    duplicates: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    """Credentials and prompts in what the operator tells; found while the campaign ran."""

    @property
    def complaints(self) -> list[str]:
        """Everything that was wrong."""
        named: tuple[tuple[str, list[str]], ...] = (
            ("duplicate", self.duplicates),
            ("lost", self.lost),
            ("stuck", self.stuck),
            ("wrong", self.wrong),
        )
        named = (*named, ("left", self.left), ("secret", self.secrets))
        return [f"{word}: {line}" for word, lines in named for line in lines]


def judge(made: list[Made], seen: Evidence) -> Verdict:
    """Judge every job."""
    found = Verdict()
    by_uid: dict[str, list[Json]] = {}
    for batch in seen.batches:
        uid = (batch.get("metadata") or {}).get("llmbatch_uid", "")
        by_uid.setdefault(uid, []).append(batch)
    known = {job.uid for job in made}
    found.duplicates += [
        f"a batch of nobody's: {batch['id']}" for uid in by_uid if uid not in known for batch in by_uid[uid]
    ]
    for job in made:
        batches = [batch for batch in by_uid.get(job.uid, []) if not was_short_of_quota(batch)]
        for part, count in Counter(_part(batch) for batch in batches).items():
            if count > 1:
                found.duplicates.append(
                    f"{job.name}: {count} batches of part {part}: {[item['id'] for item in batches]}"
                )
        if any(int(_part(batch).partition(".")[0]) >= job.kind.parts for batch in batches):
            found.wrong.append(f"{job.name}: batches of parts that it does not have: {batches}")
        _judge_one(job, batches, seen, found)
    found.left += [f"{file['filename'] or file['id']}" for file in seen.files if not file["deleted"]]
    return found


def _part(batch: Json) -> str:
    return str((batch.get("metadata") or {}).get("llmbatch_part") or "0")


def _attempt(batch: Json) -> int:
    return int(_part(batch).partition(".")[2] or 1)


def _judge_attempts(job: Made, batches: list[Json], found: Verdict) -> None:
    """Judge how many requests were sent again: none that was answered, and none twice in one attempt."""
    sent: Counter[int] = Counter()
    for batch in batches:
        if _attempt(batch) > 1:
            sent[_attempt(batch)] += batch["object"]["request_counts"]["total"]
    for attempt in range(2, max([*sent, job.kind.retries + 1]) + 1):
        if sent[attempt] != job.kind.sent_again(attempt):
            wanted = job.kind.sent_again(attempt)
            found.duplicates.append(f"{job.name}: {sent[attempt]} requests in attempt {attempt}, not {wanted}")


def was_short_of_quota(batch: Json) -> bool:
    """Tell whether a batch was failed before it ran, so that another one of the same file is due."""
    shown = batch.get("object") or {}
    errors = (shown.get("errors") or {}).get("data") or []
    return shown.get("status") == "failed" and {item["code"] for item in errors} == {"token_limit_exceeded"}


def _judge_one(job: Made, batches: list[Json], seen: Evidence, found: Verdict) -> None:
    statuses = {batch["object"]["status"] for batch in batches}
    status = min(statuses, default=None)
    there = seen.jobs.get(job.name)
    if job.deleted:
        if there is not None:
            found.stuck.append(f"{job.name}: deleted, and still there: {_conditions(there)}")
        elif not statuses <= {"completed", "cancelled", "failed"}:
            found.wrong.append(f"{job.name}: deleted, and its batches are {statuses}")
        return
    if there is None:
        found.lost.append(f"{job.name}: the BatchJob is gone")
        return
    said = _conditions(there)
    if not {"Complete", "Failed"} & said.keys() or there["metadata"].get("finalizers"):
        found.stuck.append(f"{job.name}: {said} {there['status'].get('phase')}")
        return
    first = [batch for batch in batches if _attempt(batch) == 1]
    _judge_attempts(job, batches, found)
    if len(statuses) > 1 or (statuses == {"completed"} and len(first) != job.kind.parts):
        found.wrong.append(f"{job.name}: {len(batches)} of {job.kind.parts} batches, which are {statuses}")
    kind, reason = job.kind.verdict(status)
    if said.get(kind) != reason:
        found.wrong.append(f"{job.name}: its batch is {status}, so it should be {kind}/{reason}; it is {said}")
    if status == "completed":
        _judge_results(job, seen, found)
    if status == "expired":
        _judge_part(job, batches[0], seen, found)


def _judge_results(job: Made, seen: Evidence, found: Verdict) -> None:
    good, bad = seen.stored.get(job.name, (None, None))
    expected = Counter(job.kind.good), Counter(set(job.kind.custom_ids) - job.kind.good)
    for what, text, wanted in (("results", good, expected[0]), ("errors", bad, expected[1])):
        got = _custom_ids(text)
        in_order = [custom_id for custom_id in job.kind.custom_ids if custom_id in wanted]
        if got == wanted and list(got) != in_order:
            found.wrong.append(f"{job.name}: {what} are in the order {list(got)}, not {in_order}")
        if got != wanted:
            found.lost.append(f"{job.name}: {what} have {dict(got)}, not {dict(wanted)}")


def _judge_part(job: Made, batch: Json, seen: Evidence, found: Verdict) -> None:
    """Judge results of which some came: what the provider answered is there, and every request is told of once."""
    good, bad = (_custom_ids(text) for text in seen.stored.get(job.name, (None, None)))
    answered = batch["object"]["request_counts"]["completed"]
    if good.total() != answered or not good.keys() <= job.kind.good:
        found.lost.append(f"{job.name}: results have {dict(good)}, and the provider answered {answered}")
    if good + bad != Counter(job.kind.custom_ids):
        found.lost.append(f"{job.name}: results and errors have {dict(good + bad)}, not each of {job.kind.custom_ids}")


def _custom_ids(text: str | None) -> Counter[str]:
    return Counter(json.loads(line)["custom_id"] for line in (text or "").splitlines())


def _conditions(job: Json) -> dict[str, str]:
    conditions = (job.get("status") or {}).get("conditions") or []
    return {item["type"]: item["reason"] for item in conditions if item["status"] == "True" or item["type"] == "Ready"}


def told(counts: Counter[str]) -> str:
    """Say how much there was of what."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
