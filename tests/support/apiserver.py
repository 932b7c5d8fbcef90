"""A Kubernetes API server in memory: what the operator uses of the real one, with its own rules about writes.

It keeps objects of any kind, rejects stale resourceVersions, applies merge and JSON patches and server-side apply, judges
without storing on a dry run, has a clock, a status subresource, finalizers, watches and SelfSubjectAccessReviews, and fails when it is told to.
"""

import asyncio
import base64
import contextlib
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import format_datetime
from typing import Literal

from aiohttp import web

from tests.support.apicalls import Fault, call_of, cut, described, selected
from tests.support.apistore import MOST_DATA, Call, Json, ObjectStore, StatusError, UnservedError, Verb, missing
from tests.support.jobcontroller import JobController

PLURALS = {
    "": [("secrets", "Secret"), ("configmaps", "ConfigMap"), ("namespaces", "Namespace"), ("events", "Event")],
    "apiextensions.k8s.io": [("customresourcedefinitions", "CustomResourceDefinition")],
    "coordination.k8s.io": [("leases", "Lease")],
    "llmbatch.io": [("batchjobs", "BatchJob"), ("batchgateways", "BatchGateway")],
}


Watch = asyncio.Queue[tuple[str, Json]]


class ApiServer(ObjectStore):
    """Serves on a free port of the loopback interface."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self.url = ""
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.denied: set[tuple[str, str]] = set()
        """Permissions that the operator has not: (verb, plural or plural/subresource)."""
        self.unserved: set[str] = set()
        self.exec: Callable[[web.Request, Json], Awaitable[web.StreamResponse]] | None = None
        """Runs a command in a pod, over a WebSocket; see execs.py."""
        self.writes_json: Callable[[str], str] = str  # has the last word: puts in what Python's own JSON could not hold
        self.mute: set[str] = set()
        """Plurals of which watches are told nothing, and never will be of what goes on meanwhile."""
        self._watches: list[Watch] = []
        self._told: list[tuple[str, Json]] = []
        self._forgotten = 0
        self.on_change.append(self._tell_watches)
        self.on_change.append(JobController(self).changed)

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator["ApiServer"]:
        """Serve while the context is open."""
        app = web.Application(client_max_size=8 * MOST_DATA)
        app.on_response_prepare.append(self._tell_time)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _tell_time(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = format_datetime(self.now(), usegmt=True)

    def _tell_watches(self, kind: str, found: Json) -> None:
        if found["_plural"] in self.mute:
            return
        self._told.append((kind, dict(found)))
        for watch in self._watches:
            watch.put_nowait((kind, dict(found)))

    def end_watches(self) -> None:
        """End all watches, as an API server does now and then."""
        for watch in self._watches:
            watch.put_nowait(("END", {}))

    def forget(self) -> None:
        """Forget what was told so far, as an API server does after a while: no watch can go on from there."""
        self._told.clear()
        self._forgotten = self._version

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
        kind: Literal["status", "cut before", "cut after", "hold", "late", "page"],
        verb: Verb,
        plural: str,
        subresource: str = "",
        *,
        status: int = 500,
        times: int = 1,
        where: Callable[[Json], bool] = lambda _: True,
    ) -> Fault:
        """Have calls fail; `where` looks at their bodies."""
        fitting = verb, plural, subresource
        fits = lambda call: (call.verb, call.plural, call.subresource) == fitting and where(call.body)  # noqa: E731
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
            call = call_of(request, parts, body)
            if call is None:
                return web.json_response(self._around(parts, body))
            self.calls.append(call)
            fault = self._fault(call)
            if fault is not None and fault.kind == "hold":
                await fault.released.wait()
            if fault is not None and fault.kind == "status":
                refusal = StatusError(fault.status, "MadeToFail", "made to fail").body
                return web.json_response(refusal, status=fault.status, headers=fault.headers)
            if fault is not None and fault.kind == "page":
                # Of somebody on the way, who says that all is well.
                return web.Response(text="<html>Sign in</html>", content_type="text/html")
            if fault is not None and fault.kind == "cut before":
                return cut(request)
            if call.verb == "watch":
                return await self._watch(request, call)
            answered = await self._done(request, call, fault)
            if call.subresource == "exec" and self.exec is not None:
                return await self.exec(request, answered)
            if fault is not None and fault.kind == "cut after":
                return cut(request)
            text = self.writes_json(json.dumps(answered))
            return web.json_response(text=text, status=201 if call.verb == "create" else 200)
        except UnservedError:
            # No Status: nothing of the API server is at that path, only its mux.
            return web.Response(status=404, text="404 page not found\n")
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
                    "groups": [described("llmbatch.io/v1alpha1"), described("apiextensions.k8s.io/v1")],
                }
            case ["api", "v1"] | ["apis", "llmbatch.io", "v1alpha1"] | ["apis", "apiextensions.k8s.io", "v1"]:
                group = "" if parts[0] == "api" else parts[1]
                return {"kind": "APIResourceList", "resources": self._resources(group)}
        raise UnservedError

    def _resources(self, group: str) -> list[Json]:
        verbs = ["get", "list", "watch", "create", "patch", "delete"]
        return [
            {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": True, "verbs": verbs}
            for plural, kind in PLURALS[group]
            if plural not in self.unserved
        ]

    async def _done(self, request: web.Request, call: Call, fault: Fault | None) -> Json:
        try:
            return copy.deepcopy(self._do(request, call))
        finally:
            if fault is not None and fault.kind == "late":
                await fault.released.wait()

    def _do(self, request: web.Request, call: Call) -> Json:
        if call.plural in self.unserved:
            raise UnservedError
        match call.verb:
            case "get":
                found = self._objects.get((call.plural, call.namespace, call.name))
                if found is None:
                    raise missing(call.plural, call.name)
                return found
            case "list":
                return self._list(request, call)
            case "create":
                is_trial = request.query.get("dryRun") == "All"
                return self._create(call.plural, call.namespace, call.body, is_trial=is_trial)
            case "update":
                return self._update(call)
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
            if plural == call.plural and call.namespace in ("", namespace) and selected(item, request.query)
        ]
        begin, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or 500)
        more = str(begin + limit) if begin + limit < len(found) else ""
        metadata = {"resourceVersion": str(self._version), "continue": more}
        return {"kind": "List", "metadata": metadata, "items": found[begin : begin + limit]}

    async def _watch(self, request: web.Request, call: Call) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/json"
        changes: Watch = asyncio.Queue()
        if (since := request.query.get("resourceVersion")) is not None:
            if int(since) < self._forgotten:
                raise StatusError(410, "Expired", f"too old resource version: {since}")
            for kind, found in self._told:
                if int(found["metadata"]["resourceVersion"]) > int(since):
                    changes.put_nowait((kind, found))
        self._watches.append(changes)
        try:
            await response.prepare(request)
            while (change := await changes.get())[0] != "END":
                kind, found = change
                fits = found["_plural"] == call.plural and call.namespace in ("", found["metadata"]["namespace"])
                if fits and selected(found, request.query):
                    event = {"type": kind, "object": {key: value for key, value in found.items() if key != "_plural"}}
                    await response.write(self.writes_json(json.dumps(event)).encode() + b"\n")
        finally:
            self._watches.remove(changes)
        return response
