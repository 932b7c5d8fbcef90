"""The objects of the API server in memory, with its rules about writes."""

import copy
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from llmbatch.api.base import UNSEEN, timestamp, without_nulls
from tests.support import definitions

Json = dict[str, Any]
Verb = Literal["get", "list", "watch", "create", "update", "patch", "apply", "delete"]
Place = tuple[str, str, str]
"""Plural, namespace, name."""

WITH_STATUS = {"batchjobs", "batchgateways"}
MOST_DATA = 1_048_576


class UnservedError(Exception):
    """A path that belongs to no kind that is served."""


class StatusError(Exception):
    """An answer that isn't 2xx, as the API server words it."""

    def __init__(self, status: int, reason: str, message: str, details: Json | None = None) -> None:
        """Word it."""
        super().__init__(message)
        self.status = status
        self.body = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message}
        self.body |= {"details": details} if details else {}


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
        return self.verb in ("create", "update", "patch", "apply", "delete")


class ObjectStore:
    """Keeps objects of any kind, and tells of every change."""

    def __init__(self) -> None:
        """Begin empty."""
        self.stored: list[Json] = []
        """Every state that any object was ever stored in."""
        self.on_change: list[Callable[[str, Json], None]] = []
        """Told of every change: ADDED, MODIFIED or DELETED, and the object."""
        self.clock_offset_seconds = 0.0
        """How far the API server's clock is ahead of ours."""
        self.terminating: set[str] = set()
        """Namespaces that are being deleted: nothing can be made in them."""
        self._objects: dict[Place, Json] = {}
        self._version = 100

    def now(self) -> datetime:
        """Give the moment by the API server's clock."""
        return datetime.now(UTC) + timedelta(seconds=self.clock_offset_seconds)

    def backup(self) -> tuple[dict[Place, Json], int]:
        """Take a snapshot, as of etcd."""
        return copy.deepcopy(self._objects), self._version

    def restore(self, backup: tuple[dict[Place, Json], int]) -> None:
        """Go back to a snapshot: versions too. Watches are not told; they list anew."""
        self._objects, self._version = copy.deepcopy(backup[0]), backup[1]

    def _create(self, plural: str, namespace: str, body: Json, *, is_trial: bool = False) -> Json:
        if namespace in self.terminating:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": why, "field": "metadata.namespace"}
            raise StatusError(403, "Forbidden", f"{plural} is forbidden: {why}", {"kind": plural, "causes": [cause]})
        made = copy.deepcopy(body)
        metadata = made["metadata"]
        metadata["namespace"] = namespace
        name = metadata.setdefault("name", f"{metadata.pop('generateName', '')}{uuid.uuid4().hex[:5]}")
        if (plural, namespace, name) in self._objects:
            raise StatusError(409, "AlreadyExists", f'{plural} "{name}" already exists')
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", timestamp(self.now()))
        metadata.setdefault("generation", 1)
        if plural in WITH_STATUS:
            made.setdefault("status", {"observedGeneration": UNSEEN})
        if is_trial:
            _check_size(plural, made)
            return made
        return self._store(plural, made, None)

    def _patch(
        self, plural: str, namespace: str, name: str, subresource: str, body: Any, *, how: Literal["json", "merge"]
    ) -> Json:
        old = self._objects.get((plural, namespace, name))
        if old is None:
            raise missing(plural, name)
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
            if why := list(definitions.refusals(plural, old, patched, status=subresource == "status")):
                too_large = why[-1].startswith("etcdserver")
                raise StatusError(
                    500 if too_large else 422, "Invalid", f'{plural} "{name}" is invalid: {"; ".join(why)}'
                )
            if patched.get("spec") != old.get("spec"):
                patched["metadata"] = {**patched["metadata"], "generation": old["metadata"]["generation"] + 1}
        return self._store(plural, patched, old)

    def _update(self, call: Call) -> Json:
        old = self._objects.get((call.plural, call.namespace, call.name))
        if old is None:
            raise missing(call.plural, call.name)
        if call.body["metadata"].get("resourceVersion") != old["metadata"]["resourceVersion"]:
            raise StatusError(409, "Conflict", f'{call.plural} "{call.name}": the object has been modified')
        return self._store(call.plural, {**call.body, "metadata": {**old["metadata"], **call.body["metadata"]}}, old)

    def _apply(self, call: Call) -> Json:
        old = self._objects.get((call.plural, call.namespace, call.name))
        uid = call.body["metadata"].get("uid")
        if uid is not None and (old is None or old["metadata"]["uid"] != uid):
            raise StatusError(409, "Conflict", f'{call.plural} "{call.name}": the UID in the precondition is {uid}')
        if old is None:
            return self._create(call.plural, call.namespace, call.body)
        return self._store(call.plural, merged(old, call.body), old)

    def _store(self, plural: str, made: Json, old: Json | None) -> Json:
        made = without_nulls(copy.deepcopy(made))
        metadata = made["metadata"]
        _check_size(plural, made)
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
            raise missing(plural, name)
        now = old["metadata"].get("deletionTimestamp") or timestamp(self.now())
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
        for callback in self.on_change:
            callback(kind, {**told, "_plural": plural})


def _check_size(plural: str, made: Json) -> None:
    size = sum(len(value) * (3 if plural == "secrets" else 4) // 4 for value in (made.get("data") or {}).values())
    if plural in ("secrets", "configmaps") and size > MOST_DATA:
        raise StatusError(422, "Invalid", f"data: Too long: may not be more than {MOST_DATA} bytes")


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


def missing(plural: str, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{plural} "{name}" not found')
