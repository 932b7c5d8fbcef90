"""What the watch has told of our objects, and the API server in its answers: to find them, and to look at them by.

Before anything is done on their ground that costs money or can't be taken back, it is to be an answer of just now.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from llmbatch.api import ACCEPT_MISSING_ANNOTATION, FINALIZER, RESUBMIT_ANNOTATION
from llmbatch.api.batch_status import entries
from llmbatch.api.transfer import Affinity
from llmbatch.batch.pure import lifecycle, remote_state
from llmbatch.common import sharing
from llmbatch.kube.clock import Mark, Stopwatch
from llmbatch.runtime.queue import Key

Json = dict[str, Any]

FRESH_SECONDS = 1.0
"""For so long an answer of the API server is what is true now, whatever clock is asked."""
METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
)
"""What is held of the metadata, besides labels and annotations."""
READ = (RESUBMIT_ANNOTATION, ACCEPT_MISSING_ANNOTATION)
MOST_TEXT = 32 * 1024
"""Characters of annotations, or of labels, that are held as they are; a hundred ids are less."""
BATCHJOB = "BatchJob"
BATCHGATEWAY = "BatchGateway"

P = TypeVar("P")
V = TypeVar("V")
Place = tuple[str, str, str]
"""A namespace, what is in it, and its name."""
Listener = Callable[[Key, Json | None, Json | None], None]
"""Told of every object that is held anew, as it was held before (None: it wasn't), and of every one that is held no more (None)."""


@dataclass
class _Index:
    """BatchJobs by their gateway and their places: to look through all would make each pass as long as there are some."""

    jobs: dict[Key, dict[Key, None]] = field(default_factory=dict)
    active: dict[Key, dict[Key, int]] = field(default_factory=dict)
    places: dict[Place, dict[Key, None]] = field(default_factory=dict)

    def changed(self, key: Key, before: Json | None, found: Json | None) -> None:
        """Take it that a BatchJob is another one by now."""
        if before is not None:
            gateway = _gateway_of(key, before)
            _take(self.jobs, gateway, key)
            _take(self.active, gateway, key)
            for place in places_of(before):
                _take(self.places, (key.namespace, *place), key)
        if found is not None:
            gateway = _gateway_of(key, found)
            self.jobs.setdefault(gateway, {})[key] = None
            if count := active_batches(found):
                self.active.setdefault(gateway, {})[key] = count
            if not remote_state.is_ended(found):
                for place in places_of(found):
                    self.places.setdefault((key.namespace, *place), {})[key] = None


class Cache:
    """The last known state of every BatchJob and BatchGateway."""

    def __init__(self) -> None:
        """Begin empty."""
        self._objects: dict[Key, Json] = {}
        # The loop alone changes it, but a scrape reads it from its own thread, while objects come and go.
        self._lock = threading.Lock()
        self._doubtful: set[Key] = set()
        self._unsure: set[Key] = set()
        self._answered: dict[Key, tuple[str, int, Mark]] = {}
        self._stopwatch = Stopwatch()
        self._listeners: list[Listener] = []
        self._index = _Index()

    def listen(self, listener: Listener) -> None:
        """Tell somebody of every change, at once."""
        self._listeners.append(listener)

    def put(self, key: Key, found: Json) -> None:
        """Remember what is read of an object; an older state than the one held is ignored."""
        # The watch tells of our own writes late: by then the answer to a later one may be here.
        if self.is_another(key, found) or not self.is_older(key, found):
            self._hold(key, found)

    def is_older(self, key: Key, found: Json) -> bool:
        """Tell whether an object's state has an earlier version than the one held."""
        held = self._objects.get(key)
        return held is not None and _version(found) < _version(held)

    def is_another(self, key: Key, found: Json) -> bool:
        """Tell whether an object of the same name is held, made before or after this one."""
        held = self._objects.get(key)
        return held is not None and uid_of(found) != uid_of(held)

    def doubt(self, key: Key) -> None:
        """Note that the API server may have gone back (a restored etcd): its next direct answer counts, however old."""
        self._doubtful.add(key)

    def is_doubtful(self, key: Key) -> bool:
        """Tell whether the state held may be one that was undone."""
        return key in self._doubtful

    def asked(self, key: Key, found: Json | None, before: Json | None) -> None:
        """Remember what the API server has answered to a direct question; None: there is no such object.

        `before` is what was held when it was asked. What was told meanwhile may be newer than the answer.
        """
        held = self._objects.get(key)
        if found is None:
            if held is None or uid_of(held) == uid_of(before):
                self.drop(key)
        elif key not in self._doubtful or held is not before:
            self.answered(key, found)
        else:
            self._doubtful.discard(key)
            if held is not None:
                self._hold(key, found)
                self._confirm(key, found)

    def answered(self, key: Key, found: Json) -> None:
        """Remember an object as the API server has just answered it to a call about it.

        Only the watch and lists tell what there is: by the time an answer comes they may have told of the object's end, or of
        another one of its name, and what is gone would be held until the next full list.
        """
        if key not in self._objects or (self.is_another(key, found) and self.is_older(key, found)):
            return
        self.put(key, found)
        self._confirm(key, found)

    def _confirm(self, key: Key, found: Json) -> None:
        self._unsure.discard(key)
        self._answered[key] = uid_of(found), _version(found), self._stopwatch.mark()

    def unsure(self, key: Key) -> None:
        """Note that something went otherwise than the state held led to expect: the API server is asked before the next look."""
        if key in self._objects:
            self._unsure.add(key)

    def is_sure(self, key: Key) -> bool:
        """Tell whether an object may be looked at by the state held."""
        return key in self._objects and key not in self._unsure and key not in self._doubtful

    def is_fresh(self, key: Key) -> bool:
        """Tell whether the state held is what the API server has answered just now."""
        held, known = self._objects.get(key), self._answered.get(key)
        if held is None or known is None or not self.is_sure(key) or (uid_of(held), _version(held)) != known[:2]:
            return False
        return self._stopwatch.since(known[2]) < FRESH_SECONDS

    def _hold(self, key: Key, found: Json) -> None:
        before, held = self._objects.get(key), sharing.shared(known_by(found))
        with self._lock:
            self._objects[key] = held
        self._told(key, before, held)

    def _snapshot(self) -> list[tuple[Key, Json]]:
        with self._lock:
            return list(self._objects.items())

    def drop(self, key: Key) -> None:
        """Forget an object that is gone."""
        with self._lock:
            before = self._objects.pop(key, None)
        self._doubtful.discard(key)
        self._unsure.discard(key)
        self._answered.pop(key, None)
        self._told(key, before, None)

    def _told(self, key: Key, before: Json | None, found: Json | None) -> None:
        if key.kind == BATCHJOB:
            with self._lock:
                self._index.changed(key, before, found)
        for listener in self._listeners:
            listener(key, before, found)

    def get(self, key: Key) -> Json | None:
        """Give the last known state."""
        return self._objects.get(key)

    def keys(self, kind: str) -> list[Key]:
        """Give the keys of all objects of a kind."""
        return [key for key, _ in self._snapshot() if key.kind == kind]

    def of_places(self, job: Key, found: Json) -> list[tuple[Key, Json]]:
        """Give the other BatchJobs that have not ended and write to a claim or an object that this one writes to."""
        keys = {key for place in places_of(found) for key in self._index.places.get((job.namespace, *place), ())}
        return [(key, self._objects[key]) for key in sorted(keys - {job})]

    def all_of(self, kind: str) -> list[tuple[Key, Json]]:
        """Give all objects of a kind."""
        return [(key, found) for key, found in self._snapshot() if key.kind == kind]

    def gateway_of(self, job: Key) -> Key:
        """Give the gateway that a BatchJob goes through; with an empty name when that is not known."""
        return _gateway_of(job, self._objects.get(job))

    def jobs_of(self, namespace: str, gateway: str) -> list[Key]:
        """Give the BatchJobs that go through a gateway."""
        with self._lock:
            return list(self._index.jobs.get(Key(BATCHGATEWAY, namespace, gateway), ()))

    def active(self, namespace: str, gateway: str) -> dict[Key, int]:
        """Count the batches at a gateway that are under way, or about to be, of each BatchJob that has any."""
        with self._lock:
            return dict(self._index.active.get(Key(BATCHGATEWAY, namespace, gateway), {}))


def known_by(found: Json) -> Json:
    """Leave of an object what is ever looked at: what users put into the rest, a megabyte perhaps, would all be in memory."""
    made = {**found, "metadata": known_metadata(found)}
    transfer = (found.get("spec") or {}).get("transfer") or {}
    if "affinity" in transfer and transfer["affinity"] != (affinity := Affinity.as_read(transfer["affinity"])):
        made["spec"] = {**found["spec"], "transfer": {**transfer, "affinity": affinity}}
    return made


def known_metadata(found: Json) -> Json:
    """Leave of an object's metadata what is ever looked at."""
    given = found.get("metadata") or {}
    metadata = {name: given[name] for name in METADATA if name in given}
    return metadata | {name: _short(given[name]) for name in ("annotations", "labels") if given.get(name)}


def _short(given: dict[str, str]) -> dict[str, str]:
    """Give annotations or labels as they are held: of many or long ones those that are read, and what tells a change of others."""
    if sum(len(name) + len(value) for name, value in given.items()) <= MOST_TEXT:
        return given
    # So short that this says the same of what it has made.
    read = {name: given[name][: MOST_TEXT // 3] for name in READ if name in given}
    return {**read, "": hashlib.sha256(repr(sorted(given.items())).encode()).hexdigest()}


def _take(index: dict[P, dict[Key, V]], place: P, key: Key) -> None:
    """Take a key out of an index; nothing stays of a place that nobody is at any more: users make them up."""
    found = index.get(place, {})
    found.pop(key, None)
    if not found:
        index.pop(place, None)


def places_of(job: Json) -> set[tuple[str, str]]:
    """Name the claims and objects that a BatchJob writes its results to: what each is, and its name."""
    output: Json = (job.get("spec") or {}).get("output") or {}
    named = ((kind, place) for kind, place in output.items() if isinstance(place, dict))
    return {(kind, str(place.get("claimName") or place.get("name"))) for kind, place in named}


def _gateway_of(job: Key, found: Json | None) -> Key:
    spec = (found or {}).get("spec") or {}
    return Key(BATCHGATEWAY, job.namespace, str((spec.get("gatewayRef") or {}).get("name", "")))


def _version(found: Json) -> int:
    version = str(found.get("metadata", {}).get("resourceVersion", ""))
    return int(version) if version.isdecimal() else 0


def uid_of(found: Json | None) -> str:
    """Give an object's uid; "": it has none, or there is no object."""
    return str(((found or {}).get("metadata") or {}).get("uid") or "")


def is_settled(found: Json) -> bool:
    """Tell whether there is nothing at all left to do for a BatchJob, so that a pass need not even read it."""
    metadata, status = found.get("metadata") or {}, found.get("status") or {}
    return (
        remote_state.is_ended(found)
        and "deletionTimestamp" not in metadata
        and (FINALIZER in (metadata.get("finalizers") or [])) == remote_state.discards_files(found)
        and status.get("observedGeneration") == metadata.get("generation")
    )


def active_batches(found: Json) -> int:
    """Count a stored BatchJob's batches that are under way, or about to be."""
    status = found.get("status") or {}
    if remote_state.is_ended(found) or status.get("output"):
        return 0
    return sum(
        batch.get("status") not in lifecycle.ENDED if batch.get("id") else bool(batch.get("submission"))
        for batch in entries(status)
    )
