"""POST, GET and DELETE of files."""

from __future__ import annotations

import json
from pathlib import Path

from tests.emulator import shapes, upload
from tests.emulator.exchange import Exchange
from tests.emulator.records import FileRecord, new_input_id
from tests.emulator.reply import Reply
from tests.emulator.upload import Upload

DAY = 86_400
AZURE_EXPIRY_SECONDS = (14 * DAY, 30 * DAY)
OPENAI_EXPIRY_SECONDS = (3_600, 30 * DAY)
MOST_LISTED = 10_000


async def create(exchange: Exchange) -> Reply:
    store, config = exchange.instance.store, exchange.config
    path = store.new_path()
    try:
        with path.open("wb", buffering=0) as target:
            content_type = exchange.request.headers.get("content-type", "")
            received = await upload.read(exchange.body(), content_type, path, target, config.max_file_bytes)
        exchange.call.upload = {
            "filename": received.filename,
            "bytes": received.bytes,
            "content_type": received.content_type,
            "sha256": received.sha256,
            "fields": received.fields,
        }
        refusal = _refusal(exchange, received)
        if refusal is not None:
            return refusal
        record = _record(exchange, received)
        if isinstance(record, Reply):
            return record
        store.keep_content(path, record.id)
    except upload.UploadError as problem:
        return exchange.error(400, str(problem), code=exchange.invalid)
    finally:
        path.unlink(missing_ok=True)
    exchange.instance.keep_file(record)
    exchange.call.answer_id = record.id
    shown = shapes.file_object(record, config, exchange.instance.now())
    if exchange.route.surface != "azure":
        return Reply(200, shown)
    location = f"{exchange.request.base_url}{exchange.mount.lstrip('/')}{exchange.call.path}/{record.id}"
    return Reply(201, shown, {"Location": location})


def _refusal(exchange: Exchange, received: Upload) -> Reply | None:
    config = exchange.config
    azure = config.dialect == "azure"
    purpose = received.fields.get("purpose")
    if purpose is None:
        return exchange.error(400, "Missing required parameter: 'purpose'.", code=exchange.invalid, param="purpose")
    if purpose != "batch":
        return exchange.error(400, f"Invalid purpose '{purpose}'.", code=exchange.invalid, param="purpose")
    if not received.has_file or not received.filename:
        return exchange.error(400, "Missing required parameter: 'file'.", code=exchange.invalid, param="file")
    if azure and not received.content_type:
        return exchange.error(400, "The file has no or an empty content type specified.", code="invalidPayload")
    if received.bytes > config.max_file_bytes:
        return exchange.error(400, "File is too large.", code="invalidPayload" if azure else None)
    if not azure and not _looks_like_lines(received):
        return exchange.error(400, "Invalid file format for Batch API. Must be .jsonl")
    kept = sum(
        record.purpose == "batch" and record.expires_at is None and not record.deleted
        for record in exchange.instance.files.values()
    )
    if azure and kept >= config.max_files and not _expiry_fields(received):
        message = f"The quota for files without expiry is reached. The maximum is {config.max_files}."
        return exchange.error(400, message, code="quotaExceeded")
    return None


def _looks_like_lines(received: Upload) -> bool:
    """What OpenAI checks at once; the lines themselves are looked at by the batch."""
    if received.filename is None or not received.filename.endswith(".jsonl"):
        return False
    first = _first_line(received.path)
    try:
        return not first.strip() or isinstance(json.loads(first), dict)
    except ValueError:
        return False


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline()


def _expiry_fields(received: Upload) -> dict[str, str]:
    """Official SDKs write expires_after[seconds], Azure's REST examples expires_after.seconds."""
    found = {}
    for name in ("anchor", "seconds"):
        for spelling in (f"expires_after[{name}]", f"expires_after.{name}"):
            if spelling in received.fields:
                found[name] = received.fields[spelling]
    return found


def _record(exchange: Exchange, received: Upload) -> FileRecord | Reply:
    config, now = exchange.config, exchange.instance.now()
    record = FileRecord(
        id=new_input_id(config.dialect),
        filename=received.filename or "",
        purpose="batch",
        bytes=received.bytes,
        created=now,
    )
    expiry = _expiry_fields(received)
    lowest, highest = AZURE_EXPIRY_SECONDS if config.dialect == "azure" else OPENAI_EXPIRY_SECONDS
    if expiry:
        seconds = expiry.get("seconds", "")
        if expiry.get("anchor") != "created_at" or not seconds.isdecimal() or not lowest <= int(seconds) <= highest:
            message = f"Invalid expires_after: the anchor is created_at and the seconds are from {lowest} to {highest}."
            return exchange.error(400, message, code=exchange.invalid, param="expires_after")
        record.expires_at = int(now) + int(seconds)
    elif config.dialect == "openai":
        record.expires_at = int(now) + highest
    return record


async def get(exchange: Exchange) -> Reply:
    record = exchange.instance.live_file(exchange.route.resource_id)
    if record is None:
        return _not_found(exchange)
    return Reply(200, shapes.file_object(record, exchange.config, exchange.instance.now()))


async def content(exchange: Exchange) -> Reply:
    record = exchange.instance.live_file(exchange.route.resource_id)
    if record is None:
        return _not_found(exchange)
    path = exchange.instance.store.content(record.id)
    made_by = [
        batch
        for batch in exchange.instance.batches.values()
        if record.id in (batch.output_file_id, batch.error_file_id)
    ]
    quirks = exchange.config.of(made_by[0].metadata if made_by else None).quirks
    filled = (exchange.instance.now() - record.created) / (quirks.filling_seconds or 1e-9)
    if record.purpose != "batch" and (filled < 1 or quirks.cut_bytes):
        lines = path.read_bytes().splitlines(keepends=True)
        shown = b"".join(lines[: int(min(filled, 1) * len(lines))])
        shown = shown[: len(shown) - quirks.cut_bytes]
        return Reply(200, content_type="application/octet-stream", text=shown.decode(errors="replace"))
    return Reply(200, content_type="application/octet-stream", file=path)


async def delete(exchange: Exchange) -> Reply:
    record = exchange.instance.live_file(exchange.route.resource_id)
    if record is None:
        return _not_found(exchange)
    record.deleted = True
    exchange.instance.keep_file(record)
    exchange.instance.drop_unused_content(record.id)
    return Reply(200, {"object": "file", "deleted": True, "id": record.id})


async def list_files(exchange: Exchange) -> Reply:
    instance, query = exchange.instance, exchange.request.query_params
    records = [record for record in instance.files.values() if instance.live_file(record.id)]
    records = [record for record in records if query.get("purpose") in (None, record.purpose)]
    if exchange.route.surface == "azure":  # no paging in the dated versions
        data = [shapes.file_object(record, exchange.config, instance.now()) for record in records]
        return Reply(200, {"data": data, "object": "list"})
    limit = exchange.whole_number("limit", MOST_LISTED, MOST_LISTED)
    if isinstance(limit, Reply):
        return limit
    if query.get("order", "desc") == "desc":
        records.reverse()
    after = query.get("after")
    if after is not None:
        places = [place for place, record in enumerate(records) if record.id == after]
        records = records[places[0] + 1 :] if places else []
    data = [shapes.file_object(record, exchange.config, instance.now()) for record in records[:limit]]
    return Reply(
        200,
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": len(records) > limit,
        },
    )


def _not_found(exchange: Exchange) -> Reply:
    file_id = exchange.route.resource_id
    if exchange.config.dialect == "azure":
        return exchange.error(404, f"The file '{file_id}' was not found.", code="notFound")
    return exchange.error(404, f"No such File object: {file_id}", param="id")
