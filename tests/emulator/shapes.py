"""File and batch objects as they go over the wire, member for member and in the order of each service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.emulator import lifecycle
from tests.emulator.config import Config
from tests.emulator.records import BatchRecord, FileRecord

AZURE_WINDOW_SHORTFALL_SECONDS = 3
LATE_SECONDS = {"output": 3.0, "error": 6.0}
"""When a batch that asks for late ids names its files, after its end."""


def file_status(record: FileRecord, config: Config, now: float) -> str:
    if record.purpose == "batch" and now < record.created + config.file_pending_seconds:
        return "pending" if config.dialect == "azure" else "uploaded"
    return config.file_final_status if record.purpose == "batch" else "processed"


def file_object(record: FileRecord, config: Config, now: float) -> dict[str, Any]:
    status = file_status(record, config, now)
    details = config.file_status_details if status == config.file_final_status else None
    shown: dict[str, Any] = {
        "status": status,
        "bytes": record.bytes,
        "purpose": record.purpose,
        "filename": record.filename,
        "id": record.id,
        "created_at": int(record.created),
        "object": "file",
    }
    if record.purpose != "batch" and not config.quirks.output_bytes:
        del shown["bytes"]
    if config.dialect == "openai":
        return {**shown, "expires_at": record.expires_at, "status_details": details}
    if record.expires_at is not None:
        shown["expires_at"] = record.expires_at
    if details is not None:
        shown["status_details"] = details
    return shown


def batch_object(batch: BatchRecord, config: Config, now: float) -> dict[str, Any]:
    config = config.of(batch.metadata)
    shown = _azure(batch, config, now) if config.dialect == "azure" else _openai(batch, config, now)
    if config.quirks.counts == "absent":
        del shown["request_counts"]
    for kind, late in (("output", config.quirks.late_output_seconds), ("error", config.quirks.late_error_seconds)):
        seconds = LATE_SECONDS[kind] if batch.emulates == "late-ids" else late
        if batch.is_terminal and now < batch.since + seconds:
            shown[f"{kind}_file_id"] = None
    return shown


def _azure(batch: BatchRecord, config: Config, now: float) -> dict[str, Any]:
    times = _times(batch, config, azure=True)
    # The service has no ids yet, and says so with empty strings; the endpoint it reads from the input file.
    unset = None if batch.is_terminal else ""
    return {
        "cancelled_at": times["cancelled"],
        "cancelling_at": times["cancelling"],
        "completed_at": times["completed"],
        "completion_window": batch.completion_window,
        "created_at": times["created"],
        "error_file_id": batch.error_file_id or (_error_file(config) if batch.status == "completed" else unset),
        "expired_at": times["expired"],
        "expires_at": times["expires"],
        "failed_at": times["failed"],
        "finalizing_at": times["finalizing"],
        "id": batch.id,
        "in_progress_at": times["in_progress"],
        "input_file_id": batch.input_file_id,
        "errors": _errors(batch, config),
        "metadata": batch.metadata,
        "object": "batch",
        "output_file_id": batch.output_file_id or unset,
        "request_counts": _counts(batch, config, now),
        "status": _status(batch, config, now),
        "endpoint": "" if batch.status == "validating" else batch.endpoint,
    }


def _openai(batch: BatchRecord, config: Config, now: float) -> dict[str, Any]:
    times = _times(batch, config, azure=False)
    usage = batch.usage or {"input": 0, "output": 0}
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": _errors(batch, config),
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": _status(batch, config, now),
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id or (_error_file(config) if batch.status == "completed" else None),
        "created_at": times["created"],
        "in_progress_at": times["in_progress"],
        "expires_at": times["expires"],
        "finalizing_at": times["finalizing"],
        "completed_at": times["completed"],
        "failed_at": times["failed"],
        "expired_at": times["expired"],
        "cancelling_at": times["cancelling"],
        "cancelled_at": times["cancelled"],
        "request_counts": _counts(batch, config, now),
        "usage": {
            "input_tokens": usage["input"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["output"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["input"] + usage["output"],
        },
        "metadata": batch.metadata,
    }


def _error_file(config: Config) -> str | None:
    """Of a batch without a failed line: "" is shown as it is, an empty file has an id of its own by now."""
    return "" if config.quirks.error_file == "" else None


def _times(batch: BatchRecord, config: Config, *, azure: bool) -> dict[str, Any]:
    seconds: dict[str, float | None] = {
        status: batch.times.get(status)
        for status in ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    }
    seconds["created"] = batch.created
    seconds["expires"] = int(batch.created) + config.window_seconds - (AZURE_WINDOW_SHORTFALL_SECONDS if azure else 0)
    quirks = config.quirks
    if quirks.in_progress_at is False or (azure and quirks.in_progress_at is None):
        seconds["in_progress"] = None
    if quirks.failed_at is False or (azure and quirks.failed_at is None):
        # Seen in Azure's own example of a failed batch.
        seconds["completed"] = seconds["completed"] or seconds["failed"]
        seconds["failed"] = None
    return {name: None if at is None else _time(at, config) for name, at in seconds.items()}


def _time(at: float, config: Config) -> int | str:
    if config.quirks.timestamps == "unix":
        return int(at)
    return datetime.fromtimestamp(int(at), UTC).isoformat()


def _status(batch: BatchRecord, config: Config, now: float) -> str:
    quirks = config.quirks
    status = batch.status
    if status == "in_progress" and quirks.unknown_status and now < batch.since + quirks.unknown_status_seconds:
        status = quirks.unknown_status
    if quirks.status_case == "capitalised":
        return "".join(word.capitalize() for word in status.split("_"))
    return status


def _errors(batch: BatchRecord, config: Config) -> dict[str, Any] | None:
    if not batch.errors:
        return None
    data = [_entry(entry, config) for entry in batch.errors]
    return {"object": "list", "data": data}


def _entry(entry: dict[str, Any], config: Config) -> dict[str, Any]:
    # Azure's documented empty_file has no more than these two; its specification has the line as a string.
    if entry["code"] == "empty_file" and config.dialect == "azure":
        return {"code": entry["code"], "message": entry["message"]}
    line = entry.get("line")
    if config.dialect == "azure" and line is not None:
        line = str(line)
    return {**entry, "line": line, "param": entry.get("param")}


def _counts(batch: BatchRecord, config: Config, now: float) -> dict[str, int | None]:
    if config.quirks.counts == "null":
        return {"total": None, "completed": None, "failed": None}
    if config.quirks.counts == "zero":
        return {"total": 0, "completed": 0, "failed": 0}
    if batch.is_terminal:
        return {"total": batch.total, "completed": batch.completed, "failed": batch.failed}
    processed = lifecycle.processed_lines(batch, config, now)
    # Until the results are made, `failed` is how many lines of the whole input will fail.
    failed = processed * batch.failed // batch.total if batch.total else 0
    return {"total": batch.total, "completed": processed - failed, "failed": failed}
