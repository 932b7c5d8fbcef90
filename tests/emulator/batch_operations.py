"""Creating, reading, listing and cancelling of batches."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.emulator import lifecycle, progress, shapes
from tests.emulator.exchange import Exchange
from tests.emulator.instance import Instance
from tests.emulator.records import BatchRecord, new_batch_id
from tests.emulator.reply import Reply

OPENAI_ENDPOINTS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)
CHARACTERS_PER_TOKEN = 4
UNLIMITED_TOKENS = 200_000_000  # what the header says when no quota is configured
DEFAULT_PAGE = 20
LARGEST_PAGE = 100
METADATA_PAIRS, METADATA_KEY, METADATA_VALUE = 16, 64, 512


async def create(exchange: Exchange) -> Reply:
    instance, config = exchange.instance, exchange.config
    body = await exchange.json()
    exchange.call.body = body
    if not isinstance(body, dict):
        return exchange.error(400, "We could not parse the JSON body of your request.", code=exchange.invalid)
    refusal = _parameter_refusal(exchange, body) or _metadata_refusal(exchange, body) or _file_refusal(exchange, body)
    if refusal is not None:
        return refusal
    batch = new_batch(instance, body)
    enqueued = await _enqueued_tokens(instance, batch)
    if config.quota_tokens is not None and config.quota_fail_fast and enqueued > config.quota_tokens:
        message = progress.quota_message(config.dialect, batch.model, config.quota_tokens)
        return exchange.error(400, message, code="token_limit_exceeded")
    instance.keep_batch(batch)
    exchange.call.answer_id = batch.id
    shown = shapes.batch_object(batch, config, batch.created)
    if config.dialect != "azure":
        return Reply(200, shown)
    headers = {
        "deployment-enqueued-tokens": str(enqueued),
        "deployment-maximum-enqueued-tokens": str(config.quota_tokens or UNLIMITED_TOKENS),
    }
    return Reply(201 if exchange.route.surface == "azure-v1" else 200, shown, headers)


def new_batch(instance: Instance, body: Mapping[str, Any]) -> BatchRecord:
    """A batch as it is at its creation, not kept yet."""
    now = instance.now()
    batch = BatchRecord(
        id=new_batch_id(instance.config.dialect),
        input_file_id=body["input_file_id"],
        endpoint=body["endpoint"],
        completion_window=body["completion_window"],
        created=now,
        since=now,
        metadata=body.get("metadata") if instance.config.keep_metadata else None,
        output_expires_seconds=(body.get("output_expires_after") or {}).get("seconds"),
    )
    file = instance.files.get(batch.input_file_id)
    path = instance.store.content(batch.input_file_id)
    if file is not None and path.exists():
        batch.model = _model_of_first_line(path)
        batch.tokens = file.bytes // CHARACTERS_PER_TOKEN
    return batch


def _parameter_refusal(exchange: Exchange, body: Mapping[str, Any]) -> Reply | None:
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(body.get(name), str) or not body[name]:
            return exchange.error(400, f"Missing required parameter: '{name}'.", code=exchange.invalid, param=name)
    expiry = body.get("output_expires_after")
    if expiry is not None and not (isinstance(expiry, dict) and isinstance(expiry.get("seconds"), int)):
        message = "Invalid value for 'output_expires_after'."
        return exchange.error(400, message, code=exchange.invalid, param="output_expires_after")
    # Azure accepts any endpoint and window here, and the batch fails by them.
    if exchange.config.dialect == "openai":
        for name, choices in (("endpoint", OPENAI_ENDPOINTS), ("completion_window", ("24h",))):
            if body[name] not in choices:
                listed = ", ".join(f"'{choice}'" for choice in choices)
                message = f"Invalid value: '{body[name]}'. Supported values are: {listed}."
                return exchange.error(400, message, code="invalid_value", param=name)
    return None


def _metadata_refusal(exchange: Exchange, body: Mapping[str, Any]) -> Reply | None:
    metadata = body.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        message = f"Invalid type for 'metadata': expected an object, but got {_kind(metadata)} instead."
        return _metadata_error(exchange, message, "invalid_type", "metadata")
    if len(metadata) > METADATA_PAIRS:
        message = (
            f"Invalid 'metadata': too many properties. Expected an object with at most {METADATA_PAIRS} properties."
        )
        return _metadata_error(exchange, message, "object_above_max_properties", "metadata")
    for key, value in metadata.items():
        name = f"metadata.{key}"
        if not isinstance(value, str):
            message = f"Invalid type for '{name}': expected a string, but got {_kind(value)} instead."
            return _metadata_error(exchange, message, "invalid_type", name)
        if len(key) > METADATA_KEY or len(value) > METADATA_VALUE:
            message = f"Invalid '{name}': a key has at most {METADATA_KEY} characters and a value {METADATA_VALUE}."
            return _metadata_error(exchange, message, "string_above_max_length", name)
    return None


def _metadata_error(exchange: Exchange, message: str, code: str, param: str) -> Reply:
    return exchange.error(
        400, message, code="invalidPayload" if exchange.config.dialect == "azure" else code, param=param
    )


def _kind(value: object) -> str:
    kinds = {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return kinds.get(type(value), "null")


def _file_refusal(exchange: Exchange, body: Mapping[str, Any]) -> Reply | None:
    """Azure looks at the file at once; on OpenAI an unknown file fails the batch."""
    if exchange.config.dialect == "openai":
        return None
    instance, file_id = exchange.instance, body["input_file_id"]
    record = instance.live_file(file_id)
    if record is None:
        return exchange.error(400, f"The input file '{file_id}' was not found.", code="invalidPayload")
    status = shapes.file_status(record, exchange.config, instance.now())
    if status != "processed":
        message = (
            f"The input file '{file_id}' is in '{status}' state. Only files with status 'Processed' are accepted for batch"
            " inferencing. Please check the file status and try again"
        )
        return exchange.error(400, message, code="invalidPayload")
    return None


async def _enqueued_tokens(instance: Instance, batch: BatchRecord) -> int:
    """This batch and the others of its deployment that aren't over."""
    total = batch.tokens
    for other_id in [other.id for other in instance.batches.values() if not other.is_terminal]:
        other = await progress.settle(instance, other_id)
        if not other.is_terminal and other.model == batch.model:
            total += other.tokens
    return total


