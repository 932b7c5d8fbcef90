"""Telling of status writes that the API server refuses: the status itself can't."""

import logging
import time
from dataclasses import dataclass, field

from llmbatch.api.reasons import Reason
from llmbatch.kube.client import ClusterError
from llmbatch.kube.events import Recorder, Subject
from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.queue import Key

TOLD_SECONDS = 300.0
"""A refusal may last for hours; so often it is told of again for each object."""

log = logging.getLogger(__name__)


@dataclass
class Refusals:
    """Tells of refused status writes, in events and in the log."""

    recorder: Recorder
    metrics: Metrics
    _told: dict[tuple[Key, str], float] = field(default_factory=dict)
    """By key and uid: when the object was last told of, by the monotonic clock."""

    def tell(self, key: Key, uid: str, error: ClusterError) -> None:
        """Tell of a refusal: at the first, and then rarely."""
        self.metrics.refusals.inc()
        log.warning(
            "a status is refused", extra={"object": "/".join(key), "status": error.status, "detail": str(error)}
        )
        now = time.monotonic()
        if now - self._told.get((key, uid), -TOLD_SECONDS) < TOLD_SECONDS:
            return
        recent = {other: told for other, told in self._told.items() if now - told < TOLD_SECONDS}
        self._told = recent | {(key, uid): now}
        message = (
            f"The API server refuses to store the status: {error} (status {error.status})."
            " Nothing is ordered at the provider without it; it is tried again with growing delays."
            " Look for an admission policy, a webhook or a quota that keeps llmbatch from updating this object's status."
        )
        self.recorder.record(Subject(key.kind, key.namespace, key.name, uid), "Warning", Reason.STATUS_REFUSED, message)
