"""Does the one effect that was decided on; what it comes to is facts, not exceptions, for everything foreseen."""

from dataclasses import dataclass, replace
from typing import assert_never

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge import calls
from llmbatch.batch.edge.lookup import Finder
from llmbatch.batch.edge.lost_uploads import LostUploads
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.polls import Polls
from llmbatch.batch.edge.seen import Json, Seen
from llmbatch.batch.edge.submit import Submitter
from llmbatch.batch.pure import facts
from llmbatch.batch.pure.decision import (
    AddFinalizer,
    BeginAnew,
    Cancel,
    Collect,
    DeleteFiles,
    Discard,
    Effect,
    FindDuplicates,
    Finish,
    GiveUpAttempt,
    LookUp,
    RemoveFinalizer,
    Submit,
    SubmitAgain,
    Upload,
)
from llmbatch.batch.pure.stage import Stage
from llmbatch.common.about import about
from llmbatch.gateway.pace import Operation
from llmbatch.job.edge.cleanup import Cleanup, Finalizers, before_letting_go
from llmbatch.job.edge.move import Mover
from llmbatch.job.edge.observe import Observer
from llmbatch.job.pure import retained
from llmbatch.kube.events import Recorder, Subject
from llmbatch.provider.edge.outcome import Answered, NotFound
from llmbatch.runtime.cache import BATCHJOB
from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.queue import Key
from llmbatch.transfer.pure import destination
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfers.discards import Discards
from llmbatch.transfers.transfers import Transfers


