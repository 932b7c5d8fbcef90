"""From a request's path and credentials to the operation it means, through Kong or on the service's own paths."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from tests.emulator import reply
from tests.emulator.config import Config
from tests.emulator.reply import Reply

Surface = Literal["azure", "azure-v1", "openai"]

OPERATIONS = (
    "files.create",
    "files.list",
    "files.get",
    "files.delete",
    "files.content",
    "batches.create",
    "batches.list",
    "batches.get",
    "batches.cancel",
)
_BY_SHAPE = {
    ("POST", "files", 0, ""): "files.create",
    ("GET", "files", 0, ""): "files.list",
    ("GET", "files", 1, ""): "files.get",
    ("DELETE", "files", 1, ""): "files.delete",
    ("GET", "files", 2, "content"): "files.content",
    ("POST", "batches", 0, ""): "batches.create",
    ("GET", "batches", 0, ""): "batches.list",
    ("GET", "batches", 1, ""): "batches.get",
    ("POST", "batches", 2, "cancel"): "batches.cancel",
}
AZURE_UNAUTHORIZED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active"
    " subscription and use a correct regional API endpoint for your resource."
)


@dataclasses.dataclass(frozen=True)
class Route:
    operation: str
    resource_id: str
    surface: Surface


def find(config: Config, method: str, path: str, query: Mapping[str, str], request_id: str) -> Route | Reply:
    kong = config.kong
    if kong.enabled:
        if path.strip("/").partition("/")[0] not in kong.routes:
            return reply.kong_error(404, "no Route matched with those values", request_id)
        surface: Surface = config.dialect
        rest: str | None = path
    else:
        surface, rest = _direct(config, path, query)
    operation = None if rest is None else _operation(method, rest)
    if operation is None:
        return _no_resource(config, method, path)
    name, resource_id = operation
    return Route(name, resource_id, surface)


def _direct(config: Config, path: str, query: Mapping[str, str]) -> tuple[Surface, str | None]:
    """Below which base the path is; None if the service has nothing there."""
    if config.dialect == "openai":
        return "openai", path.removeprefix("/v1") if path.startswith("/v1/") else None
    if path.startswith("/openai/v1/"):
        return "azure-v1", path.removeprefix("/openai/v1")
    if path.startswith("/openai/") and "api-version" in query:
        return "azure", path.removeprefix("/openai")
    return "azure", None


def _operation(method: str, path: str) -> tuple[str, str] | None:
    kind, *rest = path.strip("/").split("/")
    name = _BY_SHAPE.get((method, kind, len(rest), rest[1] if len(rest) == 2 else ""))
    return None if name is None else (name, rest[0] if rest else "")


def _no_resource(config: Config, method: str, path: str) -> Reply:
    if config.dialect == "azure":
        return reply.error("azure", 404, "Resource not found")
    return reply.error("openai", 404, f"Invalid URL ({method} {path})")


def refuse(config: Config, headers: Mapping[str, str], query: Mapping[str, str], request_id: str) -> Reply | None:
    """The answer to a caller without the right credentials, of whoever notices first."""
    kong = config.kong
    if kong.enabled and kong.consumer_keys:
        key = headers.get(kong.header) or query.get(kong.header)
        if key not in kong.consumer_keys:
            message = "No API key found in request" if key is None else "Unauthorized"
            return reply.kong_error(401, message, request_id, {"WWW-Authenticate": 'Key realm="kong"'})
    if config.api_keys and _service_key(config, headers) not in config.api_keys:
        if config.dialect == "azure":
            return reply.error("azure", 401, AZURE_UNAUTHORIZED)
        return reply.error("openai", 401, "Incorrect API key provided.", code="invalid_api_key")
    return None


def _service_key(config: Config, headers: Mapping[str, str]) -> str | None:
    # The gateway overwrites whatever the client sent in Authorization.
    if config.kong.enabled and config.kong.upstream_api_key is not None:
        return config.kong.upstream_api_key
    if config.dialect == "azure" and "api-key" in headers:
        return headers["api-key"]
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None
