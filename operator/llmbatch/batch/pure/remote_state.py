"""What a BatchJob has at the provider, read from its stored status without judging it: also from one that can't be read."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from llmbatch.api.batch_status import Batch, entries
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure import facts, lifecycle
from llmbatch.provider.pure.wire import RemoteBatch

Json = dict[str, Any]

ENDED = ("Complete", "Failed")
_NUMBER = re.compile(r"[0-9]{1,6}")
"""Of a part or an attempt, as metadata name them: what is longer is none, and would fit into no field."""


def at_the_provider(raw: Json) -> list[str]:
    """Name the batches and files that a stored object tells of."""
    status = raw.get("status")
    if not isinstance(status, dict):
        return []
    batches = entries(status)
    named = [f"batch {batch['id']}" for batch in batches if batch.get("id")]
    files = [f"file {batch[name]}" for batch in batches for name in sorted(batch) if name.endswith("FileID")]
    owed = [batch.get("inputFileID") for batch in batches if batch.get("submission") and not batch.get("id")]
    named += [f"perhaps a batch of input file {file}" for file in owed if file]
    return list(dict.fromkeys([*named, *files]))


def cleanup_seconds(raw: Json, default: float) -> float:
    """Give how long the deletion of a stored object may take: by its deletionPolicy, if that can be read."""
    spec = raw.get("spec")
    policy = spec.get("deletionPolicy") if isinstance(spec, dict) else None
    given = policy.get("cleanupTimeoutSeconds") if isinstance(policy, dict) else None
    return given if isinstance(given, int) and not isinstance(given, bool) and given > 0 else default


def discards_files(raw: Json) -> bool:
    """Tell whether the deletion of a stored object takes its results out of a volume."""
    spec, status = raw.get("spec"), raw.get("status")
    if not isinstance(spec, dict) or not isinstance(status, dict) or not status.get("output"):
        return False
    policy, output = spec.get("deletionPolicy"), spec.get("output")
    asked = isinstance(policy, dict) and policy.get("output") == "Delete"
    return asked and isinstance(output, dict) and bool(output.get("persistentVolumeClaim"))


def has_parts(raw: Json) -> bool:
    """Tell whether a stored object has several batches."""
    return bool((raw.get("status") or {}).get("parts"))


def submissions(raw: Json) -> tuple[str, str]:
    """Give when the oldest batch that runs, and the newest of all, were made for a stored object; "" without any."""
    status = raw.get("status")
    made = [
        (str(batch["submissionTime"]), batch.get("status") in lifecycle.ENDED)
        for batch in (entries(status) if isinstance(status, dict) else [])
        if batch.get("submissionTime")
    ]
    return min((moment for moment, ended in made if not ended), default=""), max(made, default=("", False))[0]


def failed_uploads(raw: Json) -> int:
    """Give how many uploads of one batch of a stored object have failed in a row, the most."""
    status = raw.get("status")
    found = entries(status) if isinstance(status, dict) else []
    told = ((batch.get("uploadTries") or {}).get("failures") for batch in found)
    return max((number for number in told if isinstance(number, int)), default=0)


def is_ended(raw: Json) -> bool:
    """Tell whether a stored object is Complete or Failed."""
    conditions = (raw.get("status") or {}).get("conditions") or []
    return any(item.get("type") in ENDED and item.get("status") == "True" for item in conditions)


def found_again(status: BatchJobStatus, found: Iterable[RemoteBatch], now: datetime, *, whole: bool) -> BatchJobStatus:
    """Record the batches of a deleted job that has lost its status: so much of each that it can be removed.

    Args:
        status: The job's.
        found: Its batches, as they are listed.
        now: The moment.
        whole: There are no others.
    """
    batches: list[Batch] = []
    for remote in found:
        part, _, attempt = remote.metadata.get("llmbatch_part", "").partition(".")
        batch = Batch(
            part=int(part) if _NUMBER.fullmatch(part) else 0,
            attempt=int(attempt) if _NUMBER.fullmatch(attempt) else 1,
            requests=remote.counts.total,
            duplicates_checked_time=now if whole else None,
        )
        batches += facts.with_remote(BatchJobStatus(batches=[batch]), remote, now).batches
    return status.model_copy(update={"parts": len(batches), "batches": batches})
