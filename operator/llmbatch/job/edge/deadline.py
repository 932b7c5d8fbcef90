"""The time for which a deleted object is held, and what becomes of one that can't be judged."""

import logging
import math
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from llmbatch.api import FINALIZER
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.seen import Json
from llmbatch.batch.pure import remote_state
from llmbatch.batch.pure.decision import Done, Ending, Stalled, Wait
from llmbatch.job.edge.act import Actor
from llmbatch.job.edge.observe import Observer
from llmbatch.job.edge.publish import Publisher
from llmbatch.kube.client import Cluster
from llmbatch.kube.events import Subject
from llmbatch.runtime.cache import BATCHJOB
from llmbatch.runtime.queue import Key

OVERDUE_SECONDS = 30.0
"""So long after the time for cleaning up, an object is let go without a look at what its status says."""

log = logging.getLogger(__name__)


@dataclass
class Deadline:
    """Tells how long a deleted object may still be held, and lets go what can't be judged."""

    cluster: Cluster
    observer: Observer
    actor: Actor
    publisher: Publisher

    def seconds_left(self, raw: Json | None) -> float:
        """Give the time that is left for cleaning up after a deleted object; infinite for others."""
        if raw is None:
            return math.inf
        metadata = raw["metadata"]
        deleted = metadata.get("deletionTimestamp")
        if not deleted or FINALIZER not in (metadata.get("finalizers") or []):
            return math.inf
        told = (self.cluster.now() - datetime.fromisoformat(deleted)).total_seconds()
        # No more than this process has seen of it: another API server's clock may be minutes ahead.
        held = min(told, self.observer.known.deleted(metadata))
        return remote_state.cleanup_seconds(raw, self.observer.limits.cleanup_seconds) - max(0.0, held)

    def overdue(self, raw: Json) -> float:
        """Give the seconds since the time for cleaning up was over, by the API server's clock alone; negative: it isn't."""
        deleted = raw["metadata"].get("deletionTimestamp")
        if not deleted or FINALIZER not in (raw["metadata"].get("finalizers") or []):
            return -math.inf
        held = (self.cluster.now() - datetime.fromisoformat(deleted)).total_seconds()
        return held - remote_state.cleanup_seconds(raw, self.observer.limits.cleanup_seconds)

    async def let_go(self, key: Key, raw: Json) -> Ending:
        """Take the finalizer off by the metadata alone: neither status nor gateway may hold an object for ever."""
        log.warning("an object is let go unseen", extra={"object": "/".join(key), "status": raw.get("status")})
        known = remote_state.at_the_provider(raw)
        told = f"Let go unseen; perhaps left at the provider: {', '.join(known) or 'nothing is known'}. Look there."
        if remote_state.discards_files(raw):
            told += " Results in a volume were to be deleted; they may be there still."
        subject = Subject(BATCHJOB, key.namespace, key.name, raw["metadata"].get("uid", ""))
        await self.publisher.recorder.tell(subject, "Warning", Reason.REMOTE_FILES_RETAINED, told)
        return Done() if await self.actor.release(key, raw) else Wait(Reason.DELETING, "", after=None)

    async def unreadable(self, key: Key, raw: Json, error: ValidationError) -> Ending:
        """Say that an object can't be read, and touch nothing else of it."""
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = (
            f"This version of the operator can't read the object: {where}: {first['msg']}. Were its CRDs upgraded?"
        )
        if first["type"] == "value_error":
            # A rule that no CRD can have.
            message = f"spec.{where} {first['ctx']['error']}; correct it, and the job goes on."
        # While it is deleted, time alone lets it go; see let_go.
        after = max(1.0, OVERDUE_SECONDS - self.overdue(raw) + 0.1)
        ending = Stalled(Reason.INVALID_SPEC, message, after=after)
        await self.publisher.unjudged.unreadable(key, raw, ending)
        return ending
