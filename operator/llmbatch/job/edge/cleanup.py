"""The end of a job: its remote files deleted as far as patience goes, what is left behind told, our finalizer taken off."""

import time
from dataclasses import dataclass

from llmbatch import crash
from llmbatch.api import FINALIZER
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.lost_uploads import LostUploads
from llmbatch.batch.edge.outcome import Note, Outcome
from llmbatch.batch.edge.polls import Polls
from llmbatch.batch.edge.seen import Json, Seen
from llmbatch.batch.pure import facts
from llmbatch.batch.pure.decision import Finish
from llmbatch.batch.pure.stage import Stage
from llmbatch.gateway.clients import Client
from llmbatch.gateway.pace import Operation
from llmbatch.job.pure import parts, retained
from llmbatch.job.pure.decide_results import doubtful, why_doubtful
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.permissions import JOBS
from llmbatch.provider.edge.outcome import Answered, NotFound
from llmbatch.runtime.cache import BATCHGATEWAY
from llmbatch.runtime.queue import Key
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfers.transfers import Transfers

HANGS_SECONDS = 2.0
"""A call that failed after so long, or after half the time that it may take, is not made for one more file in the same pass."""
MOST_FAILURES = 3
"""Of such calls in a pass."""


@dataclass
class Cleanup:
    """Ends jobs."""

    polls: Polls
    transfers: Transfers
    lost_uploads: LostUploads

    async def delete_files(
        self, seen: Seen, client: Client, file_ids: tuple[str, ...]
    ) -> tuple[BatchJobStatus, Problem | None]:
        """Delete remote files; answers the status without those that are gone, and what kept the others."""
        status, problem, failures = seen.observation.status, None, 0
        for file_id in file_ids:
            began = time.monotonic()
            answer = await client.gateway.delete_file(file_id)
            if isinstance(answer, Answered | NotFound):
                status = facts.without_files(status, (file_id,))
            else:
                failed = await self.polls.problem(client, answer, Operation.CLEANUP)
                told = f"Remote file {file_id} can't be deleted yet: {failed.message}"
                problem = failed.model_copy(update={"reason": Reason.CLEANING_UP, "message": told})
                unreachable = failed.reason is Reason.GATEWAY_UNREACHABLE
                failures += unreachable
                # One that hangs would hang for each file, and a deletion that comes meanwhile waits for this pass. But what is
                # wrong with one file keeps no others there.
                longest = min(HANGS_SECONDS, client.spec.timeouts.request_seconds / 2)
                hangs = unreachable and time.monotonic() - began > longest
                if hangs or failures >= MOST_FAILURES:
                    break
        return status, problem

    async def finish(self, seen: Seen, finish: Finish) -> Outcome:
        """End the job, or one of its several batches, with the remote files deleted as far as patience goes."""
        if seen.view is not None:
            return await self._finish_part(seen, finish)
        observation = seen.observation
        status = observation.status
        notes: tuple[Note, ...] = ()
        problem: Problem | None = None
        if observation.stage is Stage.CLEANUP:
            await self.transfers.settle_ownership(seen.owner, observation.spec)
        if observation.spec.uses_volume:
            await self.transfers.jobs.remove_others(seen.owner)
        strays = await self.lost_uploads.delete(seen)
        if isinstance(strays, float):
            # Before anything is deleted, or it would be deleted again by the look after this one.
            return Outcome(seen.stored, after=strays)
        if finish.delete_file_ids:
            problem = Problem(reason=Reason.CLEANING_UP, message="The gateway can't be reached.")
            if seen.client is not None:
                # The ids stay in status: they tell what the job was made of.
                _, problem = await self.delete_files(seen, seen.client, finish.delete_file_ids)
        problem = problem or strays
        if problem is not None:
            if observation.stage is Stage.CLEANUP and not observation.cleanup_overdue:
                return Outcome(status, problem)
            notes += (("Warning", Reason.REMOTE_FILES_RETAINED, f"{problem.message} It is left there."),)
        if not parts.is_split(status):
            # Of several batches each has told it at its own end.
            notes += self._in_doubt(seen)
        notes += retained.of_the_original(observation)
        ended = status.model_copy(update={"completion_time": observation.now})
        return Outcome(ended, finish=finish, after=0.0, notes=notes)

    async def _finish_part(self, seen: Seen, finish: Finish) -> Outcome:
        """End one batch of several. Its input stays at the provider until the results are stored, which name its requests."""
        observation, notes = seen.observation, self._in_doubt(seen)
        kept = observation.stage is not Stage.CLEANUP and not observation.batch.parts
        if finish.delete_file_ids and not kept:
            problem: Problem | None = Problem(reason=Reason.CLEANING_UP, message="The gateway can't be reached.")
            if seen.client is not None:
                _, problem = await self.delete_files(seen, seen.client, finish.delete_file_ids)
            if problem is not None and observation.stage is Stage.CLEANUP and not observation.cleanup_overdue:
                return Outcome(observation.status, problem)
            if problem is not None:
                notes += (("Warning", Reason.REMOTE_FILES_RETAINED, f"{problem.message} It is left there."),)
        return Outcome(observation.status, finish=finish, after=0.0, notes=notes)

    def _in_doubt(self, seen: Seen) -> tuple[Note, ...]:
        """Tell what is in doubt of a batch at its end: answers that no request was given, and others of the same call."""
        observation = seen.observation
        notes: tuple[Note, ...] = ()
        if doubtful(observation):
            why = why_doubtful(observation.status.output)
            told = f"Remote files {', '.join(observation.file_ids)} are kept: {why}."
            notes += (("Warning", Reason.REMOTE_FILES_RETAINED, told),)
        batch = observation.batch
        unchecked = not observation.restored and batch.id is not None and batch.duplicates_checked_time is None
        gateway = Key(BATCHGATEWAY, seen.key.namespace, observation.spec.gateway_ref.name)
        if unchecked and self.polls.gateways.lists_batches(gateway):
            told = "It could not be checked whether the provider has further batches of this job. Look there."
            notes += (("Warning", Reason.DUPLICATES_UNCHECKED, told),)
        return notes


@dataclass
class Finalizers:
    """Changes finalizers, unless the object has changed or gone since it was read: answers it, or None if it has."""

    cluster: Cluster

    async def add(self, key: Key, raw: Json) -> Json | None:
        """Put ours on."""
        return await self._set(key, raw, [*_others(raw), FINALIZER], crash.Effect.ADD_FINALIZER)

    async def remove(self, key: Key, raw: Json) -> Json | None:
        """Take ours off, and leave those of others."""
        return await self._set(key, raw, _others(raw), crash.Effect.REMOVE_FINALIZER)

    async def _set(self, key: Key, raw: Json, finalizers: list[str], effect: crash.Effect) -> Json | None:
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": raw["metadata"]["resourceVersion"]},
            {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
        ]
        try:
            with crash.around(effect):
                return await self.cluster.patch(JOBS, key.namespace, key.name, patch)
        except ClusterError as error:
            if error.status in (404, 409, 422):
                return None
            raise


def _others(raw: Json) -> list[str]:
    return [item for item in raw["metadata"].get("finalizers") or [] if item != FINALIZER]


def before_letting_go(seen: Seen, wait: float) -> Outcome:
    """Say what the finalizer of a deleted job waits for."""
    told = "the gateway's list of files is read, for uploads whose answer was lost."
    return Outcome(seen.stored, Problem(reason=Reason.CLEANING_UP, message=told), after=wait)
