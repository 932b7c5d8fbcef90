"""An answer before it is sent, and the three envelopes in which an error comes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tests.emulator.config import Dialect


@dataclasses.dataclass
class Reply:
    status: int
    body: Any = None  # JSON; ignored if there is a text or a file
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    text: str | None = None
    content_type: str = "application/json"
    file: Path | None = None
    by_gateway: bool = False  # Kong answered by itself: nothing behind it saw the request


def error(
    dialect: Dialect,
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    kind: str = "invalid_request_error",
) -> Reply:
    """The service's own error. `code` is left out of Azure's only to be the status, as its front end writes it."""
    if dialect == "azure":
        return Reply(status, {"error": {"code": code or str(status), "message": message}})
    return Reply(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def kong_error(status: int, message: str, request_id: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, {"message": message, "request_id": request_id}, headers or {}, by_gateway=True)
