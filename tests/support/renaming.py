"""A proxy before the gateway that gives files and batches other ids, in both directions."""

import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable
from urllib.parse import unquote

import httpx
from aiohttp import web

Rename = Callable[[str], str]


class Renaming:
    """Puts something before the ids of files and batches; what carries it comes back without it."""

    def __init__(self, url: str, *, files: str = "", batches: str = "", nth: int | None = None) -> None:
        """Say what comes before the ids; with `nth`, only of one of the files that are uploaded and batches that are made."""
        self._target, self._files, self._batches = url, files, batches
        self.url = ""
        self._nth, self._made = nth, {"file": list[str](), "batch": list[str]()}
        self.only: set[str] | None = None if nth is None else set()
        """The ids that are given others; all without it."""
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
            if request.method == "POST":
                self._choose(answer.text)
            told = re.sub(rb'"((file-|batch_)[^"]*)"', self._renamed, told)
        return web.Response(body=told, status=answer.status_code, headers={"Content-Type": kind})

    def _choose(self, answer: str) -> None:
        for kind, name in re.findall(r'"id": ?"((?:file|batch))([-_][^"]*)"', answer):
            made = self._made[kind]
            if kind + name not in made:
                made.append(kind + name)
                if self._nth == len(made) - 1 and self.only is not None:
                    self.only.add(kind + name)

    def _renamed(self, found: re.Match[bytes]) -> bytes:
        name = found[1].decode()
        if self.only is not None and name not in self.only:
            return found[0]
        return f'"{self._files if name.startswith("file-") else self._batches}{name}"'.encode()

    def _bare(self, text: str) -> str:
        for put, kind in ((self._files, "file-"), (self._batches, "batch_")):
            text = text.replace(put + kind, kind) if put else text
        return text