def _model_of_first_line(path: Path) -> str | None:
    with path.open("rb") as file:
        line = file.readline()
    try:
        model = json.loads(line)["body"]["model"]
    except (ValueError, KeyError, TypeError):
        return None
    return model if isinstance(model, str) else None


async def get(exchange: Exchange) -> Reply:
    instance = exchange.instance
    if exchange.route.resource_id not in instance.batches:
        return _not_found(exchange)
    batch = await progress.settle(instance, exchange.route.resource_id)
    return Reply(200, shapes.batch_object(batch, exchange.config, instance.now()))


async def list_batches(exchange: Exchange) -> Reply:
    instance, config, query = exchange.instance, exchange.config, exchange.request.query_params
    if not config.list_supported:
        return exchange.error(404, "Resource not found", code="404")
    limit = exchange.whole_number("limit", DEFAULT_PAGE, LARGEST_PAGE)
    if isinstance(limit, Reply):
        return limit
    limit = max(1, min(limit, config.page_size))
    newest_first = config.list_order == "newest"
    if (orderby := re.fullmatch(r"created_at (asc|desc)", query.get("$orderby", ""))) is not None:
        newest_first = orderby.group(1) == "desc"
    shown_from = instance.now() - config.list_lag_seconds
    listed = [batch for batch in instance.batches.values() if batch.created <= shown_from]
    if config.list_order == "none":
        listed.sort(key=lambda batch: hashlib.sha256(batch.id.encode()).digest())
    else:
        listed.sort(key=lambda batch: batch.created, reverse=newest_first)
    after = query.get("after") if config.list_follows else None
    if after is not None:
        places = [place for place, batch in enumerate(listed) if batch.id == after]
        if not places:
            return _not_found(exchange, after)
        listed = listed[places[0] + 1 :]
    page = [await progress.settle(instance, batch.id) for batch in listed[:limit]]
    shown = [dataclasses.replace(batch, status="validating") for batch in page] if config.list_stale else page
    data = [shapes.batch_object(batch, config, instance.now()) for batch in shown]
    return Reply(
        200,
        {
            "object": "list",
            "data": data,
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": len(listed) > limit,
        },
    )


async def cancel(exchange: Exchange) -> Reply:
    instance = exchange.instance
    if exchange.route.resource_id not in instance.batches:
        return _not_found(exchange)
    await progress.settle(instance, exchange.route.resource_id)
    # Nobody may be halfway through changing the batch, or the cancellation would be overwritten.
    async with instance.locks[exchange.route.resource_id]:
        return _cancelled(exchange, instance.batches[exchange.route.resource_id])


def _cancelled(exchange: Exchange, batch: BatchRecord) -> Reply:
    instance, config = exchange.instance, exchange.config
    if batch.status not in config.cancel_allowed:
        message = f"Cannot cancel a batch with status '{batch.status}'."
        return exchange.error(409, message, code="conflict" if config.dialect == "azure" else None)
    if batch.status in ("validating", "in_progress", "finalizing"):
        now = instance.now()
        batch.outlives_cancel = not config.cancel_wins and batch.status != "validating"
        if not batch.outlives_cancel:
            batch.done = lifecycle.processed_lines(batch, config, now)
        batch.enter("cancelling", now)
        instance.keep_batch(batch)
    return Reply(200, shapes.batch_object(batch, config, instance.now()))


def _not_found(exchange: Exchange, batch_id: str | None = None) -> Reply:
    shown = exchange.route.resource_id if batch_id is None else batch_id
    code = "notFound" if exchange.config.dialect == "azure" else None
    return exchange.error(404, f"No batch found with id '{shown}'.", code=code)
