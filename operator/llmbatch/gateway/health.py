"""The reconcile of a BatchGateway: says whether it can be used."""

import math
import random
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from llmbatch import crash
from llmbatch.api import conditions
from llmbatch.api.batchgateway import BatchGatewayStatus, Capabilities
from llmbatch.api.conditions import Condition
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import remote_state
from llmbatch.common.patch import merge_patch
from llmbatch.common.text import cut
from llmbatch.gateway.clients import Client, Gateways
from llmbatch.gateway.pace import Operation
from llmbatch.gateway.quota import Quota
from llmbatch.job.pure import steady, trouble
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.events import Recorder, Subject
from llmbatch.kube.permissions import GATEWAYS
from llmbatch.provider.edge.routes import Probe, RouteProbe
from llmbatch.runtime.cache import BATCHGATEWAY, Cache, is_settled
from llmbatch.runtime.objects import ask
from llmbatch.runtime.queue import Key, WorkQueue
from llmbatch.transfer.pure.report import Problem

Json = dict[str, Any]

PROBE_SECONDS = 300.0
"""How often a gateway that works is asked again."""
AGAIN_SECONDS = 10.0
"""Within this time an answer is used again, unless spec or credentials changed."""
WOKEN_A_SECOND = 20.0
LONGEST_SPREAD_SECONDS = 30.0
UNDER_WAY = frozenset({
    Reason.VALIDATING,
    Reason.IN_PROGRESS,
    Reason.FINALIZING,
    Reason.CANCELLING,
    Reason.UPLOADING,
    Reason.COLLECTING,
    Reason.TRANSFER_PENDING,
    Reason.WAITING_FOR_SLOT,
})  # fmt: skip
"""Reasons of jobs that don't wait for their gateway to be ready: they poll, or are called when it is their turn."""
COUNTED = frozenset({"activeBatches", "enqueuedTokens", "queuedBatches", "learnedTokens", "learnedTime"})
"""What the status tells of its jobs; they need not be told of it."""
INSECURE = (
    "The gateway's certificate is not checked (spec.tls.insecureSkipVerify): credentials and prompts can be read by"
    " anybody on the way. Name the certificate's authority in spec.tls.caBundle and take insecureSkipVerify out."
)


