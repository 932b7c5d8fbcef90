"""One request on its way through the server."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator

from starlette.requests import Request

from tests.emulator import reply
from tests.emulator.calls import Call
from tests.emulator.config import Config
from tests.emulator.instance import Instance
from tests.emulator.reply import Reply
from tests.emulator.route import Route

JSON_LIMIT_BYTES = 4 * 1024 * 1024


class BodyTooLargeError(Exception):
    """More bytes than the gateway lets through."""


@dataclasses.dataclass
class Exchange:
    instance: Instance
    route: Route
    request: Request
    call: Call
    mount: str  # where this instance is served, e.g. /i/alpha

    @property
    def config(self) -> Config:
        return self.instance.config

    def error(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> Reply:
        return reply.error(self.config.dialect, status, message, code=code, param=param)

    async def body(self) -> AsyncIterator[bytes]:
        limit = self.config.kong.max_body_bytes if self.config.kong.enabled else 0
        size = 0
        async for chunk in self.request.stream():
            size += len(chunk)
            if limit and size > limit:
                raise BodyTooLargeError
            yield chunk

    async def json(self) -> object:
        """The body, or None if it isn't JSON."""
        content = b""
        async for chunk in self.body():
            content += chunk
            if len(content) > JSON_LIMIT_BYTES:
                raise BodyTooLargeError
        try:
            value: object = json.loads(content)
        except ValueError:
            return None
        return value

    def whole_number(self, name: str, default: int, highest: int) -> int | Reply:
        text = self.request.query_params.get(name)
        if text is None:
            return default
        if not text.isdecimal() or not 1 <= int(text) <= highest:
            message = f"Invalid value for '{name}': expected a whole number from 1 to {highest}."
            return self.error(400, message, code=self.invalid, param=name)
        return int(text)

    @property
    def invalid(self) -> str:
        """The code of a request that can't be served as it is."""
        return "invalidPayload" if self.config.dialect == "azure" else "invalid_value"
