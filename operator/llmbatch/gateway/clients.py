"""Clients of BatchGateways, for the jobs that use them."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from llmbatch.api import conditions
from llmbatch.api.batchgateway import BatchGatewaySpec, BatchGatewayStatus
from llmbatch.api.reasons import Reason
from llmbatch.gateway.budget import Budget
from llmbatch.gateway.credentials import Access, Credentials
from llmbatch.gateway.pace import Operation, Pace
from llmbatch.kube.client import Cluster
from llmbatch.kube.permissions import GATEWAYS
from llmbatch.provider.edge.calling import Observe
from llmbatch.provider.edge.client import Gateway
from llmbatch.provider.edge.routes import Probe
from llmbatch.provider.edge.tls import ConnectionInvalidError
from llmbatch.runtime.cache import BATCHGATEWAY, Cache
from llmbatch.runtime.queue import Key, WorkQueue
from llmbatch.transfer.pure.report import Problem

Json = dict[str, Any]

CREDENTIALS_SECONDS = 3.0
"""What a gateway refers to is read again after so long, and at once when a call to it has failed."""
APART = 20.0
"""Times what it has taken to make a client, the next one of its namespace is made."""
MISSING_SECONDS, MOST_MISSING = 5.0, 1000
"""For so long a gateway that isn't there is not asked for again, however many jobs name it."""


@dataclass
class Client:
    """A gateway ready for use."""

    key: Key
    spec: BatchGatewaySpec
    access: Access
    gateway: Gateway
    pace: Pace
    """What it has asked to wait with."""
    budget: Budget
    """Calls that may be made in a minute."""
    probe: Probe | None = None
    probed_at: float = -math.inf
    """By the monotonic clock, as the next one."""
    suspect_from: float = math.inf
    """From when on the last probe is believed no more, since calls have failed."""
    read_spec: Json = field(default_factory=dict)
    """The spec that it was made, or found unchanged, by."""
    read_at: float = -math.inf
    """When everything that the spec refers to was read."""


@dataclass
class UnheardOf:
    """Gateways of which no watch has told: that of their jobs may have been the quicker one."""

    cluster: Cluster
    cache: Cache
    queue: WorkQueue
    _missing: dict[Key, float] = field(default_factory=dict)
    """Those that aren't there: since when that is known, by the monotonic clock."""

    async def read(self, key: Key) -> Json | None:
        """Read a gateway; None: there is none."""
        now = time.monotonic()
        if now - self._missing.get(key, -math.inf) < MISSING_SECONDS:
            return None
        found = await self.cluster.get(GATEWAYS, key.namespace, key.name)
        if found is None:
            if len(self._missing) >= MOST_MISSING:
                self._missing.clear()
            self._missing[key] = now
            return None
        self._missing.pop(key, None)
        self.cache.put(key, found)
        # It may have gone while its answer was on the way: it is asked for once more.
        self.cache.doubt(key)
        await self.queue.add(key)
        return found


@dataclass
class Pauses:
    """Between the clients that a namespace has made: to take authorities in holds everything else up."""

    _until: dict[str, float] = field(default_factory=dict)
    """By namespace, by the monotonic clock."""

    async def over(self, namespace: str, is_needless: Callable[[], bool]) -> None:
        """Wait until a client may be made, or need not be any more."""
        while not is_needless() and (wait := self._until.get(namespace, 0.0) - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait)  # it is time that is waited for

    def begin(self, namespace: str, seconds: float) -> None:
        """Note that to make a client has taken so long."""
        now = time.monotonic()
        self._until = {other: until for other, until in self._until.items() if until > now}
        self._until[namespace] = now + APART * seconds