@dataclass
class Health:
    """Looks at one gateway at a time."""

    cluster: Cluster
    cache: Cache
    queue: WorkQueue
    gateways: Gateways
    recorder: Recorder
    quota: Quota
    recheck_seconds: float
    stall_after_seconds: float = 0.0
    """How long what often passes by itself may last before a person is asked."""

    async def reconcile(self, key: Key) -> float | None:
        """Say in a gateway's status whether it can be used; answers the seconds until the next look."""
        if self.cache.is_doubtful(key):
            await ask(self.cluster, self.cache, GATEWAYS, key)
        raw = self.cache.get(key)
        if raw is None:
            await self._wake_jobs(key)
            if any(not is_settled(self.cache.get(job) or {}) for job in self.cache.jobs_of(key.namespace, key.name)):
                # In a namespace that is being deleted the gateway may go first; its jobs still clean up through it.
                return self.recheck_seconds
            await self.gateways.forget(key)
            return None
        found = await self.gateways.resolve(key)
        probe = None
        if isinstance(found, Client):
            if time.monotonic() >= min(found.probed_at + AGAIN_SECONDS, found.suspect_from):
                found.probe, found.probed_at = await found.gateway.probe(), time.monotonic()
                found.suspect_from = math.inf
            probe = found.probe
        problem = found if isinstance(found, Problem) else _problem(found, probe)
        changed = await self._publish(key, raw, problem, probe)
        if changed:
            await self._wake_jobs(key)
        if problem is None:
            return PROBE_SECONDS
        # "Retry-After: 0" is no leave to ask twenty times a second.
        return max(min(1.0, self.recheck_seconds), problem.retry_after_seconds or self.recheck_seconds)

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
        if problem is not None:
            told.append(self._trouble(raw, reason, message, now))
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
            active_batches=sum(self.cache.active(key.namespace, key.name).values()),
            **self.quota.status(key),
            conditions=told,
        ).dump()
        patch = merge_patch(before, after)
        if not patch:
            return False
        try:
            with crash.around(crash.Effect.WRITE_GATEWAY_STATUS):
                # What is written is what has changed since this state; on another one, as of a gateway that was made anew
                # under its name, it would be half a status.
                written = await self.cluster.patch_status(
                    GATEWAYS, key.namespace, key.name, patch, resource_version=metadata["resourceVersion"]
                )
        except ClusterError as error:
            if error.status in (404, 409):
                # Of its end the watch tells, unless it has missed it.
                self.cache.doubt(key)
                await self.queue.add(key)
                return False
            raise
        self.cache.answered(key, written)
        subject = Subject(BATCHGATEWAY, key.namespace, key.name, metadata.get("uid", ""))
        if insecure and BatchGatewayStatus.parse(before).condition(conditions.INSECURE) is None:
            self.recorder.record(subject, "Warning", Reason.CERTIFICATE_NOT_VERIFIED, INSECURE)
        if old is None or (old.status, old.reason) != (status, reason):
            self.recorder.record(subject, "Normal" if problem is None else "Warning", reason, message)
        # Jobs wait for a change of what they are told by, not of the words.
        return (
            old is None or (old.status, old.reason) != (status, reason) or bool(patch.keys() - COUNTED - {"conditions"})
        )

    def _trouble(self, raw: Json, reason: Reason, message: str, now: datetime) -> Condition:
        """Say whether a person is needed; what often passes by itself is under way first, as a job's is."""
        old = BatchGatewayStatus.parse(raw.get("status") or {}).condition(conditions.RECONCILING)
        known = old if old is not None and old.reason == reason else None
        stalled = BatchGatewayStatus.parse(raw.get("status") or {}).condition(conditions.STALLED)
        since = known.last_transition_time if known is not None else now
        young = (now - since).total_seconds() < self.stall_after_seconds
        may_pass = reason in trouble.MAY_PASS and young and (stalled is None or stalled.reason != reason)
        if trouble.passes(reason) or may_pass:
            told = _condition(raw, conditions.RECONCILING, "True", reason, message, now=now)
            # Another trouble is a new one, whose time begins now.
            return told if known is not None else told.model_copy(update={"last_transition_time": now})
        return _condition(raw, conditions.STALLED, "True", reason, message, now=now)

    async def _wake_jobs(self, key: Key) -> None:
        """Look at the jobs that wait for a gateway, one after the other when they are many."""
        jobs = [
            job
            for job in self.cache.jobs_of(key.namespace, key.name)
            if not remote_state.is_ended(self.cache.get(job) or {})
        ]
        waiting = [job for job in jobs if self.cache.get(key) is None or not _is_under_way(self.cache.get(job) or {})]
        spread = min(LONGEST_SPREAD_SECONDS, len(waiting) / WOKEN_A_SECOND)
        for job in waiting:
            await self.queue.add_after(job, spread * random.random())  # noqa: S311 - jitter, no secret


def _is_under_way(job: Json) -> bool:
    """Tell whether a job goes on by itself, whatever its gateway is; not one that waits for tokens beside what it has there."""
    status = job.get("status") or {}
    if status.get("queue"):
        return False
    told = status.get("conditions") or []
    return any(item.get("type") == conditions.READY and item.get("reason") in UNDER_WAY for item in told)


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
        message=steady.message_of(old, status, str(reason), cut(message, 2048)),
    )


def _problem(client: Client, probe: Probe | None) -> Problem | None:
    """Judge what asking both routes came to; a route that answers but has no list is no problem."""
    if probe is None:
        return None
    for route in (probe.files, probe.batches):
        if route.state not in ("ok", "unsupported"):
            return _told(route, client.pace.slow_down(Operation.READ, route.retry_after))
    return None


def _told(route: RouteProbe, seconds: float | None) -> Problem:
    return Problem(
        reason=route.reason or Reason.GATEWAY_UNREACHABLE, message=route.message, retry_after_seconds=seconds
    )
