"""What lies between the operator and its gateway and spoils answers: a proxy that rewrites what a test tells it to."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from aiohttp import web


@dataclass
class Exchange:
    """A call and its answer, before it is passed on; a rule changes `status` and `body`."""

    method: str
    path: str
    """Of the call, behind the gateway's own path: /batches/batch_1/cancel."""
    query: dict[str, str]
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The answer as JSON."""
        return json.loads(self.body)

    @json.setter
    def json(self, value: object) -> None:
        self.body = json.dumps(value).encode()

    @property
    def is_list(self) -> bool:
        """Tell whether batches are listed; a probe, which asks for one entry, is none."""
        return self.method == "GET" and self.path == "/batches" and self.query.get("limit") != "1"


Rule = Callable[[Exchange], None]
Refusal = Callable[[Exchange], bool]
"""Answers a call by itself, or says that it doesn't: told of it with status 0."""


class Between:
    """Passes calls on, and answers back as the rules leave them."""

    def __init__(self, url: str) -> None:
        """Say which server it is before."""
        self._target = url
        self.url = ""
        self.rules: list[Rule] = []
        self.instead: list[Refusal] = []
        """What answers in place of the gateway; a call is then not passed on."""
        self.spoilt = 0
        """Answers that a rule has changed."""
        self.held: asyncio.Event | None = None
        """While set to an event: create calls are not passed on before it is set."""
        self.unheld = 0
        """Create calls that are passed on at once all the same, the next ones first."""
        self.waiting = 0
        """Create calls that are held."""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Between"]:
        """Serve while the context is open."""
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        # Loading the public CAs takes longer than most of the calls, and nobody needs them here.
        async with httpx.AsyncClient(timeout=30, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as self._client:
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        content = await request.read()
        if self.held is not None and request.method == "POST" and request.path == "/batches":
            if self.unheld > 0:
                self.unheld -= 1
            else:
                self.waiting += 1
                await self.held.wait()
        told = Exchange(request.method, request.path, dict(request.query), 0, b"")
        if any(refusal(told) for refusal in self.instead):
            self.spoilt += 1
            return web.Response(body=told.body, status=told.status, headers={"Content-Type": "application/json"})
        headers = {name: request.headers[name] for name in ("Content-Type", "Accept") if name in request.headers}
        try:
            answer = await self._client.request(
                request.method, f"{self._target}{request.rel_url}", headers=headers, content=content
            )
        except httpx.TransportError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        told = Exchange(request.method, request.path, dict(request.query), answer.status_code, answer.content)
        for rule in self.rules:
            rule(told)
        self.spoilt += (told.status, told.body) != (answer.status_code, answer.content)
        kind = answer.headers.get("Content-Type", "application/json")
        return web.Response(body=told.body, status=told.status, headers={"Content-Type": kind})
