"""Batches that are one too many: found beside a job's own, or made by a call that came too late; cancelled, and told of."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import ValidationError

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge import calls
from llmbatch.batch.edge.outcome import Note
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import facts
from llmbatch.batch.pure.submission import is_over
from llmbatch.common.backoff import next_delay
from llmbatch.common.patch import merge_patch
from llmbatch.gateway.clients import Client
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.events import Recorder, Subject
from llmbatch.kube.permissions import JOBS
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound, Refused, unheeded
from llmbatch.provider.pure.wire import RemoteBatch
from llmbatch.runtime.metrics import Metrics

CANCEL_TRIES = 4
LONGEST_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cancelled:
    """What cancelling the batches that are not kept came to."""

    notes: tuple[Note, ...] = ()
    ended: tuple[RemoteBatch, ...] = ()
    """Those that had ended before: there was nothing to cancel."""
    failed: Failure | None = None
    passes: bool = True
    """False: the gateway has answered, and the batch runs on. It is tried again, but nothing else is to wait for that."""


@dataclass
class Duplicates:
    """Cancels batches of a job, and counts them."""

    metrics: Metrics
    _unheeded: set[str] = field(default_factory=set)
    """Batches that ran on after they were cancelled."""

    async def cancel(self, seen: Seen, client: Client, kept: RemoteBatch, others: list[RemoteBatch]) -> Cancelled:
        """Cancel batches beside the one that is kept, each once: what is cancelled already was told of and counted then."""
        notes: list[Note] = []
        ended: list[RemoteBatch] = []
        failed: Failure | None = None
        for other in others:
            if is_over(other) and other.id not in self._unheeded:
                continue
            if other.is_terminal and not is_over(other):
                self._unheeded.discard(other.id)
                ended.append(other)
                continue
            answer = Answered(other) if is_over(other) else await self._cancelled(seen, client, other.id)
            match answer:
                case Answered(batch) if is_over(batch):
                    # The provider keeps the fact: on a repeat the batch is seen as cancelled.
                    self._unheeded.discard(other.id)
                    self.metrics.duplicates.inc()
                    told = f"Batch {other.id} was a duplicate of {kept.id}; it is cancelled."
                    notes.append(("Warning", Reason.DUPLICATE_CANCELLED, told))
                case Answered(batch) if batch.is_terminal:
                    ended.append(replace(other, status=batch.status))
                case Answered():
                    # It is tried again; to tell that it is cancelled would be to pay for both.
                    self._unheeded.add(other.id)
                    failed = unheeded(other.id)
                case NotFound():
                    pass
                case Refused():
                    failed = answer
                case _:
                    return Cancelled(tuple(notes), tuple(ended), answer)
        return Cancelled(tuple(notes), tuple(ended), failed, passes=failed is None)

    @staticmethod
    async def _cancelled(seen: Seen, client: Client, batch_id: str) -> Answered[RemoteBatch] | Failure:
        """Cancel a batch; one that is told to run on is looked at once more, since the answer may be of the moment before."""
        answer = await calls.cancel_batch(seen, client, batch_id)
        if isinstance(answer, Answered) and not answer.value.is_stopping:
            return await calls.get_batch(seen, client, batch_id)
        return answer

    async def fresh(
        self, seen: Seen, client: Client, batches: tuple[RemoteBatch, ...]
    ) -> tuple[RemoteBatch, ...] | Failure:
        """Look at batches one by one: a list that lags behind must not make us keep a dead one and cancel the other."""
        found: list[RemoteBatch] = []
        for batch in batches:
            answer = await calls.get_batch(seen, client, batch.id)
            if isinstance(answer, Answered):
                found.append(replace(answer.value, created_at=answer.value.created_at or batch.created_at))
            elif not isinstance(answer, NotFound):
                return answer
        return tuple(found)


@dataclass
class LateBatches:
    """Cancels batches whose create call came too late: their job has another one, or has ended, or is gone."""

    cluster: Cluster
    recorder: Recorder
    metrics: Metrics
    pause: Callable[[float], Awaitable[None]]
    """Waits, but not for long once the process is about to end."""

    async def cancel(self, seen: Seen, client: Client, batch: RemoteBatch, *, gone: bool) -> None:
        """Cancel a batch of which it turns out that its job has no use for it.

        Args:
            seen: The job.
            client: Its gateway.
            batch: What the create call was answered with.
            gone: The BatchJob is not there any more; else the job has another batch, makes one, or has ended.
        """
        if gone:
            await self._of_nobody(seen, client, batch)
            return
        told = f"Batch {batch.id} was made by a create call that came too late, of a process that had stood still; "
        ended = await self._ended(seen, client, batch)
        if ended:
            self.metrics.duplicates.inc()
            self._tell(seen, "Warning", Reason.DUPLICATE_CANCELLED, f"{told}{ended}.")
            return
        await self._search_again(seen)
        told += (
            "it could not be cancelled yet. Other batches of this job are looked for again while it runs; if it has ended,"
            " cancel the batch at the provider."
        )
        self._tell(seen, "Warning", Reason.DUPLICATE_CANCELLED, told)

    async def _of_nobody(self, seen: Seen, client: Client, batch: RemoteBatch) -> None:
        """Cancel the batch of an object that is gone, finalizer and all: nobody else ever will."""
        told = f"Batch {batch.id} was made while its BatchJob was removed; "
        if seen.observation.spec.deletion_policy.remote_batch == "Orphan":
            told += "it is left at the provider, as spec.deletionPolicy.remoteBatch says."
            self._tell(seen, "Normal", Reason.REMOTE_BATCH_RETAINED, told)
        elif ended := await self._ended(seen, client, batch):
            self._tell(seen, "Warning", Reason.CANCELLING, f"{told}{ended}.")
        else:
            told += "it could not be cancelled. Cancel it at the provider."
            self._tell(seen, "Warning", Reason.REMOTE_FILES_RETAINED, told)

    async def _ended(self, seen: Seen, client: Client, batch: RemoteBatch) -> str:
        """Cancel a batch; answers in words what became of it, or nothing if it could not be cancelled."""
        for tries in range(CANCEL_TRIES):
            match await calls.cancel_batch(seen, client, batch.id):
                case Answered(told) if is_over(told):
                    return "it is cancelled"
                case Answered(told) if told.is_terminal:
                    return "it has ended"
            # That it isn't found is no word about a batch that was made just now.
            await self.pause(next_delay(tries + 1, 0.5, first=0.2, longest=LONGEST_SECONDS))
        return ""

    def _tell(self, seen: Seen, kind: Literal["Normal", "Warning"], reason: Reason, told: str) -> None:
        log.warning("a batch was made too late", extra={"object": str(seen.key), "detail": told})
        subject = Subject(seen.key.kind, seen.key.namespace, seen.key.name, seen.owner.uid)
        self.recorder.record(subject, kind, reason, told)

    async def _search_again(self, seen: Seen) -> None:
        """Have whoever works look for duplicates once more; best effort."""
        try:
            found = await self.cluster.get(JOBS, seen.key.namespace, seen.key.name)
            if found is None or found["metadata"]["uid"] != seen.owner.uid:
                return
            stored = BatchJobStatus.parse(found.get("status") or {})
            view = seen.view
            again = (
                facts.checked(stored, None) if view is None else view.put(stored, facts.checked(view.of(stored), None))
            )
            patch = merge_patch(found["status"], again.dump())
            version = found["metadata"]["resourceVersion"]
            await self.cluster.patch_status(JOBS, seen.key.namespace, seen.key.name, patch, resource_version=version)
        except (ClusterError, ValidationError) as error:
            log.warning("a search could not be asked for", extra={"object": str(seen.key), "detail": str(error)})
