"""uvicorn's HTTP/1.1 protocol, with the connection itself in the hands of the application: faults have to break it."""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol


class BreakableProtocol(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # uvicorn copies this into every request's scope["state"].
        self.app_state = {**self.app_state, "transport": transport}
        # asyncio does this for the sockets it makes itself; without it, each answer waits 40 ms for the client's ACK.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)


def _transport(request: Request) -> asyncio.Transport:
    transport: asyncio.Transport = request.scope["state"]["transport"]
    return transport


async def reset(request: Request) -> None:
    """End the connection by a TCP RST: what a client sees when a proxy or a node dies."""
    transport = _transport(request)
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _until_gone(request)


async def hang_up(request: Request) -> None:
    """Close the connection in good order, once what was written is sent."""
    _transport(request).close()
    await _until_gone(request)


async def _until_gone(request: Request) -> None:
    # Returning to uvicorn before it has noticed would make it send a 500.
    while (await request.receive())["type"] != "http.disconnect":
        pass
