"""Kubernetes Events about our objects: best effort, never in the way of the work they tell of."""

import asyncio
import hashlib
import logging
import time
from dataclasses import dataclass
from typing import Any, Literal

from llmbatch import crash
from llmbatch.api import API_VERSION
from llmbatch.api.base import timestamp
from llmbatch.api.reasons import Reason
from llmbatch.common.text import cut
from llmbatch.common.turns import Turns
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.permissions import EVENTS

Json = dict[str, Any]

log = logging.getLogger(__name__)

BURST, EVENT_SECONDS = 25, 60.0
"""Events about one object at once, and seconds until there may be another."""
MOST_SUBJECTS = 20_000
MOST_WAITING = 1000
"""Events that wait to be sent. When there is no room the namespace with the most of them loses one."""
MESSAGE_LIMIT = 1000
"""The API server takes 1,024 characters."""


@dataclass(frozen=True)
class Subject:
    """The object that an event is about."""

    kind: str
    namespace: str
    name: str
    uid: str


class Recorder:
    """Sends events one after the other, of each namespace in turn; drops some when the API server can't keep up."""

    def __init__(self, cluster: Cluster, namespace: str, instance: str, uid: str = "") -> None:
        """Record as the given pod."""
        self._cluster = cluster
        self._namespace, self._instance, self._uid = namespace, instance, uid
        self._spent: dict[str, tuple[float, float]] = {}
        """By uid: how many events were recorded lately, as of when."""
        self._waiting: Turns[int, tuple[str, Json]] = Turns()
        self._count = 0
        self._some, self._none = asyncio.Event(), asyncio.Event()
        self._none.set()

    def record(self, subject: Subject, kind: Literal["Normal", "Warning"], reason: Reason, message: str) -> None:
        """Record an event about an object; of one that goes on changing, only some."""
        if not self._may_record(subject.uid):
            log.info("an event too many was left out", extra={"reason": str(reason), "object": subject.name})
            return
        self._count += 1
        self._waiting.put(
            subject.namespace, self._count, (subject.namespace, self._body(subject, kind, reason, message))
        )
        if len(self._waiting) > MOST_WAITING:
            log.warning("an event was dropped", extra={"namespace": self._waiting.drop()})
        self._none.clear()
        self._some.set()

    def _may_record(self, uid: str) -> bool:
        """Count an object's events, as the clients of Kubernetes do: a burst, and then one in a while."""
        if len(self._spent) >= MOST_SUBJECTS:
            self._spent.clear()
        now = time.monotonic()
        spent, since = self._spent.get(uid, (0.0, now))
        spent = max(0.0, spent - (now - since) / EVENT_SECONDS) + 1.0
        if spent > BURST:
            return False
        self._spent[uid] = spent, now
        return True

    async def tell(self, subject: Subject, kind: Literal["Normal", "Warning"], reason: Reason, message: str) -> None:
        """Record an event before going on, since afterwards nobody would know any more; once, however often it is told."""
        body = self._body(subject, kind, reason, message)
        digest = hashlib.sha256(f"{subject.uid}\n{reason}".encode()).hexdigest()[:16]
        body["metadata"] = {"name": f"{subject.name[:200]}.{digest}", "namespace": subject.namespace}
        await self._send(subject.namespace, body)

    def _body(self, subject: Subject, kind: Literal["Normal", "Warning"], reason: Reason, message: str) -> Json:
        now = timestamp(self._cluster.now())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{subject.name[:200]}.", "namespace": subject.namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": subject.kind,
                "namespace": subject.namespace,
                "name": subject.name,
                "uid": subject.uid,
            },
            "type": kind,
            "reason": str(reason),
            "message": cut(message, MESSAGE_LIMIT),
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": "llmbatch"},
            "reportingComponent": "llmbatch.io/operator",
            "reportingInstance": self._instance,
        }

    async def run(self) -> None:
        """Send what is recorded, until cancelled."""
        while True:
            await self._some.wait()
            while self._waiting:
                _, (namespace, body) = self._waiting.take()
                try:
                    await self._send(namespace, body)
                except Exception:  # whatever it is, the next one may go better
                    log.exception("an event could not be sent")
            self._some.clear()
            self._none.set()

    async def _send(self, namespace: str, body: Json) -> None:
        try:
            with crash.around(crash.Effect.RECORD_EVENT):
                await self._cluster.create(EVENTS, namespace, body)
        except ClusterError as error:
            if error.namespace_ends:
                await self._record_here(body)
            elif error.status != 409:
                log.info("an event was refused", extra={"reason": error.reason, "detail": str(error)})

    async def _record_here(self, body: Json) -> None:
        """Record about the operator's own pod what can't be recorded in a namespace that is being deleted."""
        about = body["involvedObject"]
        told = f"{about['kind']} {about['namespace']}/{about['name']}: {body['message']}"
        pod = {"apiVersion": "v1", "kind": "Pod", "namespace": self._namespace, "name": self._instance}
        if self._uid:
            pod["uid"] = self._uid  # kubectl describe shows no event without it
        metadata = {**body["metadata"], "namespace": self._namespace}
        moved = {**body, "metadata": metadata, "involvedObject": pod, "message": told[:MESSAGE_LIMIT]}
        try:
            await self._cluster.create(EVENTS, self._namespace, moved)
        except ClusterError as error:
            if error.status == 409:
                return
            log.warning("an event was refused", extra={"reason": error.reason, "detail": str(error), "told": told})

    async def flush(self, seconds: float) -> None:
        """Wait until what is recorded is sent, at most so long."""
        try:
            await asyncio.wait_for(self._none.wait(), seconds)
        except TimeoutError:
            log.warning("events were left unsent", extra={"count": len(self._waiting)})
