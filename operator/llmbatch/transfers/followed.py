"""The transfer Jobs as they are told of: by the API server's watch, and by its answers to what is asked or made.

What is told may come late, or never. A Job that is not known here is made by a name that there can be only one of, so that
the API server's answer decides whether there is one; one that is known is asked for when nothing was told for a while.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from llmbatch.runtime.cache import BATCHJOB
from llmbatch.runtime.queue import Key, WorkQueue
from llmbatch.transfer.pure import naming, told
from llmbatch.transfer.pure.naming import Owner

Json = dict[str, Any]
Place = tuple[str, str]
"""A namespace, and a Job's name."""

SELECTOR = f"{naming.LABEL_MANAGED_BY}={naming.MANAGER},{naming.LABEL_UID}"
OVERDUE_SECONDS = 30.0
"""A Job that is at work, and of which nothing was told for so long, is asked for."""


@dataclass(slots=True)
class Held:
    """One Job."""

    job: Json
    confirmed: float
    """When that was last told, by the monotonic clock."""
    looked: float
    """When its pod was last read."""
    was_ready: bool = False
    is_done: bool = False
    """What its pod has left was read: there is nothing more to be told of it."""

    @property
    def version(self) -> int:
        """Its resourceVersion."""
        return version_of(self.job)


@dataclass
class Followed:
    """Holds transfer Jobs, and has their BatchJobs looked at when there is news of them."""

    queue: WorkQueue
    overdue_seconds: float = OVERDUE_SECONDS
    _held: dict[Place, Held] = field(default_factory=dict)
    _of: dict[tuple[str, str], dict[Place, None]] = field(default_factory=dict)
    """By the BatchJob's namespace and uid: in another namespace, anybody may put our labels on a Job of his own."""
    _told: set[str | None] = field(default_factory=set)
    """Namespaces that are watched now; None: all are."""
    _removed: dict[str, Place] = field(default_factory=dict)
    """By uid: those that were removed here, of which the watch may still tell."""

    # --- what is known -----------------------------------------------------------------------------------------------

    def is_told(self, namespace: str) -> bool:
        """Tell whether what happens in a namespace is told."""
        return None in self._told or namespace in self._told

    def of(self, owner: Owner) -> list[Json] | None:
        """Give the transfer Jobs of a BatchJob; None when that has to be asked for."""
        if not self.is_told(owner.namespace):
            return None
        return [self._held[place].job for place in self._of.get((owner.namespace, owner.uid), ())]

    def held(self, job: Json) -> Held | None:
        """Give what is held of a Job."""
        found = self._held.get(_place(job))
        return found if found is not None and _uid(found.job) == _uid(job) else None

    def is_overdue(self, job: Json) -> bool:
        """Tell whether nothing was told of a Job for too long."""
        held = self.held(job)
        return held is None or time.monotonic() - held.confirmed > self.overdue_seconds

    # --- what was asked or done here -----------------------------------------------------------------------------------

    def answered(self, job: Json) -> None:
        """Take a Job as the API server has just answered it."""
        self._removed.pop(_uid(job), None)
        held = self.held(job)
        if held is None or held.version <= version_of(job):
            self._hold(job)
        else:
            # The watch was faster than the answer.
            held.confirmed = time.monotonic()

    def removed(self, namespace: str, name: str) -> None:
        """Take it that a Job was removed here just now."""
        held = self._held.get((namespace, name))
        if held is not None:
            self._removed[_uid(held.job)] = namespace, name
            self._drop((namespace, name))

    def gone(self, namespace: str, name: str) -> None:
        """Take it that there is no such Job, as the API server has just answered."""
        self._drop((namespace, name))

    # --- what the watch tells ------------------------------------------------------------------------------------------

    async def told(self, kind: str, found: Json) -> None:
        """Take in a Job, and have its BatchJob looked at if it is news."""
        place, uid = _place(found), _uid(found)
        if kind == "DELETED":
            held, ours = self.held(found), self._removed.pop(uid, None)
            if held is not None:
                self._drop(place)
            if held is not None and ours is None:
                await self._wake(found)
            return
        if uid in self._removed:
            return
        before = self._held.get(place)
        if before is not None and before.version > version_of(found):
            # Of our own it is known already what became of it.
            return
        known = self.held(found)
        after = self._hold(found)
        if known is not None and not known.is_done and told.is_news(known.job, after.job):
            await self._wake(found)

    async def listed(self, namespace: str | None, version: str, uids: set[str]) -> None:
        """Drop what is not there any more."""
        at = int(version) if version.isdecimal() else 0
        for place, held in list(self._held.items()):
            if namespace in (None, place[0]) and _uid(held.job) not in uids and held.version <= at:
                self._drop(place)
                await self._wake(held.job)
        for uid in [uid for uid, place in self._removed.items() if namespace in (None, place[0]) and uid not in uids]:
            del self._removed[uid]

    def went_back(self, namespace: str | None) -> None:
        """Forget what may be undone."""
        for place in [place for place in self._held if namespace in (None, place[0])]:
            self._drop(place)

    def follows(self, namespace: str | None, *, now: bool) -> None:
        """Note whether what happens is told."""
        if now:
            self._told.add(namespace)
        else:
            self._told.discard(namespace)

    # --- ---------------------------------------------------------------------------------------------------------------

    def _hold(self, job: Json) -> Held:
        place, now = _place(job), time.monotonic()
        known = self.held(job)
        made = Held(told.kept(job), now, now)
        if known is not None:
            made.looked, made.is_done = known.looked, known.is_done
        made.was_ready = told.is_ready(made.job) or (known is not None and known.was_ready)
        self._drop(place)
        self._held[place] = made
        self._of.setdefault(_owner(job), {})[place] = None
        return made

    def _drop(self, place: Place) -> None:
        held = self._held.pop(place, None)
        if held is None:
            return
        owner = _owner(held.job)
        self._of.get(owner, {}).pop(place, None)
        if not self._of.get(owner):
            self._of.pop(owner, None)

    async def _wake(self, job: Json) -> None:
        for owner in job["metadata"].get("ownerReferences") or []:
            if owner.get("kind") == BATCHJOB:
                await self.queue.add(Key(BATCHJOB, job["metadata"]["namespace"], owner["name"]))


def version_of(job: Json) -> int:
    """Give a Job's resourceVersion as a number."""
    version = str(job["metadata"].get("resourceVersion") or "")
    return int(version) if version.isdecimal() else 0


def _place(job: Json) -> Place:
    return job["metadata"]["namespace"], job["metadata"]["name"]


def _uid(job: Json) -> str:
    return str(job["metadata"]["uid"])


def _owner(job: Json) -> tuple[str, str]:
    return job["metadata"]["namespace"], str((job["metadata"].get("labels") or {}).get(naming.LABEL_UID) or "")
