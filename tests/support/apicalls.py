"""How calls to the API server are written, for the one in memory, and what befalls them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.support.apistore import Call, Json, Verb


@dataclass
class Fault:
    """What befalls the calls that fit: `status` is answered, or the connection is cut before or after the work is done."""

    fits: Callable[[Call], bool]
    kind: Literal["status", "cut before", "cut after", "hold", "late", "page"]
    status: int = 500
    times: int = 1  # -1: until taken away
    headers: dict[str, str] = field(default_factory=dict)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """For `hold`: the call is done when this is set. For `late`: it is done at once, and answered when this is set."""

    async def met(self) -> None:
        """Wait until it has befallen as many calls as it was made for."""
        while self.times:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


def call_of(request: web.Request, parts: list[str], body: Any) -> Call | None:
    """Read a path: /api/v1/… or /apis/<group>/<version>/…, with or without a namespace."""
    rest = parts[2:] if parts[:1] == ["api"] else parts[3:]
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    if not rest or rest[0] == "selfsubjectaccessreviews":
        return None
    plural, name, subresource = (*rest, "", "")[:3]
    verb: Verb
    match request.method:
        case "GET" if name:
            verb = "get"
        case "GET":
            verb = "watch" if request.query.get("watch") == "true" else "list"
        case "POST":
            verb = "create"
        case "PUT":
            verb = "update"
        case "PATCH":
            verb = "apply" if "apply-patch" in request.content_type else "patch"
        case _:
            verb = "delete"
    return Call(verb, plural, namespace, name, subresource, body)


def selected(item: Json, query: Any) -> bool:
    """Tell whether an object fits the label and field selectors."""
    labels = item["metadata"].get("labels") or {}
    for term in filter(None, (query.get("labelSelector") or "").split(",")):
        key, equals, value = term.partition("=")
        if (labels.get(key) != value) if equals else (key not in labels):
            return False
    for term in filter(None, (query.get("fieldSelector") or "").split(",")):
        path, _, value = term.partition("=")
        found: Any = item
        for part in path.split("."):
            found = (found or {}).get(part)
        if found != value:
            return False
    return True


def described(name: str) -> Json:
    """Give a group as discovery does, by its one version."""
    version: Json = {"groupVersion": name, "version": name.split("/")[1]}
    return {"name": name.split("/", maxsplit=1)[0], "versions": [version], "preferredVersion": version}


def cut(request: web.Request) -> web.StreamResponse:
    """Cut the connection."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
