"""Leader election by a Lease: of several operators that run, one works, and the others are ready to take over.

The Lease keeps two operators from working at the same time; it is not what keeps them from submitting twice. That is the
intent (see submit.py), which holds even while an old leader has not noticed yet that it is none any more.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from llmbatch.kube import clock
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.permissions import LEASES

Json = dict[str, Any]

RELEASE_SECONDS = 2.0
SOONER = 10
"""Times that a try which failed is followed sooner than one that succeeded, at most."""

log = logging.getLogger(__name__)


@dataclass
class Lease:
    """The Lease, as it was read or written last."""

    cluster: Cluster
    namespace: str
    name: str
    identity: str
    seconds: float
    """How long others let it stand."""
    _record: tuple[object, ...] = ()
    _changed_at: float = 0.0
    """When the record last changed, by our own clock: the holder's clock may be anywhere."""
    _mine: Json | None = None
    """As it was written here last."""

    @property
    def is_ours(self) -> bool:
        """Whether this process was its holder last."""
        return bool(self._record) and self._record[0] == self.identity

    async def give_back(self) -> None:
        """Have nobody hold it, if this process does."""
        found = await self.cluster.get(LEASES, self.namespace, self.name)
        if found is not None and found.get("spec", {}).get("holderIdentity") == self.identity:
            freed = {**found["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
            await self.cluster.update(LEASES, self.namespace, self.name, {**found, "spec": freed})

    async def claim(self) -> bool:
        """Take or renew it; answers whether it is ours."""
        if self._mine is not None and await self._renew(self._mine):
            return True
        found = await self.cluster.get(LEASES, self.namespace, self.name)
        if found is None:
            metadata = {"name": self.name, "namespace": self.namespace}
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": metadata,
                "spec": self._spec({}),
            }
            self._wrote(await self.cluster.create(LEASES, self.namespace, body))
            return True
        self._notice(found)
        spec = found.get("spec") or {}
        holder, patience = spec.get("holderIdentity") or "", spec.get("leaseDurationSeconds") or self.seconds
        if holder not in ("", self.identity) and time.monotonic() < self._changed_at + patience:
            return False
        # With the resourceVersion that was read: of two who try at the same time, one succeeds.
        body = {**found, "spec": self._spec(spec)}
        self._wrote(await self.cluster.update(LEASES, self.namespace, self.name, body))
        return True

    async def _renew(self, mine: Json) -> bool:
        """Renew the Lease in a single call, if nobody else has written it since; else it is to be read."""
        body, self._mine = {**mine, "spec": self._spec(mine["spec"])}, None
        try:
            self._wrote(await self.cluster.update(LEASES, self.namespace, self.name, body))
        except ClusterError as error:
            if error.status not in (404, 409):
                self._mine = mine
                raise
            return False
        return True

    def _wrote(self, found: Json) -> None:
        self._mine = found
        self._notice(found)

    def _notice(self, found: Json) -> None:
        spec = found.get("spec") or {}
        record = (spec.get("holderIdentity") or "", spec.get("renewTime"), found["metadata"].get("resourceVersion"))
        if record != self._record:
            self._record, self._changed_at = record, time.monotonic()

    def _spec(self, old: Json) -> Json:
        now, mine = _now(), old.get("holderIdentity") == self.identity
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self.seconds)),
            "acquireTime": old.get("acquireTime") or now if mine else now,
            "renewTime": now,
            "leaseTransitions": (old.get("leaseTransitions") or 0) + (0 if mine or not old else 1),
        }


class Elector:
    """Takes the Lease, renews it, and knows by the monotonic clock until when it is certainly ours."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        name: str,
        identity: str,
        lease_seconds: float = 15.0,
        renew_seconds: float = 10.0,
        retry_seconds: float = 2.0,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            cluster: The API server, by connections of its own: behind a thousand other calls a renewal would come too late.
            namespace: Namespace of the Lease.
            name: Name of the Lease.
            identity: Unique to this process, not only to its pod: a container that was restarted is another holder.
            lease_seconds: How long the others let a record that does not change stand.
            renew_seconds: How long this process counts itself the leader after a renewal; less than lease_seconds.
            retry_seconds: Time between two tries.
        """
        self._lease = Lease(cluster, namespace, name, identity, lease_seconds)
        self._renew_seconds, self._retry_seconds = renew_seconds, retry_seconds
        self._until = self._until_boot = 0.0
        self._ended = threading.Event()
        self.answered_at = 0.0
        """When the API server last told who holds the Lease, by the monotonic clock; 0: never."""

    def leads(self) -> bool:
        """Tell whether this process is certainly the only one that works."""
        # By the clock that counts a suspension too: whoever slept for an hour has led an hour ago.
        return time.monotonic() < self._until and clock.boot_seconds() < self._until_boot

    async def acquire(self) -> None:
        """Wait until this process leads."""
        while not await self._try(self._renew_seconds / 2):  # noqa: ASYNC110 - it is the API server that is waited for
            await asyncio.sleep(self._pause())
        lease = self._lease
        log.info("this process leads", extra={"lease": f"{lease.namespace}/{lease.name}", "identity": lease.identity})

    async def hold(self) -> None:
        """Renew until the Lease is lost, or can't be renewed in time; then this ends."""
        renewed = True
        while self.leads():
            left = max(0.0, self._until - time.monotonic())
            soon = max(self._retry_seconds / SOONER, left / 4)
            await asyncio.sleep(min(self._pause(), left if renewed else soon))
            # After a sleep that took far longer than was asked for (the process was frozen), it is too late to ask.
            left = self._until - time.monotonic()
            if left <= 0:
                break
            # What hangs, hangs with its connection perhaps: there is time left for another one.
            renewed = await self._try(min(left, self._renew_seconds / 2))
            if not renewed and not self._lease.is_ours:
                break
        self._until = 0.0

    def guard(self, lost: Callable[[], None]) -> None:
        """Call `lost` from a thread of its own as soon as the time is over, even while the event loop is stuck."""

        def watch() -> None:
            while not self._ended.wait(max(0.01, self._until - time.monotonic())):
                if not self.leads():
                    lost()
                    return

        threading.Thread(target=watch, name="lease", daemon=True).start()

    async def release(self) -> None:
        """Give the Lease back, so that the next one need not wait; best effort."""
        self._ended.set()
        if not self.leads():
            return
        self._until = 0.0
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._lease.give_back()
        except (TimeoutError, ClusterError) as error:
            log.info("the lease was not released", extra={"detail": str(error)})

    def _pause(self) -> float:
        return self._retry_seconds * (1 + 0.2 * random.random())  # noqa: S311 - jitter, no secret

    async def _try(self, seconds: float) -> bool:
        """Take or renew the Lease within so many seconds; answers whether it is ours."""
        # Counted from before the request: the others may have seen the renewal no later than this.
        began, began_boot = time.monotonic(), clock.boot_seconds()
        try:
            async with asyncio.timeout(seconds):
                ours = await self._lease.claim()
        except TimeoutError:
            log.warning("the API server did not answer about the lease in time")
            return False
        except ClusterError as error:
            if error.status != 409:
                log.warning("the lease could not be asked for", extra={"detail": str(error)})
            return False
        self.answered_at = time.monotonic()
        if ours:
            self._until, self._until_boot = began + self._renew_seconds, began_boot + self._renew_seconds
        return ours


def _now() -> str:
    """Write the moment as a Lease has it (metav1.MicroTime); for people, since nobody judges by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
