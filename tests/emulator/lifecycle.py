"""When a batch changes by itself. A function of what is recorded, the configuration and the time: nothing runs meanwhile."""

from __future__ import annotations

from tests.emulator.config import Config
from tests.emulator.records import BatchRecord


def next_change(batch: BatchRecord, config: Config, now: float) -> tuple[str, float] | None:
    """The next status and the time it was entered, or None while the present one lasts.

    Each step is counted from the last, so a configuration changed live never takes a batch back.
    """
    match batch.status:
        case "validating":
            status, due = "in_progress", batch.since + config.validating_seconds
        case "in_progress":
            status, due = "finalizing", batch.since + config.in_progress_seconds
            end_of_window = max(batch.created + config.window_seconds, batch.since)
            if batch.emulates == "expires":
                end_of_window = batch.since + config.in_progress_seconds / 2
            if (config.expires or batch.emulates == "expires") and end_of_window < due:
                status, due = "expired", end_of_window
        case "finalizing":
            status, due = "completed", batch.since + config.finalizing_seconds
        case "cancelling":
            status = "completed" if batch.outlives_cancel else "cancelled"
            due = batch.since + config.cancelling_seconds
        case _:
            return None
    return (status, due) if now >= due else None


def processed_lines(batch: BatchRecord, config: Config, now: float) -> int:
    """How many lines were answered by now: they are, evenly over the time in progress."""
    if batch.done is not None:
        return batch.done
    if batch.status == "validating":
        return 0
    if batch.status != "in_progress" or config.in_progress_seconds == 0:
        return batch.total
    return min(batch.total, int(batch.total * (now - batch.since) / config.in_progress_seconds))
