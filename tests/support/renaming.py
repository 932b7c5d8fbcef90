"""A proxy before the gateway that gives files and batches other ids, in both directions."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from urllib.parse import unquote

import httpx
from aiohttp import web

Rename = Callable[[str], str]


class Renaming:
    """Puts something before the ids of files and batches; what carries it comes back without it."""

    def __init__(self, url: str, *, files: str = "", batches: str = "") -> None:
        """Say what comes before the ids."""
        self._target, self._files, self._batches = url, files, batches
        self.url = ""
        self.paths: list[str] = []
        """As they came, still encoded."""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Renaming"]:
        """Serve while the context is open."""
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        self.paths.append(request.raw_path)
        path, _, query = request.raw_path.partition("?")
        path, body = self._bare(unquote(path)), await request.read()
        if b"input_file_id" in body:
            body = self._bare(body.decode()).encode()
        wanted = ("Content-Type", "Accept")
        headers = {name: request.headers[name] for name in wanted if name in request.headers}
        # Loading the public CAs takes longer than most of the calls, and nobody needs them here.
        async with httpx.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as client:
            url = f"{self._target}{path}{f'?{self._bare(unquote(query))}' if query else ''}"
            answer = await client.request(request.method, url, headers=headers, content=body)
        kind = answer.headers.get("Content-Type", "application/json")
        told = answer.content
        if "json" in kind:
            told = told.replace(b'"file-', f'"{self._files}file-'.encode())
            told = told.replace(b'"batch_', f'"{self._batches}batch_'.encode())
        return web.Response(body=told, status=answer.status_code, headers={"Content-Type": kind})

    def _bare(self, text: str) -> str:
        for put, kind in ((self._files, "file-"), (self._batches, "batch_")):
            text = text.replace(put + kind, kind) if put else text
        return text
