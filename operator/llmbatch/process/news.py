"""What the watch tells of objects, and what a full list tells now and then: remembered, and looked at if it is news."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from llmbatch.batch.pure import remote_state
from llmbatch.common import backoff
from llmbatch.gateway import slots
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.permissions import GATEWAYS, JOBS, Resource
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB, Cache, is_settled, uid_of
from llmbatch.runtime.queue import Key, WorkQueue
from llmbatch.runtime.watch import Json, needs_a_look

RESYNC_SECONDS = 600.0
FIRST_RESYNC_SECONDS = 60.0
"""What goes between the first list and the watch's own, nobody tells of."""

log = logging.getLogger(__name__)


@dataclass
class News:
    """Keeps the cache, and has looked at what is news."""

    cluster: Cluster
    cache: Cache
    queue: WorkQueue
    namespaces: tuple[str, ...]
    """Those that are watched; none: all."""
    call: Callable[[Key], Awaitable[None]]
    """Has the jobs of a gateway looked at that wait for a place there."""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    """On which it is taken in, whatever thread tells it."""
    _gone: set[tuple[Key, str]] | None = None
    """Keys and uids of which the watch tells that they are gone while the first list is on its way; None: it is there."""

    def tell(self, kind: str, key: Key, found: Json) -> None:
        """Take an event over from Kopf's thread."""
        # The loop may be closing while Kopf still tells.
        with contextlib.suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(self.changed(kind, key, found), self.loop)

    async def changed(self, kind: str, key: Key, found: Json) -> None:
        """Remember an object, and look at it when something but our own write has changed."""
        before = self.cache.get(key)
        if kind == "DELETED":
            uid = (found.get("metadata") or {}).get("uid")
            if self._gone is not None:
                self._gone.add((key, str(uid)))
            if before is not None and uid is not None and before["metadata"].get("uid") not in (None, uid):
                # It was made anew under its name, and that is known already.
                return
            gateway = self.cache.gateway_of(key)
            self.cache.drop(key)
            await self.queue.add(key)
            if key.kind == BATCHJOB:
                await self.call(gateway)
            return
        if key.kind == BATCHJOB and kind == "LISTED" and is_settled(found) and not self.cache.is_older(key, found):
            self.cache.put(key, found)
            return
        # What a watch tells late is no news; a list that is older than what is held means that history has gone back (a
        # restored etcd), or that it crossed a write of ours: the API server is asked.
        older, another = self.cache.is_older(key, found), self.cache.is_another(key, found)
        look = not older and (needs_a_look(before, found) or _came_back(before, found) or _left_line(before, found))
        # Of what a list tells that nobody has told of, the watch may have told the end while the list was on its way; and an
        # object that was made anew may be told of before the one whose name it has.
        if (older and (another or kind in ("LISTED", "RESYNC"))) or (before is None and kind == "RESYNC"):
            self.cache.doubt(key)
            look = True
        if not (older and another):
            self.cache.put(key, found)
        if look or (key.kind == BATCHGATEWAY and kind == "LISTED"):
            await self.queue.add(key)
        if key.kind == BATCHGATEWAY and look:
            # A limit may have been raised.
            await self.call(key)

    async def run(self) -> None:
        """Compare the cache with a full list now and then: a watch never tells of what it missed."""
        wait = FIRST_RESYNC_SECONDS
        while True:
            await asyncio.sleep(wait)
            try:
                await self.resync()
                wait = RESYNC_SECONDS
            except Exception as error:  # whatever it is, the next one may go better
                unforeseen = not isinstance(error, ClusterError)
                log.warning("the resync was given up", extra={"detail": str(error)}, exc_info=unforeseen)

    async def begin(self) -> None:
        """Take in a full list before anything is done: which places and tokens are taken shows in all jobs together.

        The watch tells of one after the other, so that the first would be given places that others have. Tried until it succeeds.
        """
        failures = 0
        while True:
            try:
                # Gateways first: of a job whose gateway isn't known it would be said that there is none.
                self._gone = set()
                for kind, resource in ((BATCHGATEWAY, GATEWAYS), (BATCHJOB, JOBS)):
                    async for item in self._all(resource):
                        if (_key(kind, item), uid_of(item)) not in self._gone:
                            await self.changed("LISTED", _key(kind, item), item)
                self._gone = None
                return
            except Exception as error:  # whatever it is, nothing can be done without it
                failures += 1
                unforeseen = not isinstance(error, ClusterError)
                log.warning(
                    "the first list failed, and is tried again", extra={"detail": str(error)}, exc_info=unforeseen
                )
                await asyncio.sleep(backoff.next_delay(failures, random.random(), first=0.5, longest=10.0))  # noqa: S311 - jitter, no secret

    async def resync(self) -> None:
        """Drop what is gone, and look at what changed unseen."""
        for kind, resource in ((BATCHJOB, JOBS), (BATCHGATEWAY, GATEWAYS)):
            alive: set[Key] = set()
            known = {key: found["metadata"].get("uid") for key, found in self.cache.all_of(kind)}
            async for item in self._all(resource):
                alive.add(_key(kind, item))
                await self.changed("RESYNC", _key(kind, item), item)
            for key in known.keys() - alive:
                # One that was made anew meanwhile may be missing in the list.
                await self.changed("DELETED", key, {"metadata": {"uid": known[key]}})
        for gateway in self.cache.keys(BATCHGATEWAY):
            await self.call(gateway)

    async def _all(self, resource: Resource) -> AsyncIterator[Json]:
        for namespace in self.namespaces or (None,):
            async for item in self.cluster.each(resource, namespace):
                yield item


def _key(kind: str, found: Json) -> Key:
    return Key(kind, found["metadata"]["namespace"], found["metadata"]["name"])


def _came_back(before: Json | None, after: Json) -> bool:
    """Tell whether a job that had ended hasn't any more: its status was restored, or written by another hand."""
    return before is not None and remote_state.is_ended(before) and not remote_state.is_ended(after)


def _left_line(before: Json | None, after: Json) -> bool:
    """Tell whether a job is no longer said to wait for a place or for tokens: by another hand, nobody would ever call it."""
    lines = [(slots.waits(found), bool(((found or {}).get("status") or {}).get("queue"))) for found in (before, after)]
    return any(was and not still for was, still in zip(*lines, strict=True))
