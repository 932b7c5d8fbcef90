"""The results' stage: which files the ended batch names, and how far the transfer Job is that collects them."""

from dataclasses import dataclass, replace

from llmbatch.api.batchjob_status import Batch
from llmbatch.api.reasons import Reason
from llmbatch.controller.observe_transfer import TransferObserver
from llmbatch.controller.polls import Polls
from llmbatch.controller.seen import Seen
from llmbatch.core.plan import Problem
from llmbatch.edges import transfer_job


@dataclass
class ResultsObserver:
    """Observes batches that have ended."""

    polls: Polls
    transfers: TransferObserver

    async def observe(self, seen: Seen) -> Seen:
        """Look at what a batch has left behind, and at the transfer Job that collects it."""
        client, spec, batch = seen.client, seen.observation.spec, seen.observation.batch
        if client is None:
            return seen
        if batch.status == "failed" and not batch.output_file_id and not batch.error_file_id:
            # The reasons are not in our status; ask once more for the message.
            return await self.polls.poll(seen)
        if batch.status == "completed" and batch.output_file_id is None and _answered(batch) > 0:
            return await self._late(seen)
        volume = spec.output.persistent_volume_claim
        if volume is None:
            return seen
        transfers = self.transfers.transfers
        if (problem := await transfers.claim_problem(seen.key.namespace, volume.claim_name, "spec.output")) is not None:
            return seen.troubled(problem)
        plan = transfers.collect_plan(spec, seen.stored, transfer_job.pod_connection(client.spec))
        found = await self.transfers.job(replace(seen, plan=plan))
        if found.observation == seen.observation and (problem := self.polls.gateways.readiness(client.key)) is not None:
            # No pod is started only to find what is known.
            return seen.troubled(problem)
        return found

    async def _late(self, seen: Seen) -> Seen:
        """Wait for the results' file of a batch that is completed and names none yet."""
        found = await self.polls.when_due(seen)
        if found.observation.trouble is not None:
            return found
        if found.observation.batch.output_file_id is not None:
            return replace(found, observation=replace(found.observation, unrecorded=True))
        message = "The provider says that requests succeeded, but names no file with their results yet."
        seconds = self.polls.due_in(seen.owner.uid)
        return found.troubled(Problem(reason=Reason.RESULTS_UNREADABLE, message=message, retry_after_seconds=seconds))


def _answered(batch: Batch) -> int:
    return batch.request_counts.completed if batch.request_counts is not None else 0
