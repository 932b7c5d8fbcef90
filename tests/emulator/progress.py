"""Takes a batch as far as the clock says: validates its input and makes its results when they are first needed."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from typing import Any

from tests.emulator import lifecycle, results, scan
from tests.emulator.instance import Instance
from tests.emulator.records import BatchRecord, FileRecord, new_result_id
from tests.emulator.scan import Problem


async def settle(instance: Instance, batch_id: str) -> BatchRecord:
    """The batch as it is now. Whoever asks first does the work; who asks meanwhile waits for it."""
    batch = instance.batches[batch_id]
    config = instance.config.of(batch.metadata)
    if lifecycle.next_change(batch, config, instance.now()) is None:
        return batch
    async with instance.locks[batch_id]:
        batch = instance.batches[batch_id]
        while (change := lifecycle.next_change(batch, config, instance.now())) is not None:
            batch = await _changed(instance, batch, *change)
            instance.keep_batch(batch)
            if batch.is_terminal:
                instance.drop_unused_content(batch.input_file_id)
    return batch


async def _changed(instance: Instance, before: BatchRecord, status: str, at: float) -> BatchRecord:
    # A copy, so that nobody sees a status whose files aren't there yet.
    batch = copy.deepcopy(before)
    if batch.status == "validating":
        problems = await _validate(instance, batch)
        if problems:
            batch.errors = [dataclasses.asdict(problem) for problem in problems[: instance.config.max_errors]]
            batch.total = batch.failed = 0
            status = "failed"
    if status == "expired":
        batch.done = lifecycle.processed_lines(before, instance.config, at)
    batch.enter(status, at)
    if status in ("completed", "expired", "cancelled") and batch.total:
        await _make_results(instance, batch, at)
    return batch


async def _validate(instance: Instance, batch: BatchRecord) -> list[Problem]:
    config = instance.config.of(batch.metadata)
    if config.forced_errors:
        return [_forced(entry) for entry in config.forced_errors]
    if batch.completion_window != "24h":
        message = f"Invalid completion_window '{batch.completion_window}': only '24h' is supported."
        return [Problem("invalid_request", message, param="completion_window")]
    if not instance.store.content(batch.input_file_id).exists():
        message = f"Cannot find file {batch.input_file_id}, or the organization does not have access to it."
        return [Problem("invalid_request", message, param="file_id")]
    found = await asyncio.to_thread(scan.scan, instance.store.content(batch.input_file_id), batch, config)
    if found.problems:
        return found.problems
    batch.total, batch.failed, batch.model = found.total, found.failing, found.model
    if batch.emulates == "late-quota" and _is_first(instance, batch):
        return [Problem("token_limit_exceeded", quota_message(config.dialect, batch.model, 0))]
    if config.quota_tokens is not None and not config.quota_fail_fast:
        return await _over_quota(instance, batch, config.quota_tokens)
    return []


def _is_first(instance: Instance, batch: BatchRecord) -> bool:
    """Tell whether no other batch was made of the same file before."""
    others = [other for other in instance.batches.values() if other.input_file_id == batch.input_file_id]
    return min(others, key=lambda other: other.created).id == batch.id


def _forced(entry: dict[str, Any]) -> Problem:
    return Problem(
        entry.get("code", "invalid_request"),
        entry.get("message", "Forced by the emulator's configuration."),
        entry.get("line"),
        entry.get("param"),
    )


async def _over_quota(instance: Instance, batch: BatchRecord, limit: int) -> list[Problem]:
    # Only older batches are waited for, so two that are validated at once don't wait for each other.
    older = [other.id for other in instance.batches.values() if (other.created, other.id) < (batch.created, batch.id)]
    enqueued = 0
    for other_id in older:
        other = await settle(instance, other_id)
        if not other.is_terminal and other.model == batch.model:
            enqueued += other.tokens
    if enqueued + batch.tokens <= limit:
        return []
    return [Problem("token_limit_exceeded", quota_message(instance.config.dialect, batch.model, limit))]


def quota_message(dialect: str, model: str | None, limit: int) -> str:
    if dialect == "azure":
        return (
            f"The number of enqueued tokens has surpassed the configured limit of {limit} for the deployment '{model}'."
            " Please either increase the limit or try again once the current jobs have finished."
        )
    return (
        f"Enqueued token limit reached for {model} in organization org-emulated. Limit: {limit:,} enqueued tokens."
        " Please try again once some in_progress batches have been completed."
    )


async def _make_results(instance: Instance, batch: BatchRecord, at: float) -> None:
    config, store = instance.config.of(batch.metadata), instance.store
    targets = results.Targets(store.new_path(), store.new_path())
    source = store.content(batch.input_file_id)
    written = await asyncio.to_thread(results.write, source, targets, batch, config, int(at), tries=instance.tries)
    instance.tries.keep()
    batch.completed, batch.failed, batch.usage = written.completed, written.failed, written.usage
    keep_empty = config.quirks.error_file == "empty_file" and batch.status == "completed"
    for path, size, kind in zip(targets, (written.output_bytes, written.error_bytes), ("output", "error"), strict=True):
        if size == 0 and not (kind == "error" and keep_empty) and not (kind == "output" and config.quirks.output_file):
            path.unlink()
            continue
        record = FileRecord(
            id=new_result_id(config.dialect),
            filename=f"{batch.id}_{kind}.jsonl",
            purpose="batch_output",
            bytes=size,
            created=at,
        )
        if batch.output_expires_seconds is not None:
            record.expires_at = int(at) + batch.output_expires_seconds
        store.keep_content(path, record.id)
        instance.keep_file(record)
        if kind == "output":
            batch.output_file_id = record.id
        else:
            batch.error_file_id = record.id
