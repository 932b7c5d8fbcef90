"""What the watch has told of our objects: for finding them, never for deciding about a remote write."""

from typing import Any

from llmbatch.api import FINALIZER
from llmbatch.controller.queue import Key
from llmbatch.core import lifecycle, remains

Json = dict[str, Any]

BATCHJOB = "BatchJob"
BATCHGATEWAY = "BatchGateway"


class Cache:
    """The last known state of every BatchJob and BatchGateway."""

    def __init__(self) -> None:
        """Begin empty."""
        self._objects: dict[Key, Json] = {}

    def put(self, key: Key, found: Json) -> None:
        """Remember an object, without managedFields, which nobody reads; an older state than the one held is ignored."""
        held = self._objects.get(key)
        # The watch tells of our own writes late: by then the answer to a later one may be here.
        if held is not None and _version(found) < _version(held) and _uid(found) == _uid(held):
            return
        metadata = {name: value for name, value in found.get("metadata", {}).items() if name != "managedFields"}
        self._objects[key] = {**found, "metadata": metadata}

    def drop(self, key: Key) -> None:
        """Forget an object that is gone."""
        self._objects.pop(key, None)

    def get(self, key: Key) -> Json | None:
        """Give the last known state."""
        return self._objects.get(key)

    def keys(self, kind: str) -> list[Key]:
        """Give the keys of all objects of a kind."""
        return [key for key in list(self._objects) if key.kind == kind]

    def phases(self) -> list[str]:
        """Give the phase of every BatchJob."""
        return [str((self._objects[key].get("status") or {}).get("phase", "Pending")) for key in self.keys(BATCHJOB)]

    def gateway_of(self, job: Key) -> Key:
        """Give the gateway that a BatchJob goes through; with an empty name when that is not known."""
        spec = (self._objects.get(job) or {}).get("spec") or {}
        return Key(BATCHGATEWAY, job.namespace, str((spec.get("gatewayRef") or {}).get("name", "")))

    def jobs_of(self, namespace: str, gateway: str) -> list[Key]:
        """Give the BatchJobs that go through a gateway."""
        return [
            key
            for key in self.keys(BATCHJOB)
            if key.namespace == namespace
            and ((self._objects[key].get("spec") or {}).get("gatewayRef") or {}).get("name") == gateway
        ]

    def active(self, namespace: str, gateway: str) -> set[Key]:
        """Give the BatchJobs whose batch at a gateway is under way, or about to be."""
        return {key for key in self.jobs_of(namespace, gateway) if _is_active(self._objects[key])}


def _version(found: Json) -> int:
    version = str(found.get("metadata", {}).get("resourceVersion", ""))
    return int(version) if version.isdecimal() else 0


def _uid(found: Json) -> str | None:
    uid: str | None = found.get("metadata", {}).get("uid")
    return uid


def is_settled(found: Json) -> bool:
    """Tell whether there is nothing at all left to do for a BatchJob, so that a pass need not even read it."""
    metadata, status = found.get("metadata") or {}, found.get("status") or {}
    return (
        remains.is_ended(found)
        and "deletionTimestamp" not in metadata
        and (FINALIZER in (metadata.get("finalizers") or [])) == remains.discards_files(found)
        and status.get("observedGeneration") == metadata.get("generation")
    )


def _is_active(found: Json) -> bool:
    status = found.get("status") or {}
    if remains.is_ended(found) or status.get("output"):
        return False
    batch: Json = next(iter(status.get("batches") or []), {})
    if batch.get("id"):
        return batch.get("status") not in lifecycle.ENDED
    return bool(status.get("submission"))
