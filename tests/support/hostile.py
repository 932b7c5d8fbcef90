"""A gateway that means harm: it answers as one should, but for the calls for which it is told another way."""

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

Way = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]
"""What is done with a call in place of an answer."""


def reply(body: object, status: str = "200 OK", *head: str) -> bytes:
    """Make an answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *head]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def hang(writer: asyncio.StreamWriter) -> None:
    """Take the call, and never answer."""
    await writer.wait_closed()


def drip(head: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", seconds: float = 0.2) -> Way:
    """Answer with a head, and then a byte now and then."""

    async def way(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(seconds)

    return way


def say(answer: bytes) -> Way:
    """Answer so."""

    async def way(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return way


class HostileGateway:
    """Answers on loopback until it is closed."""

    def __init__(self, **ways: Way) -> None:
        """Say what it does with which calls: upload, create, poll, content, files, batches, or all."""
        self.ways = ways
        self.calls: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        """Calls that are not answered yet."""
        self.most: Counter[str] = Counter()
        self.url = ""
        self.heads: list[str] = []
        """Of the calls, request lines included."""
        self._made = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["HostileGateway"]:
        """Serve while the context is open."""
        server = await asyncio.start_server(self._serve, "127.0.0.1")
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    self.heads.append(head)
                    await self._call(head, reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _call(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, path, _ = head.split(" ", 2)
        kind = _kind(method, path.partition("?")[0])
        self.calls[kind] += 1
        self.active[kind] += 1
        self.most[kind] = max(self.most[kind], self.active[kind])
        try:
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            way = self.ways.get(kind, self.ways.get("all"))
            if way is not None:
                # Whoever hangs up has had enough of it.
                closed = asyncio.create_task(reader.read(1))
                done = asyncio.create_task(way(writer))
                await asyncio.wait({closed, done}, return_when=asyncio.FIRST_COMPLETED)
                finished = done.done()
                closed.cancel()
                done.cancel()
                await asyncio.wait({closed, done})
                if not finished:
                    raise ConnectionError
            else:
                writer.write(reply(self._answer(kind)))
            await writer.drain()
        finally:
            self.active[kind] -= 1

    def _answer(self, kind: str) -> Any:
        self._made += 1
        batch = {"id": f"batch_{self._made}", "status": "completed", "output_file_id": "file-out"}
        counts = {"request_counts": {"total": 5, "completed": 5, "failed": 0}, "input_file_id": "file-in"}
        match kind:
            case "upload" | "file":
                # So that it is asked for, before a batch is made of it.
                return {"id": "file-in", "status": "uploaded"}
            case "create" | "poll":
                return {**batch, **counts}
            case _:
                return {"object": "list", "data": [], "has_more": False}


def _kind(method: str, path: str) -> str:
    name = path.strip("/").split("/")
    if name[-1] == "content":
        return "content"
    if name[-1] in ("files", "batches"):
        return name[-1] if method == "GET" else {"files": "upload", "batches": "create"}[name[-1]]
    return "file" if name[-2] == "files" else "poll"
