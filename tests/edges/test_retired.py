"""A client that another one has taken the place of."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from llmbatch.provider.edge.client import Gateway
from llmbatch.provider.edge.outcome import Answered
from tests.edges.plans import connection_to

BATCH = b'{"id": "batch_1", "object": "batch", "status": "in_progress"}'


@dataclass
class Server:
    """Answers over connections that it never closes by itself, each time when it may."""

    url: str = ""
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    open: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.asked.set()
                await self.may_answer.wait()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BATCH)}\r\n\r\n"
                writer.write(head.encode() + BATCH)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.open -= 1
            writer.close()
            self.closed.set()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1")
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield made
    listening.close()


async def test_it_keeps_no_connection_that_nobody_closes(server: Server) -> None:
    server.may_answer.set()
    client = Gateway.connect(connection_to(server.url), {})
    assert isinstance(await client.get_batch("batch_1"), Answered)
    assert server.open == 1, "a connection is kept for the next call"
    await client.retire()
    async with asyncio.timeout(5):
        await server.closed.wait()
    assert server.open == 0
    await client.close()


async def test_a_call_under_way_is_answered_and_its_connection_closed_then(server: Server) -> None:
    client = Gateway.connect(connection_to(server.url), {})
    calling = asyncio.create_task(client.get_batch("batch_1"))
    await server.asked.wait()
    await client.retire()
    server.may_answer.set()
    assert isinstance(await calling, Answered)
    async with asyncio.timeout(5):
        await server.closed.wait()
    assert server.open == 0
    await client.close()


async def test_a_call_that_comes_later_has_a_connection_of_its_own(server: Server) -> None:
    server.may_answer.set()
    client = Gateway.connect(connection_to(server.url), {})
    await client.retire()
    assert isinstance(await client.get_batch("batch_1"), Answered)
    async with asyncio.timeout(5):
        await server.closed.wait()
    assert server.open == 0
    await client.close()
