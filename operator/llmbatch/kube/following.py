"""Objects of a kind that are followed: listed once, and watched from there on, for as long as that can be had."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from llmbatch.common import backoff
from llmbatch.kube.client import Cluster, ClusterError, Json
from llmbatch.kube.permissions import Resource

log = logging.getLogger(__name__)

WATCH_SECONDS = 300
"""The API server is asked to end a watch after that; another one goes on from there."""
QUIET_SECONDS = 150.0
"""It says something every minute (a bookmark), else the connection is one that nobody is at the other end of any more."""
LONGEST_SECONDS = 60.0
"""Longest delay before a list or a watch that failed is tried again."""
STEADY_SECONDS = 10.0
FORBIDDEN_SECONDS = 300.0
"""A permission that is missing may be given meanwhile."""


class Follower(Protocol):
    """Whoever follows; for one event loop."""

    async def told(self, kind: str, found: Json) -> None:
        """Take an object: ADDED, MODIFIED or DELETED by the watch, or LISTED."""

    def went_back(self, namespace: str | None) -> None:
        """Take it that the API server has gone back (a restored etcd): what was told of a namespace may be undone."""

    async def listed(self, namespace: str | None, version: str, uids: set[str]) -> None:
        """Take it that no others were there at a resourceVersion."""

    def follows(self, namespace: str | None, *, now: bool) -> None:
        """Take it that what happens is told from now on, or is not any more."""


@dataclass
class Following:
    """Follows the objects of a kind in a namespace, or in all (None), that have some labels."""

    cluster: Cluster
    resource: Resource
    namespace: str | None
    selector: str
    follower: Follower
    _version: str = ""
    """What the API server has told up to; "": it is to be listed first."""
    _highest: int = 0

    async def run(self) -> None:
        """List and watch, for ever."""
        failures = 0
        while True:
            began, failed, longest = time.monotonic(), False, LONGEST_SECONDS
            try:
                await self._once()
            except Exception as error:  # whatever it is, those who follow ask for themselves meanwhile
                failed, self._version = True, ""
                unforeseen = not isinstance(error, ClusterError)
                if isinstance(error, ClusterError) and error.status in (401, 403):
                    longest = FORBIDDEN_SECONDS
                if unforeseen or not failures:
                    log.warning(
                        "objects can't be followed for now, and are asked for",
                        extra={"resource": self.resource.plural, "detail": str(error)},
                        exc_info=unforeseen,
                    )
            # One that was broken off after a while is none that can't be had.
            failures = (failures if time.monotonic() - began < STEADY_SECONDS else 0) + failed
            first = longest if longest == FORBIDDEN_SECONDS else 0.2
            delay = backoff.next_delay(failures, random.random(), first=first, longest=longest)  # noqa: S311 - jitter, no secret
            await asyncio.sleep(delay)

    async def _once(self) -> None:
        try:
            if not self._version:
                await self._list()
            await self._watch()
        finally:
            self.follower.follows(self.namespace, now=False)

    async def _list(self) -> None:
        uids: set[str] = set()
        version = ""
        async for page in self.cluster.pages(self.resource, self.namespace, selector=self.selector):
            version = str((page.get("metadata") or {}).get("resourceVersion") or "")
            if _number(version) < self._highest:
                self.follower.went_back(self.namespace)
                self._highest = 0
            for item in page.get("items") or []:
                uids.add(item["metadata"]["uid"])
                await self.follower.told("LISTED", item)
        await self.follower.listed(self.namespace, version, uids)
        self._version, self._highest = version, _number(version)

    async def _watch(self) -> None:
        query = {
            "labelSelector": self.selector,
            "resourceVersion": self._version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        transport = self.cluster.transport
        async with transport.watch(self.resource, self.namespace, query, QUIET_SECONDS) as events:
            self.follower.follows(self.namespace, now=True)
            await self._take(events)

    async def _take(self, events: AsyncIterator[Json]) -> None:
        async for event in events:
            kind, found = event.get("type"), event.get("object") or {}
            if kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
                # What it was to go on from is forgotten by now (410), or it ends for another reason.
                raise ClusterError(int(found.get("code") or 0), str(found.get("reason", "")), str(found or event))
            self._version = str(found["metadata"]["resourceVersion"])
            self._highest = max(self._highest, _number(self._version))
            if kind != "BOOKMARK":
                await self.follower.told(kind, found)


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0
