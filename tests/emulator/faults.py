"""Faults on demand: which of the next calls go wrong, and how."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Mapping
from typing import Any, Literal, get_args

from tests.emulator import reply
from tests.emulator.config import Config, ConfigError, Dialect
from tests.emulator.reply import Reply
from tests.emulator.route import OPERATIONS

Kind = Literal[
    "reset_before",
    "reset_after",
    "hang_after",
    "delay",
    "status",
    "truncate",
    "slow",
    "not_json",
    "accepted_status",
    "repeat",
    "garbled",
]
Style = Literal["azure", "kong", "openai", "text", "empty"]

_NEEDS: dict[str, str] = {
    "hang_after": "seconds",
    "delay": "seconds",
    "status": "status",
    "truncate": "bytes",
    "slow": "bytes_per_second",
    "accepted_status": "status",
}
_KONG_MESSAGES = {
    429: "API rate limit exceeded",
    502: "An invalid response was received from the upstream server",
    503: "The upstream server is currently unavailable",
    504: "The upstream server is timing out",
}


@dataclasses.dataclass
class Fault:
    kind: str
    operation: str = "*"
    times: int = 1  # -1: until it is taken away
    skip: int = 0  # calls that pass unharmed before the first
    about: str = ""  # only calls with this in their path, such as the id of a batch or file
    seconds: float | None = None
    status: int | None = None
    style: str = "azure"
    retry_after: str | None = None
    ai_retry_after: str | None = None
    message: str | None = None
    bytes: int | None = None
    bytes_per_second: int | None = None
    id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    hits: int = 0


def parse(given: Mapping[str, Any]) -> Fault:
    values = dict(given)
    values["style"] = values.pop("as", "azure")
    known = {field.name for field in dataclasses.fields(Fault)} - {"id", "hits"}
    if unknown := sorted(set(values) - known):
        raise ConfigError(
            f"{unknown[0]}: no such key of a fault; there are: as, {', '.join(sorted(known - {'style'}))}"
        )
    _one_of("kind", values.get("kind"), get_args(Kind))
    _one_of("operation", values.get("operation", "*"), ("*", *OPERATIONS))
    _one_of("as", values["style"], get_args(Style))
    needed = _NEEDS.get(values["kind"])
    if needed and not isinstance(values.get(needed), int | float):
        raise ConfigError(f"{needed}: a fault of kind {values['kind']} needs this number")
    for name in ("retry_after", "ai_retry_after"):
        if values.get(name) is not None:
            values[name] = str(values[name])
    return Fault(**values)


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def answer(fault: Fault, config: Config, request_id: str) -> Reply:
    """What a fault puts in place of the true answer."""
    status = fault.status or 500
    if fault.kind == "not_json":
        return Reply(fault.status or 200, text="<html><body>Emulated: not JSON</body></html>", content_type="text/html")
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = fault.retry_after
    if fault.ai_retry_after is not None:
        headers["X-AI-RateLimit-Retry-After"] = fault.ai_retry_after
    if fault.style == "kong":
        message = fault.message or _KONG_MESSAGES.get(status, "An unexpected error occurred")
        return reply.kong_error(status, message, request_id, headers)
    if fault.style in ("text", "empty"):
        text = "" if fault.style == "empty" else fault.message or f"Emulated fault: {status}"
        return Reply(status, text=text, content_type="text/plain", headers=headers)
    dialect: Dialect = "azure" if fault.style == "azure" else "openai"
    made = reply.error(dialect, status, fault.message or _service_message(status, config), kind="server_error")
    made.headers = headers
    return made


def _service_message(status: int, config: Config) -> str:
    if status == 429:
        return "Rate limit is exceeded. Try again in 2 seconds."
    return f"Emulated fault: the {config.dialect} service answers {status}."


def garbled(fault: Fault, made: Reply) -> Reply:
    """The true answer, spoilt on its way: cut off in a body that is whole for HTTP, or another text in its place."""
    if fault.bytes is not None:
        whole = json.dumps(made.body)
        return Reply(made.status, text=whole[: fault.bytes], headers=made.headers)
    if fault.message is not None:
        return Reply(made.status, text=fault.message, headers=made.headers)
    page = "<html><body>Emulated: not JSON</body></html>"
    return Reply(made.status, text=page, content_type="text/html", headers=made.headers)


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def __len__(self) -> int:
        return len(self._faults)

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def hit(self, operation: str, path: str) -> Fault | None:
        """The first fault meant for this call; it is used up as it strikes."""
        for fault in self._faults:
            if fault.operation not in ("*", operation) or fault.about not in path or fault.times == 0:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.hits += 1
            if fault.times > 0:
                fault.times -= 1
            return fault
        return None

    def as_json(self) -> list[dict[str, Any]]:
        return [
            {("as" if key == "style" else key): value for key, value in vars(fault).items()} for fault in self._faults
        ]
