"""What must hold for whatever a gateway answers: nothing raised but WireError, and nothing told that a status can't hold."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import httpx

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure import facts
from llmbatch.provider.edge import outcome
from llmbatch.provider.pure import wire
from llmbatch.provider.pure.lenient import WireError
from llmbatch.provider.pure.refusal import LONGEST_WAIT_SECONDS

NOW = datetime(2025, 10, 30, 12, 0, tzinfo=UTC)
ENDS = {"completed", "failed", "expired", "cancelled", "canceled"}
STATUSES = (302, 400, 401, 403, 404, 408, 409, 413, 417, 429, 500, 502, 503, 504, 599)
READERS: tuple[Callable[[bytes], object], ...] = (wire.read_batch, wire.read_file, wire.read_page)

_SAFE = re.compile(r"[A-Za-z0-9=_.~!$&'()*+,:-]{1,1024}\Z")
_RFC3339 = re.compile(r"(19[789]\d|[2-9]\d\d\d)-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
_COUNTS = ("total", "completed", "failed")
_INT64 = 2**63 - 1


def check_answer(body: bytes) -> None:
    """A 2xx body is read as a batch, a file or a page, or refused in words that don't quote it."""
    batches: list[wire.RemoteBatch] = []
    for read in READERS:
        found = _read(read, body)
        if isinstance(found, wire.RemoteBatch):
            batches.append(found)
            check_same(body, found)
        elif isinstance(found, wire.Page):
            batches += found.batches
            assert not any(item.id for item in found.unusable)
            assert found.last_id is None or is_safe(found.last_id)
        elif isinstance(found, wire.RemoteFile):
            assert is_safe(found.id)
            assert is_shown(found.status, 64)
            assert found.bytes is None or 0 <= found.bytes <= _INT64
            assert found.status_details is None or is_shown(found.status_details, 256)
    for batch in batches:
        check_batch(batch)
    data = unwrapped(body)
    if isinstance(data, dict) and type(own := data.get("id")) in (str, int) and is_safe(str(own)):
        assert [item for item in batches if item.id == str(own)]


def _read(read: Callable[[bytes], object], body: bytes) -> object:
    try:
        return read(body)
    except WireError as error:
        refused = error
    # It goes into a message and into the log.
    assert is_shown(str(refused), 200)
    assert refused.__cause__ is None
    return None


def check_batch(batch: wire.RemoteBatch) -> None:
    """A batch holds nothing that a path or a status can't take."""
    assert is_safe(batch.id)
    assert batch.is_terminal == (batch.status in ENDS)
    for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
        assert file_id is None or is_shown(file_id, 1024)
    assert all(item is None or 0 <= item <= _INT64 for item in (getattr(batch.counts, name) for name in _COUNTS))
    assert all(is_shown(item.code, 256) and is_shown(item.message or "-", 256) for item in batch.errors)
    assert all(item.param is None or is_shown(item.param, 256) for item in batch.errors)
    status = facts.with_remote(BatchJobStatus(), batch, NOW)
    assert is_shown(facts.told_errors(batch) or "-", 8000)
    dumped = status.dump()
    check_storable(dumped)
    assert BatchJobStatus.parse(dumped).dump() == dumped
    facts.progress(status)


def check_same(body: bytes, found: wire.RemoteBatch) -> None:
    """Absent, null and "" are the same; the status ends the batch only as one of the four words."""
    data = unwrapped(body)
    assert isinstance(data, dict)
    bare = {key: value for key, value in data.items() if value is not None and value != ""}
    counts = bare.get("request_counts")
    if isinstance(counts, dict):
        bare["request_counts"] = {key: value for key, value in counts.items() if value is not None and value != ""}
    assert wire.read_batch(json.dumps(bare).encode()) == found
    told = data.get("status")
    assert found.is_terminal == (isinstance(told, str) and told.lower() in ENDS)


def check_storable(value: Any, key: str = "") -> None:
    """A status is JSON that the API server takes: whole numbers of 64 bits, moments of RFC 3339, text of bounded length."""
    if isinstance(value, dict):
        for name, item in value.items():
            check_storable(item, name)
    elif isinstance(value, list):
        for item in value:
            check_storable(item, key)
    elif isinstance(value, int):
        assert 0 <= value <= _INT64
    else:
        assert isinstance(value, str)
        assert is_shown(value, 1024 if key.lower().endswith("id") else 256)
        if key.endswith(("At", "Time")):
            assert _RFC3339.match(value), value


def check_refusal(data: bytes) -> None:
    """An answer that isn't 2xx: its first line is a Retry-After, its second a Content-Type, the rest the body."""
    after, _, rest = data.partition(b"\n")
    kind, _, body = rest.partition(b"\n")
    headers = httpx.Headers(
        [(name, value[:200].decode("latin-1").encode()) for name, value in ((b"Retry-After", after), (b"Content-Type", kind)) if value]
    )  # fmt: skip
    status = STATUSES[crc32(data) % len(STATUSES)]
    failure = outcome.from_response(status, headers, body, "get batch", "gateway")
    assert is_shown(failure.message, 700)
    if isinstance(failure, outcome.NotFound):
        # Only the provider itself can say so, in an error of its own: a gateway's 404 is no news about a batch.
        told = unwrapped(body)
        assert status == 404
        assert isinstance(told, dict)
        assert told.get("error")
        return
    assert failure.retry_after is None or 0 <= failure.retry_after <= LONGEST_WAIT_SECONDS
    assert isinstance(failure, outcome.Unreachable) is (status >= 500 or status == 408)
    if isinstance(failure, outcome.Refused):
        assert failure.body.code is None or is_shown(failure.body.code, 256)
        assert is_shown(failure.body.message, 256)


def unwrapped(body: bytes) -> Any:
    """Read JSON that may be in a JSON string, twice; None: it is none."""
    try:
        data = json.loads(body)
        for _ in range(2):
            data = json.loads(data) if isinstance(data, str) else data
    except (ValueError, RecursionError):
        return None
    return data


def is_safe(text: str) -> bool:
    """Tell whether an id can be a part of a path and nothing else."""
    return _SAFE.match(text) is not None and text not in {".", ".."}


def is_shown(text: str, limit: int) -> bool:
    """Tell whether a text can be shown: something, on one line, not endless, and UTF-8."""
    return 0 < len(text) <= limit and not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", text)
