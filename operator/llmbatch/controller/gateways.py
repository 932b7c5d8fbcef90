"""BatchGateways: clients for the jobs that use them, and the reconcile that says whether they can be used."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from llmbatch.api import conditions
from llmbatch.api.batchgateway import BatchGatewaySpec, BatchGatewayStatus, Capabilities
from llmbatch.api.conditions import Condition
from llmbatch.api.reasons import Reason
from llmbatch.controller.cache import BATCHGATEWAY, Cache, is_settled
from llmbatch.controller.queue import Key, WorkQueue
from llmbatch.core import remains
from llmbatch.core.patch import merge_patch
from llmbatch.core.plan import Problem
from llmbatch.edges import crash
from llmbatch.edges.cluster import Cluster, ClusterError
from llmbatch.edges.connection import ConnectionInvalidError
from llmbatch.edges.credentials import Access, Credentials
from llmbatch.edges.events import Recorder, Subject
from llmbatch.edges.gateway import Gateway, Observe, Probe, RouteProbe
from llmbatch.edges.permissions import GATEWAYS

Json = dict[str, Any]

PROBE_SECONDS = 300.0
"""How often a gateway that works is asked again."""
AGAIN_SECONDS = 10.0
"""Within this time an answer is used again, unless spec or credentials changed."""
INSECURE = (
    "The gateway's certificate is not checked (spec.tls.insecureSkipVerify): credentials and prompts can be read by"
    " anybody on the way. Name the certificate's authority in spec.tls.caBundle and take insecureSkipVerify out."
)


@dataclass
class Client:
    """A gateway ready for use."""

    key: Key
    spec: BatchGatewaySpec
    access: Access
    gateway: Gateway
    blocked_until: float = 0.0
    """By the monotonic clock; a gateway that asked to slow down is left in peace until then."""
    probe: Probe | None = None
    probed_at: float = 0.0

    def slow_down(self, seconds: float | None) -> None:
        """Honour Retry-After for everybody who uses the gateway."""
        if seconds is not None:
            self.blocked_until = max(self.blocked_until, time.monotonic() + seconds)


@dataclass
class Gateways:
    """Clients by gateway, made anew when the spec or a credential changes."""

    cluster: Cluster
    credentials: Credentials
    cache: Cache
    queue: WorkQueue
    recorder: Recorder
    observe: Observe
    recheck_seconds: float
    _clients: dict[Key, Client] = field(default_factory=dict)

    async def use(self, namespace: str, name: str, *, last_known: bool = False) -> Client | Problem:
        """Give a client for a gateway, or say what is in the way.

        Args:
            namespace: The namespace of job and gateway.
            name: The gateway.
            last_known: Fall back on the last client when the gateway or a Secret is gone: for cleaning up after a
                namespace in which they were deleted first.
        """
        key = Key(BATCHGATEWAY, namespace, name)
        found = await self._resolve(key)
        if isinstance(found, Problem):
            known = self._clients.get(key)
            return known if last_known and known is not None else found
        remaining = found.blocked_until - time.monotonic()
        if remaining > 0:
            message = f"Gateway {name} asked to slow down; calls go on when the time it named is over."
            return Problem(reason=Reason.RATE_LIMITED, message=message, retry_after_seconds=remaining)
        return found

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
        """Ask a gateway anew, since a call to it has just failed."""
        if (known := self._clients.get(key)) is not None:
            known.probe = None
        await self.queue.add(key)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.gateway.close()

    async def _resolve(self, key: Key) -> Client | Problem:
        raw = self.cache.get(key)
        if raw is None:
            message = f"BatchGateway {key.namespace}/{key.name} does not exist; create it, and the job goes on."
            return Problem(reason=Reason.GATEWAY_NOT_FOUND, message=message)
        try:
            spec = BatchGatewaySpec.parse(raw.get("spec") or {})
        except ValidationError as error:
            return Problem(reason=Reason.GATEWAY_INVALID, message=f"BatchGateway {key.name} can't be read: {error}")
        access = await self.credentials.resolve(key.namespace, spec)
        if isinstance(access, Problem):
            return access
        known = self._clients.get(key)
        if known is not None and known.access.fingerprint == access.fingerprint:
            known.spec = spec
            return known
        try:
            gateway = Gateway.connect(access.connection, access.environ, observe=self.observe)
        except ConnectionInvalidError as error:
            return Problem(reason=error.reason, message=str(error))
        # The old client is left to the calls still under way; its connections close when the last of them lets go of it.
        self._clients[key] = Client(key, spec, access, gateway)
        return self._clients[key]

    # --- reconcile ---------------------------------------------------------------------------------------------------

    async def reconcile(self, key: Key) -> float | None:
        """Say in a gateway's status whether it can be used; answers the seconds until the next look."""
        raw = self.cache.get(key)
        if raw is None:
            await self._wake_jobs(key)
            if any(not is_settled(self.cache.get(job) or {}) for job in self.cache.jobs_of(key.namespace, key.name)):
                # In a namespace that is being deleted the gateway may go first; its jobs still clean up through it.
                return self.recheck_seconds
            if (gone := self._clients.pop(key, None)) is not None:
                await gone.gateway.close()
            return None
        found = await self._resolve(key)
        probe = None
        if isinstance(found, Client):
            if found.probe is None or time.monotonic() - found.probed_at > AGAIN_SECONDS:
                found.probe, found.probed_at = await found.gateway.probe(), time.monotonic()
            probe = found.probe
        problem = found if isinstance(found, Problem) else _problem(found, probe)
        changed = await self._publish(key, raw, problem, probe)
        if changed:
            await self._wake_jobs(key)
        return PROBE_SECONDS if problem is None else problem.retry_after_seconds or self.recheck_seconds

    async def _publish(self, key: Key, raw: Json, problem: Problem | None, probe: Probe | None) -> bool:
        """Write the status if it changed; answers whether readiness did."""
        metadata = raw["metadata"]
        before = raw.get("status") or {}
        old = BatchGatewayStatus.parse(before).condition(conditions.READY)
        status: Literal["True", "False"] = "True" if problem is None else "False"
        reason = Reason.GATEWAY_READY if problem is None else problem.reason
        message = "Both routes answer and accept the credentials." if problem is None else problem.message
        now = self.cluster.now()
        told = [_condition(raw, conditions.READY, status, reason, message, now=now)]
        insecure = bool(((raw.get("spec") or {}).get("tls") or {}).get("insecureSkipVerify"))
        if insecure:
            told.append(
                _condition(raw, conditions.INSECURE, "True", Reason.CERTIFICATE_NOT_VERIFIED, INSECURE, now=now)
            )
        capabilities = None
        if probe is not None and problem is None:
            capabilities = Capabilities(list_batches=probe.batches.state == "ok")
        after = BatchGatewayStatus(
            observed_generation=metadata.get("generation"),
            capabilities=capabilities or BatchGatewayStatus.parse(before).capabilities,
            active_batches=len(self.cache.active(key.namespace, key.name)),
            conditions=told,
        ).dump()
        patch = merge_patch(before, after)
        if not patch:
            return False
        try:
            with crash.around(crash.Effect.WRITE_GATEWAY_STATUS):
                written = await self.cluster.patch_status(GATEWAYS, key.namespace, key.name, patch)
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        self.cache.put(key, written)
        subject = Subject(BATCHGATEWAY, key.namespace, key.name, metadata.get("uid", ""))
        if insecure and BatchGatewayStatus.parse(before).condition(conditions.INSECURE) is None:
            self.recorder.record(subject, "Warning", Reason.CERTIFICATE_NOT_VERIFIED, INSECURE)
        if old is None or (old.status, old.reason) != (status, reason):
            self.recorder.record(subject, "Normal" if problem is None else "Warning", reason, message)
        return set(patch) != {"activeBatches"}

    async def _wake_jobs(self, key: Key) -> None:
        for job in self.cache.jobs_of(key.namespace, key.name):
            if not remains.is_ended(self.cache.get(job) or {}):
                await self.queue.add(job)


def _condition(
    raw: Json, kind: str, status: Literal["True", "False"], reason: Reason, message: str, *, now: datetime
) -> Condition:
    """Make a condition; its time is that of the last change of its status."""
    old = BatchGatewayStatus.parse(raw.get("status") or {}).condition(kind)
    return Condition(
        type=kind,
        status=status,
        observed_generation=raw["metadata"].get("generation"),
        last_transition_time=old.last_transition_time if old and old.status == status else now,
        reason=str(reason),
        message=message[:2048],
    )


def _problem(client: Client, probe: Probe | None) -> Problem | None:
    """Judge what asking both routes came to; a route that answers but has no list is no problem."""
    if probe is None:
        return None
    for route in (probe.files, probe.batches):
        if route.state not in ("ok", "unsupported"):
            client.slow_down(route.retry_after)
            return _told(route)
    return None


def _told(route: RouteProbe) -> Problem:
    return Problem(
        reason=route.reason or Reason.GATEWAY_UNREACHABLE, message=route.message, retry_after_seconds=route.retry_after
    )
