"""The transfers of a job: what its input or its results are planned to become, and what a transfer has reported."""

from dataclasses import dataclass, replace

from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.edge.tries import Tries
from llmbatch.batch.edge.uploads import Uploads
from llmbatch.batch.pure import facts, late, part_view
from llmbatch.batch.pure.part_view import PartView
from llmbatch.batch.pure.stage import is_full
from llmbatch.gateway.clients import Client
from llmbatch.gateway.pace import Operation
from llmbatch.job.edge.admission import Admission
from llmbatch.job.pure import parts, retries
from llmbatch.job.pure.trouble import placed
from llmbatch.jsonl.cut import unpacked
from llmbatch.runtime.queue import Key
from llmbatch.transfer.pure import connections
from llmbatch.transfer.pure.plan import CollectPlan, Rests, UploadPlan, parts_location
from llmbatch.transfer.pure.report import CollectReport, Problem, Report, UploadReport
from llmbatch.transfer.pure.state import Blocked, Ended, TransferState, Working
from llmbatch.transfers.plans import upload_plan, volume_destination
from llmbatch.transfers.transfers import Transfers


def rests_of(seen: Seen) -> Rests | None:
    """Say which stored files a later attempt sends; None: it is the first."""
    return retries.rests(seen.whole, seen.observation.batch, seen.observation.status_uid)


def held_back(tries: Tries, seen: Seen, client: Client) -> Problem | None:
    """Give what failed before, while it is too early to send again."""
    return tries.upload_held(seen) or client.pace.held(Operation.UPLOAD, seen.observation.now)


@dataclass
class RestReader:
    """Reads back what a later attempt sends, where the results go into a Secret or ConfigMap."""

    transfers: Transfers
    tries: Tries

    def are_far(self, seen: Seen) -> bool:
        """Tell whether it takes downloads to find out what is to be sent."""
        return bool(seen.observation.batch.parts) and seen.observation.spec.output.persistent_volume_claim is None

    def held(self, seen: Seen) -> Problem | None:
        """Give what keeps that from being read just now."""
        held = held_back(self.tries, seen, seen.client) if seen.client is not None else None
        return held or self.tries.reading_held(seen) or retries.too_much(seen.whole, seen.observation.batch)

    async def read(self, seen: Seen, client: Client) -> bytes | Problem | None:
        """Read it; None when it is in a volume."""
        if not self.are_far(seen):
            return None
        whole, sent = seen.whole, seen.observation.batch
        views = [PartView(whole.batches.index(batch)) for batch in retries.followed(whole, sent)]
        statuses = [view.of(whole) for view in views]
        found = await self.transfers.here.rest(seen.observation.spec, statuses, client.access, client.key)
        if isinstance(found, Problem):
            if found.reason is Reason.RESULTS_UNREADABLE and seen.observation.accepts_missing:
                # Nobody can tell any more which they are.
                message = "the answers to the attempt before can't be read, so that it can't be told what to send again"
                return found.model_copy(update={"final": True, "message": message})
            return self.tries.reading_failed(seen, found, in_pod=False)
        self.tries.was_read(seen)
        return found


