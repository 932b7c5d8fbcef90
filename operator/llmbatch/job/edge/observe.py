"""Reads everything that concerns a BatchJob once, for `decide` to look at."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from llmbatch.api import ACCEPT_MISSING_ANNOTATION, FINALIZER, RESUBMIT_ANNOTATION
from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.edge.polls import Polls
from llmbatch.batch.edge.seen import Json, Seen
from llmbatch.batch.edge.tries import Tries
from llmbatch.batch.edge.uploads import Uploads
from llmbatch.batch.pure import facts
from llmbatch.batch.pure.observation import Limits, Observation
from llmbatch.batch.pure.part_view import PartView
from llmbatch.batch.pure.stage import Stage, memory_of, stage_of
from llmbatch.gateway.clients import Gateways
from llmbatch.gateway.pace import Operation
from llmbatch.gateway.slots import Slots
from llmbatch.job.edge.admission import Admission
from llmbatch.job.edge.first_seen import Known
from llmbatch.job.edge.observe_file import FileObserver
from llmbatch.job.edge.observe_results import ResultsObserver
from llmbatch.job.edge.observe_transfer import InputObserver, TransferObserver
from llmbatch.job.pure import parts, retries
from llmbatch.kube.once import Once
from llmbatch.runtime.cache import BATCHGATEWAY, Cache
from llmbatch.runtime.queue import Key
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.report import Problem, Report
from llmbatch.transfers.destination import Destinations
from llmbatch.transfers.discards import Discards
from llmbatch.transfers.transfers import Transfers

OPERATIONS = {
    Stage.FILE: Operation.READ,
    Stage.ANSWER: Operation.READ,
    Stage.BATCH: Operation.READ,
    Stage.RESULTS: Operation.RESULTS,
    Stage.CLEANUP: Operation.CLEANUP,
}
"""What each stage asks of the gateway at once; whether an upload or a create call may begin is asked when it would."""


@dataclass
class Observer:
    """Observes BatchJobs."""

    cache: Cache
    gateways: Gateways
    polls: Polls
    transfers: Transfers
    discards: Discards
    slots: Slots
    uploads: Uploads
    limits: Limits
    tries: Tries
    admission: Admission
    known: Known = field(default_factory=Known)

    def __post_init__(self) -> None:
        """Make the observers of the stages."""
        self._transfers = TransferObserver(self.transfers, self.uploads, self.tries)
        self._destinations = Destinations(self.cache, self.transfers)
        self._files = FileObserver(self.polls, self.slots, self.tries, self.uploads, self.admission, self._destinations)
        self._results = ResultsObserver(self.polls, self.tries, self._transfers)
        self._inputs = InputObserver(self._transfers, self.admission)

    async def observe(self, key: Key, raw: Json) -> Seen:
        """Observe a job; of one with several batches, what is true of the job (see `part`).

        Raises:
            pydantic.ValidationError: Its spec or status can't be read.
        """
        spec, stored = BatchJobSpec.parse(raw["spec"]), BatchJobStatus.parse(raw.get("status") or {})
        seen = self._seen(key, raw, spec, stored)
        return await (self._whole(seen) if parts.is_split(stored) else self._look(seen))

    async def part(self, job: Seen, view: PartView, once: Once) -> Seen:
        """Observe one of a job's several batches; `once` is the same for all that are looked at in a pass."""
        whole, spec = job.stored, job.observation.spec
        seen = self._seen(job.key, job.raw, spec, view.of(whole), *retries.followed(whole, whole.batches[view.index]))
        seen = await self._look(replace(seen, view=view, whole=whole, once=once))
        if seen.observation.stage is Stage.INPUT:
            # Whatever the trouble is: that of its gateway, say, which others of the quota's group don't have.
            self.admission.give_back(seen, seen.observation.trouble)
        return seen

    async def file(self, seen: Seen, status: BatchJobStatus) -> Seen | None:
        """Look at the file that was uploaded just now, of which nothing is stored yet; None: it is to be stored first."""
        seen = replace(seen, observation=replace(seen.observation, status=status))
        if seen.client is None or self._files.waits(seen, seen.client):
            return None
        found = await self._files.observe(seen, seen.client.key)
        return replace(found, observation=replace(found.observation, unrecorded=False))

    async def _whole(self, seen: Seen) -> Seen:
        """Find the gateway, by which the last of a job's files are deleted and requests are sent again; or say why there is none."""
        name = seen.observation.spec.gateway_ref.name
        if seen.observation.deleted_at is not None and seen.observation.finalizer:
            seen = await self.discards.look(seen)
        client = await self.gateways.use(seen.key.namespace, name, None, last_known=True)
        return seen.troubled(client) if isinstance(client, Problem) else replace(seen, client=client)

    def _seen(self, key: Key, raw: Json, spec: BatchJobSpec, stored: BatchJobStatus, *followed: Batch) -> Seen:
        metadata = raw["metadata"]
        annotations = metadata.get("annotations") or {}
        deleted, now = metadata.get("deletionTimestamp"), self.gateways.cluster.now()
        finalizer = FINALIZER in (metadata.get("finalizers") or [])
        batch = facts.batch_of(stored)
        memory = memory_of(metadata["uid"], batch)
        lost = _is_lost(stored, finalizer=finalizer)
        observation = Observation(
            uid=metadata["uid"],
            generation=metadata["generation"],
            spec=spec,
            status=_with_lost_answer(raw, stored, now) if lost else stored,
            now=now,
            limits=self.limits,
            finalizer=finalizer,
            deleted_at=datetime.fromisoformat(deleted) if deleted else None,
            resubmit=annotations.get(RESUBMIT_ANNOTATION),
            acknowledged=stored.observed_generation == metadata["generation"] and not lost,
            unrecorded=lost,
            looked_seconds=self.known.looked(memory, batch),
            accepts_missing=_accepts_missing(batch, followed, annotations),
            owed_seconds=self.known.owed(memory, batch),
            deleted_seconds=self.known.deleted(metadata),
            over_seconds=self.known.over(memory, stored),
        )
        return Seen(key, Owner(key.namespace, key.name, metadata["uid"]), raw, stored, observation)

    async def _look(self, seen: Seen) -> Seen:
        """Look at what the stage of a batch is about."""
        observation = seen.observation
        stage, deleted = observation.stage, observation.deleted_at is not None
        if deleted and observation.finalizer:
            if seen.view is None:
                seen = await self.discards.look(seen)
            if observation.out_of_time or observation.orphans:
                # The gateway is not asked any more: it may not answer, and nothing would come of it.
                return seen
        if stage is Stage.ENDED or (deleted and not observation.finalizer) or not (deleted or observation.acknowledged):
            return seen
        if observation.restored and (deleted or stage in (Stage.INPUT, Stage.FILE)):
            # Nothing at the provider is this object's.
            return seen
        stops = observation.status.stopped is not None and observation.batch.status != "cancelling"
        waits = stage is Stage.BATCH and not deleted and not stops
        gateway = Key(BATCHGATEWAY, seen.key.namespace, observation.spec.gateway_ref.name)
        if waits and (wait := self.polls.due_in(observation.memory)) > 0 and not self.polls.searches(seen, gateway):
            # Nothing is asked of the gateway between two polls, and what the last one met still holds.
            return self.polls.between(seen, wait)
        if not waits:
            self.polls.leave(observation.memory)
        operation = Operation.CLEANUP if deleted else OPERATIONS.get(stage)
        client = await self.gateways.use(gateway.namespace, gateway.name, operation, last_known=deleted)
        if isinstance(client, Problem):
            return seen.troubled(client)
        seen = replace(seen, client=client)
        if stage in (Stage.INPUT, Stage.FILE) and not deleted and (problem := self.gateways.readiness(gateway)):
            return seen.troubled(problem)
        return await self._stage(seen.found(may_list=self.gateways.lists_batches(gateway)), stage, gateway)

    async def _stage(self, seen: Seen, stage: Stage, gateway: Key) -> Seen:
        match stage:
            case Stage.INPUT:
                asks = seen.observation.deleted_at is None and seen.view is None
                if asks and (problem := await self._destinations.problem(seen)) is not None:
                    return seen.troubled(problem)
                return await self._inputs.observe(seen, gateway)
            case Stage.FILE if seen.observation.deleted_at is None:
                return await self._files.observe(seen, gateway)
            case Stage.ANSWER:
                return seen.found(lists_batches=self.gateways.lists_batches(gateway))
            case Stage.BATCH if seen.observation.deleted_at is None or seen.observation.batch.status == "cancelling":
                return await self.polls.when_due(seen)
            case Stage.RESULTS:
                return await self._results.observe(seen)
            case _:
                return seen

    def forget(self, uid: str, batches: Iterable[Batch]) -> None:
        """Forget a job that is gone or has ended, and its batches."""
        self._destinations.forget(uid)
        memories = {uid, *(memory_of(uid, batch) for batch in batches)}
        self.known.forget(uid, memories)
        for memory in memories:
            self.polls.forget(memory)
            self.tries.forget(memory)

    def absorb(self, seen: Seen, report: Report | None) -> Seen:
        """Take the report of a transfer in this process into the status."""
        return self._transfers.absorb(seen, report)


def _accepts_missing(batch: Batch, followed: Sequence[Batch], annotations: dict[str, str]) -> bool:
    """By the batch's id, so that one that was left over from another batch says nothing; of several, it names each.

    What is to be sent again is found out from what others have left.
    """
    named = [item.strip() for item in annotations.get(ACCEPT_MISSING_ANNOTATION, "").split(",")]
    asked = (batch,) if batch.id is not None else followed
    return any(item.id in named for item in asked if item.id)


def _is_lost(stored: BatchJobStatus, *, finalizer: bool) -> bool:
    """Tell whether a job has lost its status, and perhaps a batch's id with it.

    The finalizer is put on after the first status, in which startTime is; so the one without the other can't be.
    """
    return finalizer and stored.start_time is None and stage_of(stored) is Stage.INPUT


def _with_lost_answer(raw: Json, stored: BatchJobStatus, now: datetime) -> BatchJobStatus:
    """Give the status of a job that may have been submitted at any time since it was made."""
    made = raw["metadata"].get("creationTimestamp")
    return facts.with_lost_answer(stored, datetime.fromisoformat(made) if made else now, now)