@dataclass
class Gateways:
    """Clients by gateway, made anew when the spec or a credential changes."""

    cluster: Cluster
    credentials: Credentials
    cache: Cache
    queue: WorkQueue
    observe: Observe
    suspect_seconds: float
    """Between two looks at a gateway to which calls fail."""
    _clients: dict[Key, Client] = field(default_factory=dict)
    _pauses: Pauses = field(default_factory=Pauses)
    _unfit: dict[Key, tuple[Json, Problem, float]] = field(default_factory=dict)
    """Gateways of which no client can be made: by which spec, why, and when that was found, by the monotonic clock."""

    forgets: list[Callable[[Key], None]] = field(default_factory=list)
    """Who is told of a gateway that is gone."""

    def __post_init__(self) -> None:
        """Make what knows which gateways there are not."""
        self._unheard_of = UnheardOf(self.cluster, self.cache, self.queue)

    async def use(
        self, namespace: str, name: str, operation: Operation | None, *, last_known: bool = False
    ) -> Client | Problem:
        """Give a client for a gateway, or say what is in the way.

        Args:
            namespace: The namespace of job and gateway.
            name: The gateway.
            operation: What is to be done with it, if it may have asked to wait with that.
            last_known: Fall back on the last client when the gateway or a Secret is gone: for cleaning up after a
                namespace in which they were deleted first.
        """
        key = Key(BATCHGATEWAY, namespace, name)
        found = await self._of_late(key)
        if isinstance(found, Problem):
            known = self._clients.get(key)
            return known if last_known and known is not None else found
        held = found.pace.held(operation, self.cluster.now()) if operation is not None else None
        return held or found

    def readiness(self, key: Key) -> Problem | None:
        """Give what the gateway's own Ready condition says against using it; None: nothing."""
        raw = self.cache.get(key) or {}
        status = BatchGatewayStatus.parse(raw.get("status") or {})
        ready = status.condition(conditions.READY)
        if ready is None or status.observed_generation != raw.get("metadata", {}).get("generation"):
            return Problem(reason=Reason.ACCEPTED, message=f"BatchGateway {key.name} has not been checked yet.")
        if ready.status == "True":
            return None
        known = ready.reason in Reason.__members__.values()
        reason = Reason(ready.reason) if known else Reason.GATEWAY_UNREACHABLE
        return Problem(reason=reason, message=f"BatchGateway {key.name} is not ready: {ready.message}")

    def lists_batches(self, key: Key) -> bool:
        """Tell whether the gateway lists batches, as far as is known."""
        status = BatchGatewayStatus.parse((self.cache.get(key) or {}).get("status") or {})
        return status.capabilities is None or status.capabilities.list_batches

    async def suspect(self, key: Key) -> None:
        """Ask a gateway anew, since a call to it has just failed; not for each of many that fail."""
        known = self._clients.get(key)
        if known is None:
            await self.queue.add(key)
            return
        # Perhaps it was for a credential that has changed.
        known.read_at = -math.inf
        known.suspect_from = min(known.suspect_from, known.probed_at + self.suspect_seconds)
        await self.queue.add_after(key, known.suspect_from - time.monotonic())

    async def forget(self, key: Key) -> None:
        """Let go of the client of a gateway that is gone; a create call under way is answered, and its batch cancelled."""
        self._unfit.pop(key, None)
        for forget in self.forgets:
            forget(key)
        if (gone := self._clients.pop(key, None)) is not None:
            await gone.gateway.retire()

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.gateway.close()

    async def _of_late(self, key: Key) -> Client | Problem:
        """Give the client of a gateway as it was a moment ago: each step of each job needs one."""
        known, raw = self._clients.get(key), self.cache.get(key) or {}
        read = known.read_at if known is not None and known.read_spec == raw.get("spec") else -math.inf
        if known is not None and time.monotonic() - read < CREDENTIALS_SECONDS:
            return known
        spec, problem, found = self._unfit.get(key, ({}, None, -math.inf))
        if problem is not None and spec == raw.get("spec") and time.monotonic() - found < CREDENTIALS_SECONDS:
            # Each of its jobs would read the same Secret, again and again.
            return problem
        return await self.resolve(key)

    async def resolve(self, key: Key) -> Client | Problem:
        """Give the client of a gateway as it is now, whether or not it asked to slow down."""
        raw = self.cache.get(key) or await self._unheard_of.read(key)
        if raw is None:
            message = f"BatchGateway {key.namespace}/{key.name} does not exist; create it, and the job goes on."
            return Problem(reason=Reason.GATEWAY_NOT_FOUND, message=message)
        found = await self._resolve(key, raw)
        if self.cache.get(key) is None:
            # It has gone meanwhile, and is forgotten already.
            return found
        if isinstance(found, Problem):
            self._unfit[key] = raw.get("spec") or {}, found, time.monotonic()
        else:
            self._unfit.pop(key, None)
        return found

    async def _resolve(self, key: Key, raw: Json) -> Client | Problem:
        try:
            spec = BatchGatewaySpec.parse(raw.get("spec") or {})
        except ValidationError as error:
            # Without what was given: a value may be a credential, all the same.
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            message = f"BatchGateway {key.name} can't be read: {where}: {first['msg']}. Were its CRDs upgraded?"
            return Problem(reason=Reason.GATEWAY_INVALID, message=message)
        began = time.monotonic()
        access = await self.credentials.resolve(key.namespace, spec)
        if isinstance(access, Problem):
            return access
        await self._pauses.over(key.namespace, lambda: _is_same(self._clients.get(key), access))
        known = self._clients.get(key)
        if known is not None and _is_same(known, access):
            known.spec, known.read_spec, known.read_at = spec, raw.get("spec") or {}, began
            known.budget.allow(spec.limits.requests_per_minute)
            return known
        budget = known.budget if known is not None else Budget()
        budget.allow(spec.limits.requests_per_minute)
        started = time.monotonic()
        try:
            gateway = Gateway.connect(
                access.connection, access.environ, None, self.observe, key.namespace, admit=budget.take
            )
        except ConnectionInvalidError as error:
            return Problem(reason=error.reason, message=str(error))
        finally:
            self._pauses.begin(key.namespace, time.monotonic() - started)
        pace, read = known.pace if known is not None else Pace(key.name), raw.get("spec") or {}
        made = Client(key, spec, access, gateway, pace, budget, read_spec=read, read_at=began)
        if self.cache.get(key) is not None:
            self._clients[key] = made
        if known is not None:  # it is left to the calls still under way
            await known.gateway.retire()
        return made


def _is_same(known: Client | None, access: Access) -> bool:
    return known is not None and known.access.fingerprint == access.fingerprint
