"""BatchJobs that are gone: what this process remembers of them goes too, in whichever way they went.

Most are let go here, and forgotten by that. One that nothing was done for has no finalizer, and of others a user may take it
off: whoever makes and deletes jobs all day would fill the memory of everybody's operator.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import ValidationError

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.edge.seen import Json
from llmbatch.job.edge.act import Actor
from llmbatch.job.edge.observe import Observer
from llmbatch.job.edge.passes.parts_pass import PartsPass
from llmbatch.job.edge.publish import Publisher
from llmbatch.runtime.cache import BATCHJOB, uid_of
from llmbatch.runtime.queue import Key


@dataclass
class Gone:
    """Notes who is gone, and forgets him at the end of the next look at his name: one that goes on would remember him anew."""

    observer: Observer
    actor: Actor
    publisher: Publisher
    parts: PartsPass
    _noted: dict[Key, dict[str, tuple[Batch, ...]]] = field(default_factory=dict)
    """Uids that had a name, and their batches."""

    def changed(self, key: Key, before: Json | None, found: Json | None) -> None:
        """Note that an object is gone, or that another one has its name."""
        if key.kind != BATCHJOB or before is None or (found is not None and uid_of(found) == uid_of(before)):
            return
        if uid := uid_of(before):
            self._noted.setdefault(key, {})[uid] = tuple(_batches(before))

    def forget(self, key: Key) -> None:
        """Forget those who had a name."""
        for uid, batches in self._noted.pop(key, {}).items():
            self.observer.forget(uid, batches)
            self.observer.discards.forget(uid)
            self.observer.transfers.inputs.take(uid)
            self.actor.lost_uploads.forget(uid)
            self.publisher.forget(uid)
            self.parts.turn.forget(uid)


def _batches(last: Json) -> Iterable[Batch]:
    try:
        return BatchJobStatus.parse(last.get("status") or {}).batches
    except ValidationError:
        return ()
