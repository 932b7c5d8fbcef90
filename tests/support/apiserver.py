"""A Kubernetes API server in memory: what the operator uses of the real one, with its own rules about writes.

It keeps objects of any kind, rejects stale resourceVersions, applies merge patches, JSON patches and server-side apply,
has a status subresource, finalizers, watches and SelfSubjectAccessReviews, and fails when it is told to.
"""

import asyncio
import base64
import contextlib
import copy
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web

from llmbatch.api.base import timestamp, without_nulls

Json = dict[str, Any]
Verb = Literal["get", "list", "watch", "create", "patch", "apply", "delete"]
Place = tuple[str, str, str]
"""Plural, namespace, name."""

WITH_STATUS = {"batchjobs", "batchgateways"}
MOST_DATA = 1_048_576
PLURALS = {
    "": [("secrets", "Secret"), ("configmaps", "ConfigMap"), ("namespaces", "Namespace"), ("events", "Event")],
    "apiextensions.k8s.io": [("customresourcedefinitions", "CustomResourceDefinition")],
    "llmbatch.io": [("batchjobs", "BatchJob"), ("batchgateways", "BatchGateway")],
}


class StatusError(Exception):
    """An answer that isn't 2xx, as the API server words it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """Word it."""
        super().__init__(message)
        self.status = status
        self.body = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message}


@dataclass(frozen=True)
class Call:
    """A call that was made."""

    verb: Verb
    plural: str
    namespace: str
    name: str
    subresource: str
    body: Any

    @property
    def writes(self) -> bool:
        """Tell whether the call is a write."""
        return self.verb in ("create", "patch", "apply", "delete")


@dataclass
class Fault:
    """What befalls the calls that fit: `status` is answered, or the connection is cut before or after the work is done."""

    fits: Callable[[Call], bool]
    kind: Literal["status", "cut before", "cut after", "hold"]
    status: int = 500
    times: int = 1  # -1: until taken away
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """For `hold`: the call is done when this is set."""


class ApiServer:
    """Serves on a free port of the loopback interface."""

    def __init__(self) -> None:
        """Begin empty."""
        self.url = ""
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.denied: set[tuple[str, str]] = set()
        """Permissions that the operator has not: (verb, plural or plural/subresource)."""
        self.unserved: set[str] = set()
        self.stored: list[Json] = []
        """Every state that any object was ever stored in."""
        self.on_change: list[Callable[[str, Json], None]] = []
        """Told of every change: ADDED, MODIFIED or DELETED, and the object."""
        self._objects: dict[Place, Json] = {}
        self._version = 100
        self._watches: list[asyncio.Queue[tuple[str, Json]]] = []

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator["ApiServer"]:
        """Serve while the context is open."""
        app = web.Application(client_max_size=8 * MOST_DATA)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    # --- for tests ---------------------------------------------------------------------------------------------------

    def put(self, plural: str, body: Json) -> Json:
        """Make an object, or replace all of one but what the API server owns; the status too."""
        namespace, name = body["metadata"].get("namespace", ""), body["metadata"]["name"]
        if (plural, namespace, name) in self._objects:
            old = self._objects[plural, namespace, name]
            return self._store(plural, {**body, "metadata": {**old["metadata"], **body["metadata"]}}, old)
        return self._create(plural, namespace, body)

    def get(self, plural: str, name: str, namespace: str = "team-a") -> Json | None:
        """Read an object."""
        found = self._objects.get((plural, namespace, name))
        return copy.deepcopy(found) if found is not None else None

    def objects(self, plural: str) -> list[Json]:
        """Read all objects of a kind."""
        return [copy.deepcopy(found) for (kind, *_), found in self._objects.items() if kind == plural]

    def edit(self, plural: str, name: str, patch: Json, namespace: str = "team-a") -> Json:
        """Change an object by a merge patch, as a user or another controller does."""
        return self._patch(plural, namespace, name, "", patch, how="merge")

    def remove(self, plural: str, name: str, namespace: str = "team-a") -> None:
        """Delete an object, as a user does."""
        self._delete(plural, namespace, name)

    def fault(
        self,
        kind: Literal["status", "cut before", "cut after", "hold"],
        verb: Verb,
        plural: str,
        subresource: str = "",
        *,
        status: int = 500,
        times: int = 1,
        where: Callable[[Json], bool] = lambda _: True,
    ) -> Fault:
        """Have calls fail; `where` looks at their bodies."""

        def fits(call: Call) -> bool:
            return (call.verb, call.plural, call.subresource) == (verb, plural, subresource) and where(call.body)

        made = Fault(fits, kind, status, times)
        self.faults.append(made)
        return made

    def writes(self, plural: str) -> list[Call]:
        """Give the writes to a kind of object."""
        return [call for call in self.calls if call.writes and call.plural == plural]

    def data(self, plural: str, name: str, key: str) -> bytes:
        """Read a key of a Secret or ConfigMap."""
        found = self.get(plural, name)
        assert found is not None, f"{plural} {name} does not exist"
        return base64.b64decode(found["data"][key]) if plural == "secrets" else str(found["data"][key]).encode()

    # --- serving -----------------------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read() or b"null")
        parts = [part for part in request.path.split("/") if part]
        try:
            call = _call(request, parts, body)
            if call is None:
                return web.json_response(self._around(parts, body))
            self.calls.append(call)
            fault = self._fault(call)
            if fault is not None and fault.kind == "hold":
                await fault.released.wait()
            if fault is not None and fault.kind == "status":
                return web.json_response(
                    StatusError(fault.status, "MadeToFail", "made to fail").body, status=fault.status
                )
            if fault is not None and fault.kind == "cut before":
                return _cut(request)
            if call.verb == "watch":
                return await self._watch(request, call)
            answered = self._do(request, call)
            if fault is not None and fault.kind == "cut after":
                return _cut(request)
            return web.json_response(answered, status=201 if call.verb == "create" else 200)
        except StatusError as error:
            return web.json_response(error.body, status=error.status)

    def _fault(self, call: Call) -> Fault | None:
        for fault in self.faults:
            if fault.times != 0 and fault.fits(call):
                fault.times -= 1 if fault.times > 0 else 0
                return fault
        return None

    def _around(self, parts: list[str], body: Json) -> Json:
        """Answer discovery and access reviews."""
        match parts:
            case ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"]:
                asked = body["spec"]["resourceAttributes"]
                sub = f"/{asked['subresource']}" if asked.get("subresource") else ""
                return {"status": {"allowed": (asked["verb"], f"{asked['resource']}{sub}") not in self.denied}}
            case ["version"]:
                return {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}
            case ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"]}
            case ["apis"]:
                return {
                    "kind": "APIGroupList",
                    "groups": [_group("llmbatch.io/v1alpha1"), _group("apiextensions.k8s.io/v1")],
                }
            case ["api", "v1"] | ["apis", "llmbatch.io", "v1alpha1"] | ["apis", "apiextensions.k8s.io", "v1"]:
                group = "" if parts[0] == "api" else parts[1]
                return {"kind": "APIResourceList", "resources": self._resources(group)}
        raise StatusError(404, "NotFound", "the server could not find the requested resource")

    def _resources(self, group: str) -> list[Json]:
        verbs = ["get", "list", "watch", "create", "patch", "delete"]
        return [
            {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": True, "verbs": verbs}
            for plural, kind in PLURALS[group]
            if plural not in self.unserved
        ]

    def _do(self, request: web.Request, call: Call) -> Json:
        if call.plural in self.unserved:
            raise StatusError(404, "NotFound", "the server could not find the requested resource")
        match call.verb:
            case "get":
                found = self._objects.get((call.plural, call.namespace, call.name))
                if found is None:
                    raise _missing(call.plural, call.name)
                return found
            case "list":
                return self._list(request, call)
            case "create":
                return self._create(call.plural, call.namespace, call.body)
            case "delete":
                self._delete(call.plural, call.namespace, call.name)
                return {"kind": "Status", "status": "Success"}
            case "apply":
                return self._apply(call)
            case _:
                how: Literal["json", "merge"] = "json" if "json-patch" in request.content_type else "merge"
                return self._patch(call.plural, call.namespace, call.name, call.subresource, call.body, how=how)

    def _list(self, request: web.Request, call: Call) -> Json:
        found = [
            item
            for (plural, namespace, _), item in sorted(self._objects.items())
            if plural == call.plural and call.namespace in ("", namespace) and _selected(item, request.query)
        ]
        begin, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or 500)
        more = str(begin + limit) if begin + limit < len(found) else ""
        metadata = {"resourceVersion": str(self._version), "continue": more}
        return {"kind": "List", "metadata": metadata, "items": found[begin : begin + limit]}

    async def _watch(self, request: web.Request, call: Call) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/json"
        changes: asyncio.Queue[tuple[str, Json]] = asyncio.Queue()
        self._watches.append(changes)
        try:
            await response.prepare(request)
            while True:
                kind, found = await changes.get()
                if found["_plural"] == call.plural and call.namespace in ("", found["metadata"]["namespace"]):
                    event = {"type": kind, "object": {key: value for key, value in found.items() if key != "_plural"}}
                    await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self._watches.remove(changes)

    # --- writes ------------------------------------------------------------------------------------------------------

    def _create(self, plural: str, namespace: str, body: Json) -> Json:
        made = copy.deepcopy(body)
        metadata = made["metadata"]
        metadata["namespace"] = namespace
        name = metadata.setdefault("name", f"{metadata.pop('generateName', '')}{uuid.uuid4().hex[:5]}")
        if (plural, namespace, name) in self._objects:
            raise StatusError(409, "AlreadyExists", f'{plural} "{name}" already exists')
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", timestamp(datetime.now(UTC)))
        metadata.setdefault("generation", 1)
        return self._store(plural, made, None)

    def _patch(
        self, plural: str, namespace: str, name: str, subresource: str, body: Any, *, how: Literal["json", "merge"]
    ) -> Json:
        old = self._objects.get((plural, namespace, name))
        if old is None:
            raise _missing(plural, name)
        if how == "json":
            patched = _json_patched(old, body)
        else:
            version = body.get("metadata", {}).get("resourceVersion")
            if version is not None and version != old["metadata"]["resourceVersion"]:
                raise StatusError(409, "Conflict", f'{plural} "{name}": the object has been modified')
            patched = merged(old, body)
        if plural in WITH_STATUS:
            kept = old if subresource == "status" else patched
            status = (patched if subresource == "status" else old).get("status")
            patched = {**kept, "metadata": kept["metadata"], **({"status": status} if status is not None else {})}
            if patched.get("spec") != old.get("spec"):
                patched["metadata"] = {**patched["metadata"], "generation": old["metadata"]["generation"] + 1}
        return self._store(plural, patched, old)

    def _apply(self, call: Call) -> Json:
        old = self._objects.get((call.plural, call.namespace, call.name))
        if old is None:
            return self._create(call.plural, call.namespace, call.body)
        return self._store(call.plural, merged(old, call.body), old)

    def _store(self, plural: str, made: Json, old: Json | None) -> Json:
        made = without_nulls(copy.deepcopy(made))
        metadata = made["metadata"]
        size = sum(len(value) * (3 if plural == "secrets" else 4) // 4 for value in (made.get("data") or {}).values())
        if plural in ("secrets", "configmaps") and size > MOST_DATA:
            raise StatusError(422, "Invalid", f"data: Too long: may not be more than {MOST_DATA} bytes")
        if old is not None and {**made, "metadata": {**metadata, "resourceVersion": ""}} == {
            **old,
            "metadata": {**old["metadata"], "resourceVersion": ""},
        }:
            return old
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        place = (plural, metadata["namespace"], metadata["name"])
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            self._objects.pop(place, None)
            self._tell("DELETED", plural, made)
            self._collect(metadata["uid"])
            return made
        self._objects[place] = made
        self._tell("ADDED" if old is None else "MODIFIED", plural, made)
        return made

    def _delete(self, plural: str, namespace: str, name: str) -> None:
        old = self._objects.get((plural, namespace, name))
        if old is None:
            raise _missing(plural, name)
        now = old["metadata"].get("deletionTimestamp") or timestamp(datetime.now(UTC))
        # Deleting is a change of the object as a whole, for its generation too.
        metadata = {**old["metadata"], "deletionTimestamp": now}
        if plural in WITH_STATUS and "deletionTimestamp" not in old["metadata"]:
            metadata["generation"] = old["metadata"]["generation"] + 1
        self._store(plural, {**old, "metadata": metadata}, old)

    def _collect(self, owner: str) -> None:
        """Delete what an object that is gone owned."""
        for (plural, namespace, name), found in list(self._objects.items()):
            references = found["metadata"].get("ownerReferences") or []
            if any(item["uid"] == owner for item in references):
                self._delete(plural, namespace, name)

    def _tell(self, kind: str, plural: str, found: Json) -> None:
        told = copy.deepcopy(found)
        self.stored.append({**told, "_plural": plural})
        for watch in self._watches:
            watch.put_nowait((kind, {**told, "_plural": plural}))
        for callback in self.on_change:
            callback(kind, {**told, "_plural": plural})


def merged(target: Any, patch: Any) -> Any:
    """Apply a merge patch, as RFC 7386 says."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _call(request: web.Request, parts: list[str], body: Any) -> Call | None:
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
        case "PATCH":
            verb = "apply" if "apply-patch" in request.content_type else "patch"
        case _:
            verb = "delete"
    return Call(verb, plural, namespace, name, subresource, body)


def _selected(item: Json, query: Any) -> bool:
    labels = item["metadata"].get("labels") or {}
    for term in filter(None, (query.get("labelSelector") or "").split(",")):
        key, _, value = term.partition("=")
        if labels.get(key) != value:
            return False
    for term in filter(None, (query.get("fieldSelector") or "").split(",")):
        path, _, value = term.partition("=")
        found: Any = item
        for part in path.split("."):
            found = (found or {}).get(part)
        if found != value:
            return False
    return True


def _json_patched(old: Json, operations: list[Json]) -> Json:
    made = copy.deepcopy(old)
    for step in operations:
        *parents, last = step["path"].strip("/").split("/")
        target = made
        for part in parents:
            target = target[part]
        if step["op"] == "test":
            if target.get(last) != step["value"]:
                raise StatusError(422, "Invalid", f"the server rejected our request: testing {step['path']} failed")
        elif step["op"] == "remove":
            del target[last]
        else:
            target[last] = step["value"]
    return made


def _group(name: str) -> Json:
    version: Json = {"groupVersion": name, "version": name.split("/")[1]}
    return {"name": name.split("/", maxsplit=1)[0], "versions": [version], "preferredVersion": version}


def _missing(plural: str, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{plural} "{name}" not found')


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
