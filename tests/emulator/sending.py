"""Sends an answer, with the headers of whoever made it, and as badly as a fault wants it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.types import Send

from tests.emulator import protocol
from tests.emulator.config import Config
from tests.emulator.faults import Fault
from tests.emulator.reply import Reply

NAME = "llmbatch-emulator"
KONG = "kong/3.11.0.2-enterprise-edition"
BLOCK_BYTES = 1024 * 1024


def signature(config: Config, answer: Reply, request_id: str) -> dict[str, str]:
    """Who answered: Kong by itself, the service through Kong, or the service."""
    if answer.by_gateway:
        return {"Server": f"{KONG} ({NAME})", "X-Kong-Request-Id": request_id, "X-Kong-Response-Latency": "0"}
    headers = {"Server": NAME}
    if config.dialect == "azure":
        headers["apim-request-id"] = request_id
    else:
        headers["x-request-id"] = f"req_{request_id}"
    if config.kong.enabled:
        headers["Via"] = f"1.1 {KONG}"
        headers["X-Kong-Request-Id"] = request_id
        headers["X-Kong-Upstream-Latency"] = "1"
        headers["X-Kong-Proxy-Latency"] = "0"
    return headers


async def drain(request: Request) -> None:
    """Read the rest of the body: closing on unread bytes resets the connection, and the answer would be lost."""
    # Not Request.stream(), which can't be taken up again after it was left.
    more = "content-length" in request.headers or "transfer-encoding" in request.headers
    while more:
        message = await request.receive()
        more = message["type"] == "http.request" and message.get("more_body", False)


async def send(request: Request, out: Send, answer: Reply, fault: Fault | None = None) -> None:
    content = answer.text if answer.text is not None else json.dumps(answer.body)
    data = content.encode()
    size = len(data) if answer.file is None else answer.file.stat().st_size
    headers = {"Server": NAME, "X-Emulated": NAME, "Content-Length": str(size), "Content-Type": answer.content_type}
    headers |= answer.headers
    raw = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await out({"type": "http.response.start", "status": answer.status, "headers": raw})
    end = fault.bytes if fault is not None and fault.kind == "truncate" and fault.bytes is not None else size
    if answer.file is None:
        await out({"type": "http.response.body", "body": data[:end], "more_body": end < size})
        if end < size:
            await protocol.hang_up(request)
        return
    sent = 0
    rate = fault.bytes_per_second if fault is not None and fault.kind == "slow" else None
    for block in _blocks(answer.file, min(end, size), rate):
        if rate:
            await asyncio.sleep(len(block) / rate)
        await out({"type": "http.response.body", "body": block, "more_body": True})
        sent += len(block)
    if sent < size:
        await protocol.hang_up(request)
        return
    await out({"type": "http.response.body", "body": b""})


def _blocks(path: Path, end: int, rate: int | None) -> Iterator[bytes]:
    # A slow download arrives in pieces of a tenth of a second.
    size = BLOCK_BYTES if rate is None else max(1, rate // 10)
    left = end
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(size, left))):
            left -= len(block)
            yield block
