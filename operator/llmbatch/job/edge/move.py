"""Moves data: a job's input to the provider, and its results from there to where they are stored."""

from dataclasses import dataclass, replace

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import NoClientError, Seen
from llmbatch.batch.edge.uploads import Uploads
from llmbatch.batch.pure import facts, late
from llmbatch.batch.pure.stage import Stage
from llmbatch.gateway.clients import Client
from llmbatch.gateway.pace import Operation
from llmbatch.job.edge.observe import Observer
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfers.plans import Look
from llmbatch.transfers.transfers import Transfers


def calls_of(status: BatchJobStatus) -> int:
    """Count the calls that it takes to collect a batch's results: for each of its files, the input among them for its order."""
    batch = facts.batch_of(status)
    return sum(file_id is not None for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id))


@dataclass
class Mover:
    """Moves data in this process, or has a transfer Job do it."""

    observer: Observer
    transfers: Transfers
    uploads: Uploads

    async def upload(self, seen: Seen) -> Outcome:
        """Upload the input, or start the transfer Job that does."""
        plan, client = seen.plan, seen.the_client
        if plan is None or plan.kind != "upload":
            raise NoClientError("an upload without a plan")
        await client.budget.take("upload file", 2 if plan.look else 1)
        self.uploads.begun(seen.owner.uid, seen.observation.memory)
        if seen.data is None:
            problem = await self.transfers.jobs.start(
                seen.owner, seen.observation.spec, client.spec, plan, beside=seen.beside
            )
            return Outcome(seen.observation.status, problem, after=0.5)
        report = await self.transfers.here.upload(plan, seen.data, client.access, client.key)
        found = self.observer.absorb(seen, report).observation
        if found.stage is Stage.FILE:
            self.transfers.inputs.keep(seen.owner.uid, seen.data)
        outcome = await self._after_transfer(client, found.status, report.problem, Operation.UPLOAD)
        return replace(outcome, problem=found.trouble, after=None if found.trouble else 0.0)

    async def collect(self, seen: Seen) -> Outcome:
        """Collect the results, or start the transfer Job that does."""
        observation, client = seen.observation, seen.the_client
        await client.budget.take("collect", calls_of(observation.status))
        if observation.spec.output.persistent_volume_claim is not None:
            if seen.plan is None:
                raise NoClientError("a collection without a plan")
            problem = await self.transfers.jobs.start(
                seen.owner, observation.spec, client.spec, seen.plan, beside=seen.beside
            )
            return Outcome(observation.status, problem, after=0.5)
        # It need not be downloaded to know the order of its requests.
        source = await self.input(seen)
        batches = [(observation.status, Look.of(observation))]
        collected = await self.transfers.here.collect(
            seen.owner, observation.spec, batches, client.access, client.key, source=source
        )
        report, destination = collected.report, collected.destination
        if report.problem is not None or destination is None:
            return await self.not_collected(seen, report.problem)
        status = facts.with_results(
            observation.status,
            report,
            destination,
            now=observation.now,
        )
        return Outcome(status, after=0.0, moved=True)

    async def input(self, seen: Seen) -> bytes | None:
        """Give the input again, where it is in the cluster; None: in a volume, or not there any more."""
        found = self.transfers.inputs.take(seen.owner.uid) or await self.transfers.read_input(
            seen.key.namespace, seen.observation.spec
        )
        return found if isinstance(found, bytes) else None

    async def not_collected(self, seen: Seen, problem: Problem | None) -> Outcome:
        """Say what keeps a batch's results from being stored."""
        observation = seen.observation
        status = observation.status
        if problem is not None and late.concerns(problem, observation.stage):
            status = late.noted(status, observation.now)
        return await self._after_transfer(seen.the_client, status, problem, Operation.RESULTS)

    async def _after_transfer(
        self, client: Client, status: BatchJobStatus, problem: Problem | None, operation: Operation
    ) -> Outcome:
        if problem is not None:
            seconds = client.pace.slow_down(operation, problem.retry_after_seconds)
            problem = problem.model_copy(update={"retry_after_seconds": seconds})
            if problem.reason in (Reason.GATEWAY_UNAUTHORIZED, Reason.GATEWAY_UNREACHABLE, Reason.ROUTE_NOT_FOUND):
                await self.observer.gateways.suspect(client.key)
        return Outcome(status, problem, after=None if problem else 0.0)
