"""How Kopf reaches the API server: as it would by itself, but that no object is too deep to be read.

Kopf reads the watch of all tenants in one stream, and gives it up for good over a single line that Python can't parse.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import kopf

from llmbatch.common.depth import bounded

if TYPE_CHECKING:
    from aiohttp.connector import Connection


class _Lines:
    """The content of an answer that goes on: whole lines, each no deeper than can be read."""

    def __init__(self, inner: aiohttp.StreamReader) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else aiohttp asks of it
        return getattr(self._inner, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Give the lines that have come, some at a time; a last one that was cut off is left out."""
        rest = b""
        async for piece in self._inner.iter_chunked(size):
            *lines, rest = (rest + piece).split(b"\n")
            if lines:
                yield b"".join(bounded(line) + b"\n" for line in lines)


class _Response(aiohttp.ClientResponse):
    async def start(self, connection: "Connection") -> aiohttp.ClientResponse:
        """Begin to take an answer."""
        started = await super().start(connection)
        self.content = cast("aiohttp.StreamReader", _Lines(self.content))
        return started

    async def read(self) -> bytes:
        """Read the whole answer."""
        is_new = self._body is None
        body = await super().read()
        if is_new:
            self._body = body = bounded(body)
        return body


@dataclass(frozen=True, kw_only=True)
class Login(kopf.AiohttpSession):
    """A session of our own. Two are the same when their credentials are, so that Kopf knows those that were refused."""

    credentials: kopf.ConnectionInfo
    aiohttp_session: aiohttp.ClientSession = field(compare=False)


def with_session(found: kopf.ConnectionInfo) -> Login:
    """Make a session of what Kopf has found, as Kopf does; within an event loop."""
    made = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
        headers=found.as_http_headers(),
        proxy=found.proxy_url,
        trust_env=found.trust_env,
        response_class=_Response,
    )
    return Login(
        server=found.server,
        priority=found.priority,
        default_namespace=found.default_namespace,
        expiration=found.expiration,
        credentials=found,
        aiohttp_session=made,
    )