@dataclass
class Actor:
    """Does effects."""

    finalizers: Finalizers
    observer: Observer
    discards: Discards
    transfers: Transfers
    submitter: Submitter
    finder: Finder
    lost_uploads: LostUploads
    metrics: Metrics
    recorder: Recorder

    def __post_init__(self) -> None:
        """Make what moves data, and what ends jobs."""
        self.mover = Mover(self.observer, self.transfers, self.lost_uploads.uploads)
        self.cleanup = Cleanup(self.observer.polls, self.transfers, self.lost_uploads)

    async def act(self, seen: Seen, effect: Effect) -> Outcome:
        """Do an effect."""
        batch = seen.observation.batch
        with about(batch=batch.id, part=batch.part or 0, attempt=batch.attempt or 1):
            return await self._do(seen, effect)

    async def _do(self, seen: Seen, effect: Effect) -> Outcome:  # noqa: PLR0912 - one case for each effect
        match effect:
            case AddFinalizer():
                return await self._add_finalizer(seen)
            case RemoveFinalizer():
                return await self._remove_finalizer(seen, effect)
            case Upload():
                return await self.mover.upload(seen)
            case Submit(attempt):
                await self._warn(seen)
                return await self.submitter.submit(seen, seen.the_client, attempt)
            case LookUp():
                return await self._look_up(seen)
            case FindDuplicates():
                return await self.finder.find_duplicates(seen, seen.the_client)
            case GiveUpAttempt():
                return Outcome(facts.without_batch(seen.stored, restored=seen.observation.restored), after=0.0)
            case SubmitAgain(refusal):
                self.observer.tries.create_failed(seen, refusal)
                # The delays of a batch that is over say nothing about its file.
                self.observer.polls.forget(seen.observation.memory)
                return Outcome(facts.without_refused_batch(seen.observation.status), after=0.0, moved=True)
            case BeginAnew():
                return Outcome(BatchJobStatus(), after=0.0)
            case Collect():
                return await self.mover.collect(seen)
            case Discard():
                return await self.discards.start(seen)
            case Cancel(batch_id):
                return await _cancel(self.observer.polls, seen, batch_id)
            case DeleteFiles(file_ids):
                status, problem = await self.cleanup.delete_files(seen, seen.the_client, file_ids)
                if problem is None and seen.plan is not None:
                    # Its report would be read again, and the file found again that is gone now.
                    await self.transfers.jobs.remove(seen.owner, seen.plan)
                return Outcome(status, problem, after=1.0 if problem else 0.0)
            case Finish():
                outcome = await self.cleanup.finish(seen, effect)
                if outcome.finish is not None:
                    self._forget(seen)
                return outcome
            case _:
                assert_never(effect)

    # --- the object --------------------------------------------------------------------------------------------------

    async def _add_finalizer(self, seen: Seen) -> Outcome:
        held = await self.finalizers.add(seen.key, seen.raw)
        if held is None or seen.observation.stage is not Stage.INPUT:
            # It was put back on a job under way, of which there is nothing new to tell.
            return Outcome(seen.stored, stale=True)
        self.lost_uploads.uploads.first(seen.owner.uid)
        return Outcome(seen.observation.status, after=0.0, raw=held)

    async def _remove_finalizer(self, seen: Seen, effect: RemoveFinalizer) -> Outcome:
        observation = seen.observation
        if observation.deleted_at is not None:
            if seen.client is None and not observation.out_of_time and observation.spec.uses_volume:
                # Without its gateway nobody can tell what they are at work on, nor delete what they upload.
                await self.transfers.jobs.remove_others(seen.owner)
            # Where something else is left behind, what can be found goes all the same, and is not waited for. Where that was
            # asked for, the gateway need not be there: it may hang.
            problem = None if effect.as_asked else await self.lost_uploads.delete(seen)
            if isinstance(problem, float):
                return before_letting_go(seen, problem)
            if problem is not None and not effect.left_behind:
                return Outcome(seen.stored, problem, after=problem.retry_after_seconds or 5.0)
            if not effect.as_asked:
                left = effect.left_behind, self.lost_uploads.left(seen)
                effect = replace(effect, left_behind=", ".join(filter(None, left)))
            await self.discards.end(seen)
            # Before it is gone: if this process died in between, nobody would know what was left.
            for note in (*retained.notes(observation, effect), *retained.of_the_original(observation)):
                await self.recorder.tell(_subject(seen), *note)
        if await self.finalizers.remove(seen.key, seen.raw) is None:
            return Outcome(seen.stored, stale=True)
        self._forget(seen)
        if effect.kept_output or (effect.left_behind and not effect.as_asked):
            self.metrics.left_behind.inc()
        # An object that has ended stays; one that is deleted is gone now.
        return Outcome(seen.stored, gone=observation.deleted_at is not None)

    async def _warn(self, seen: Seen) -> None:
        """Warn, before the batch is ordered, of a destination that is too small for what it will come to."""
        known = seen.observation.status.input
        told = destination.too_small(seen.observation.spec, known.requests if known is not None else 0)
        if told is not None:
            await self.recorder.tell(_subject(seen), "Warning", Reason.OUTPUT_TOO_LARGE, told)

    def _forget(self, seen: Seen) -> None:
        self.observer.slots.release(seen.key)
        self.observer.forget(seen.owner.uid, seen.stored.batches)
        if seen.view is None:
            self.lost_uploads.forget(seen.owner.uid)

    async def release(self, key: Key, raw: Json) -> bool:
        """Take our finalizer off an object that can't be judged any more; answers whether that was done."""
        if await self.finalizers.remove(key, raw) is None:
            return False
        self.metrics.left_behind.inc()
        return True

    # --- the gateway -------------------------------------------------------------------------------------------------

    async def _look_up(self, seen: Seen) -> Outcome:
        outcome = await self.finder.look_up(seen, seen.the_client)
        if seen.observation.deleted_at is not None and outcome.problem is not None:
            return Outcome(outcome.status, outcome.problem, after=min(5.0, seen.observation.limits.recheck_seconds))
        return outcome


async def _cancel(polls: Polls, seen: Seen, batch_id: str) -> Outcome:
    status, client = seen.observation.status, seen.the_client
    answer = await calls.cancel_batch(seen, client, batch_id)
    match answer:
        case Answered(batch):
            interval = float(client.spec.poll_interval_seconds)
            # A provider that takes no notice of the call is not asked again at once; where nobody waits for that, no more
            # often than it is polled.
            hurries = batch.is_stopping or seen.observation.deleted_at is not None
            wait = polls.polled(seen.observation.memory, min(interval, 5.0) if hurries else interval)
            after = 0.0 if batch.is_stopping else max(5.0, wait)
            return Outcome(facts.with_remote(status, batch, seen.observation.now), after=after)
        case NotFound() if not seen.observation.settled:
            # Not all of a provider need know it yet, and what runs on is paid for.
            told = f"{answer.message}. It was made only a moment ago, and is cancelled again before that is believed."
            return Outcome(status, Problem(reason=Reason.REMOTE_BATCH_NOT_FOUND, message=told), after=5.0)
        case NotFound():
            gone = status.batches[0].model_copy(update={"status": "cancelled"})
            return Outcome(facts.with_batch(status, gone), after=0.0)
        case _:
            return Outcome(status, await polls.problem(client, answer, Operation.CLEANUP), after=5.0)


def _subject(seen: Seen) -> Subject:
    return Subject(BATCHJOB, seen.key.namespace, seen.key.name, seen.owner.uid)
