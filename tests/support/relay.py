"""A TCP relay before a server: what lies between the operator and its gateway, and can be cut off at a chosen moment."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Literal
from urllib.parse import urlsplit


class Relay:
    """Passes bytes on, until a request that is waited for goes by; from then on new connections fail."""

    def __init__(self, url: str, *, cut_at: bytes, how: Literal["refuse", "reset"], skip: int = 0) -> None:
        """Say when and how it cuts off.

        Args:
            url: The server's.
            cut_at: A text in the head of the request, before whose answer is passed on the way is cut off.
            how: `refuse` connections until it is mended, or accept the next one and `reset` it before a byte is read.
            skip: So many requests of that kind, to different paths, go by unharmed first.
        """
        self._target = urlsplit(url)
        self._cut_at, self._how = cut_at, how
        self._skip, self._skipped = skip, set[bytes]()
        self._server: asyncio.Server | None = None
        self._port = 0
        self.is_cut = False

    @property
    def url(self) -> str:
        """Where to connect to, with the server's own path."""
        return f"http://127.0.0.1:{self._port}{self._target.path}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Relay"]:
        """Serve while the context is open."""
        await self._listen()
        try:
            yield self
        finally:
            if self._server is not None:
                self._server.close()

    async def mend(self) -> None:
        """Let connections through from now on."""
        self._cut_at, self.is_cut = b"\0", False
        if self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, reuse_address=True)
        self._port = self._server.sockets[0].getsockname()[1]

    def _is_due(self, request: bytes) -> bool:
        if len(self._skipped) < self._skip:
            self._skipped.add(request)
        return request not in self._skipped

    def _cut(self) -> None:
        self.is_cut = True
        if self._how == "refuse" and self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            await self.mend()
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        there = await asyncio.open_connection(self._target.hostname, self._target.port)
        await asyncio.gather(self._pump(reader, there[1], watch=True), self._pump(there[0], writer, watch=False))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, watch: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while block := await reader.read(65536):
                if watch and self._cut_at in block and self._is_due(block.split(b"\r\n")[0]):
                    self._cut()
                writer.write(block)
                await writer.drain()
        writer.close()
