"""The transfers of a job: what its input or its results are planned to become, and what a transfer has reported."""

from dataclasses import dataclass, replace

from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.edge.tries import Tries
from llmbatch.batch.edge.uploads import Uploads
from llmbatch.batch.pure import facts, late, part_view
from llmbatch.gateway.pace import Operation
from llmbatch.job.pure import parts
from llmbatch.job.pure.trouble import placed
from llmbatch.jsonl.cut import unpacked
from llmbatch.transfer.pure import manifest
from llmbatch.transfer.pure.plan import UploadPlan
from llmbatch.transfer.pure.report import CollectReport, Problem, Report, UploadReport
from llmbatch.transfer.pure.state import Blocked, Ended, Working
from llmbatch.transfers.transfers import Transfers, volume_destination


@dataclass
class TransferObserver:
    """Observes inputs, and transfer Jobs."""

    transfers: Transfers
    uploads: Uploads
    tries: Tries

    async def input(self, seen: Seen) -> Seen:
        """Read the input of a job, or look at the transfer Job that does."""
        client, spec = seen.client, seen.observation.spec
        if client is None:
            return seen
        found = await self.transfers.read_input(seen.key.namespace, spec)
        if isinstance(found, Problem):
            return seen.troubled(found)
        seen = replace(seen, data=found)
        held = self.tries.upload_held(seen) or client.pace.held(Operation.UPLOAD, seen.observation.now)
        if held is not None and found is not None:
            return seen.troubled(held)
        pods = manifest.pod_connection(client.spec, client.access.authorities)
        connection = client.access.connection if found is not None else pods
        plan = self.transfers.upload_plan(
            seen.owner,
            spec,
            client.spec,
            connection,
            attempt=seen.observation.next_attempt,
            look=self.uploads.may_be_there(seen.owner.uid),
            batch=seen.observation.batch,
        )
        seen = replace(seen, plan=plan)
        if found is not None:
            return seen
        looked = await self.job(seen)
        # A Job that is there is heard first.
        return seen.troubled(held) if held is not None and looked is seen else looked

    async def job(self, seen: Seen) -> Seen:
        """Look at the transfer Job, and take its report into the status."""
        plan, client = seen.plan, seen.client
        if plan is None or client is None:
            return seen
        match await self.transfers.jobs.state(seen.owner, seen.observation.spec, client.spec, plan):
            case None:
                return seen
            case Working(told):
                return seen.found(transferring=told)
            case Blocked(problem):
                return seen.troubled(problem)
            case Ended(report, problem, lingers):
                return self.absorb(replace(seen, lingers=lingers), report, problem)

    def absorb(self, seen: Seen, report: Report | None, problem: Problem | None = None) -> Seen:
        """Take a transfer's report into the status, or say why there is nothing to take."""
        now = seen.observation.now
        if isinstance(seen.plan, UploadPlan):
            problem = facts.upload_problem(report) if isinstance(report, UploadReport) else problem
            sent = isinstance(report, UploadReport) and report.unanswered
            unknown = problem is not None and (
                sent or problem.reason in (Reason.GATEWAY_UNREACHABLE, Reason.TRANSFER_FAILED)
            )
            self.uploads.ended(seen.owner.uid, known=not unknown)
        if isinstance(report, UploadReport):
            if problem is None:
                self.tries.forget(seen.observation.memory, "upload")
                if report.cuts is not None:
                    return seen.found(status=parts.with_cuts(seen.stored, report, unpacked(report.cuts)))
                return seen.found(status=facts.with_upload(seen.stored, report, now))
        elif isinstance(report, CollectReport):
            problem = report.problem
            volume = seen.observation.spec.output.persistent_volume_claim
            if problem is None and volume is not None and seen.view is not None:
                return seen.found(status=part_view.with_part_results(seen.stored, report, now))
            if problem is None and volume is not None:
                where = volume_destination(volume.claim_name, volume.path)
                status = facts.with_results(
                    seen.stored,
                    report,
                    where,
                    now=now,
                )
                return seen.found(status=status)
        if problem is None:
            return seen
        if late.concerns(problem, seen.observation.stage):
            seen = seen.found(status=late.noted(seen.stored, now))
        told = placed(problem, seen.observation.spec, uploads=isinstance(seen.plan, UploadPlan))
        if seen.client is not None:
            operation = Operation.UPLOAD if isinstance(seen.plan, UploadPlan) else Operation.RESULTS
            seconds = seen.client.pace.slow_down(operation, told.retry_after_seconds)
            told = told.model_copy(update={"retry_after_seconds": seconds})
        if isinstance(seen.plan, UploadPlan) and not told.final and told.side is None:
            status, told = self.tries.upload_failed(seen, report, told)
            seen = seen.found(status=status)
        return replace(seen.found(trouble=told, costly=True), spent=True)