@dataclass
class TransferObserver:
    """Observes inputs, and transfer Jobs."""

    transfers: Transfers
    uploads: Uploads
    tries: Tries

    def __post_init__(self) -> None:
        """Make what reads back what is sent again."""
        self.rests = RestReader(self.transfers, self.tries)

    async def input(self, seen: Seen) -> Seen:
        """Read the input of a job, or look at the transfer Job that does."""
        client, spec = seen.client, seen.observation.spec
        if client is None:
            return seen
        rests = rests_of(seen)
        if self.rests.are_far(seen) and is_full(seen.whole, spec.parallelism):
            return seen
        if rests is None:
            found = await self.transfers.read_input(seen.key.namespace, spec)
        else:
            found = await self.rests.read(seen, client)
        if isinstance(found, Problem):
            return seen.troubled(found)
        seen = replace(seen, data=found)
        held = held_back(self.tries, seen, client)
        if held is not None and found is not None:
            return seen.troubled(held)
        pods = connections.pod_connection(client.spec, client.access.authorities)
        connection = client.access.connection if found is not None else pods
        plan = upload_plan(
            seen.owner,
            spec,
            client.spec,
            connection,
            attempt=seen.observation.next_attempt,
            look=self.uploads.may_be_there(seen.owner.uid),
            batch=seen.observation.batch,
            rests=rests,
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
        state = await self.transfers.jobs.state(seen.owner, seen.observation.spec, client.spec, plan, seen.once)
        if (problem := await self._claim_problem(seen, state)) is not None:
            return seen.troubled(problem)
        match state:
            case None:
                return seen
            case Working(told):
                return seen.found(transferring=told)
            case Blocked(problem):
                return seen.troubled(problem)
            case Ended(report, problem, lingers):
                return self.absorb(replace(seen, lingers=lingers), report, problem)

    async def _claim_problem(self, seen: Seen, state: TransferState | None) -> Problem | None:
        """Say what is wrong with the claim that a transfer is about, where that counts: before a Job is made, and while its pod does not start."""
        if isinstance(state, Ended) or (isinstance(state, Working) and (state.running or state.young)):
            return None
        spec = seen.observation.spec
        reads_input = isinstance(seen.plan, UploadPlan) and rests_of(seen) is None
        volume, where = (
            (spec.input.persistent_volume_claim, "spec.input")
            if reads_input
            else (spec.output.persistent_volume_claim, "spec.output")
        )
        if volume is None:
            return None
        claims = self.transfers.claims
        ask = claims.problem_of_late if state is None else claims.problem
        return await ask(seen.key.namespace, volume.claim_name, where, once=seen.once)

    def absorb(self, seen: Seen, report: Report | None, problem: Problem | None = None) -> Seen:
        """Take a transfer's report into the status, or say why there is nothing to take."""
        now = seen.observation.now
        if isinstance(seen.plan, UploadPlan):
            problem = facts.upload_problem(report) if isinstance(report, UploadReport) else problem
            sent = isinstance(report, UploadReport) and report.unanswered
            unknown = problem is not None and (
                sent or problem.reason in (Reason.GATEWAY_UNREACHABLE, Reason.TRANSFER_FAILED)
            )
            self.uploads.ended(seen.owner.uid, seen.observation.memory, known=not unknown)
        if isinstance(report, UploadReport):
            if problem is None:
                self.tries.forget(seen.observation.memory, "upload")
                status = seen.stored
                if report.cuts is not None:
                    status = parts.with_cuts(status, report, unpacked(report.cuts))
                if report.file_id is not None:
                    self.uploads.answered(seen.observation.memory, report.file_id if report.processed else None)
                    status = facts.with_upload(status, report, now)
                return seen.found(status=status)
        elif isinstance(report, CollectReport):
            problem = report.problem
            if problem is None:
                return self._collected(seen, report)
        if problem is None:
            return seen
        if late.concerns(problem, seen.observation.stage):
            seen = seen.found(status=late.noted(seen.stored, now))
        told = placed(problem, seen.observation.spec, uploads=isinstance(seen.plan, UploadPlan))
        if seen.client is not None:
            operation = Operation.UPLOAD if isinstance(seen.plan, UploadPlan) else Operation.RESULTS
            seconds = seen.client.pace.slow_down(operation, told.retry_after_seconds)
            told = told.model_copy(update={"retry_after_seconds": seconds})
        if isinstance(seen.plan, CollectPlan):
            told = self.tries.reading_failed(seen, told, in_pod=True)
        if isinstance(seen.plan, UploadPlan) and not told.final and told.side is None:
            status, told = self.tries.upload_failed(seen, report, told)
            seen = seen.found(status=status)
        return replace(seen.found(trouble=told, costly=True), spent=True)

    def _collected(self, seen: Seen, report: CollectReport) -> Seen:
        """Take the report of results that are stored into the status."""
        volume, now = seen.observation.spec.output.persistent_volume_claim, seen.observation.now
        if volume is None:
            return seen
        if seen.view is None:
            where = volume_destination(volume.claim_name, volume.path)
            return seen.found(status=facts.with_results(seen.stored, report, where, now=now))
        self.tries.was_read(seen)
        may_retry = retries.is_open(seen.whole, seen.observation.batch, seen.observation.spec)
        folder = parts_location(volume.claim_name, volume.path, seen.observation.status_uid)
        return seen.found(
            status=part_view.with_part_results(seen.stored, report, now, may_retry=may_retry, where=folder)
        )


@dataclass
class InputObserver:
    """Observes inputs, and whether it is their turn to be uploaded."""

    transfers: TransferObserver
    admission: Admission

    async def observe(self, seen: Seen, gateway: Key) -> Seen:
        """Read what is to be sent, or look at the transfer Job that sends it."""
        if self.transfers.rests.are_far(seen):
            # What waits, or is never to be sent, costs no download.
            if seen.observation.deleted_at is not None or seen.observation.status.stopped is not None:
                return seen
            held = self.transfers.rests.held(seen)
            seen = seen.troubled(held) if held is not None else self.admission.uploads(seen, gateway)
            if seen.observation.trouble is not None or seen.observation.queued is not None:
                return seen
        return self.admission.uploads(await self.transfers.input(seen), gateway)
