"""The results of a job's several batches, when they go into a Secret or ConfigMap: looked at as each ends, stored at the end."""

from dataclasses import dataclass
from datetime import datetime

from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import facts, part_view
from llmbatch.batch.pure.decision import Collect, Ending
from llmbatch.batch.pure.part_view import PartView
from llmbatch.job.edge.act import Actor
from llmbatch.job.edge.move import calls_of
from llmbatch.job.edge.passes.part import ENDED, Part, told
from llmbatch.job.pure import parts, retries
from llmbatch.job.pure.decide_results import CLEANING
from llmbatch.transfer.pure.plan import MergePlan
from llmbatch.transfer.pure.report import CollectReport, MergeReport
from llmbatch.transfers.plans import Look, is_unsent


@dataclass(frozen=True)
class Together:
    """How the results of a job's batches are put together."""

    status: BatchJobStatus
    spec: BatchJobSpec
    uid: str
    now: datetime

    def found(self, reports: list[CollectReport]) -> BatchJobStatus:
        """Give the status with what became of each batch."""
        return parts.with_reports(self.status, reports, self.now)

    def plan(self, reports: list[CollectReport], path: str, root: str) -> MergePlan:
        """Plan it, from what became of each batch in turn."""
        return parts.merge_plan(self.found(reports), self.spec, self.uid, path, root)

    def report(self, reports: list[CollectReport], made: MergeReport) -> CollectReport:
        """Report on all of it as if it were one batch's."""
        report = parts.merged(self.found(reports), made)
        return report.model_copy(update={"problem": made.problem})


@dataclass
class PartsCollector:
    """Collects them."""

    actor: Actor

    def is_due(self, job: Seen, found: list[Part]) -> bool:
        """Tell whether all batches have ended and their results are to be stored."""
        if job.observation.spec.output.persistent_volume_claim is not None:
            return False
        return all(isinstance(part.effect, Collect) and not self.is_to_be_judged(part) for part in found)

    def is_to_be_judged(self, part: Part) -> bool:
        """Tell whether it is to be found out first which of a batch's requests are to be tried again."""
        spec, batch = part.seen.observation.spec, part.batch
        inline = spec.output.persistent_volume_claim is None
        return inline and spec.judges_requests and batch.unfinished is None and batch.refusal is None

    async def judge(self, part: Part) -> Outcome:
        """Find out which of a batch's requests are to be tried again."""
        seen, client = part.seen, part.seen.client
        observation = seen.observation
        if client is None:
            return Outcome(observation.status)
        here = self.actor.transfers.here
        await client.budget.take("collect", calls_of(observation.status))
        report = await here.judge(observation.spec, observation.status, Look.of(observation), client.access, client.key)
        if report.problem is not None:
            return await self.actor.mover.not_collected(seen, report.problem)
        self.actor.observer.tries.was_read(seen)
        may_retry = retries.is_open(seen.whole, observation.batch, observation.spec)
        status = part_view.with_judgement(observation.status, report, observation.now, may_retry=may_retry)
        return Outcome(status, after=0.0)

    async def collect(self, job: Seen, found: list[Part]) -> tuple[Outcome, Ending]:
        """Collect the results of all batches; those that came to nothing have their requests named among the failed ones."""
        client, observation = found[0].seen.client, job.observation
        if client is None:
            return told(job, found)
        live = {part.seen.view: part.seen.observation for part in found}
        # A later attempt that came to nothing has no lines of its own.
        kept = [view for view in parts.views(job.stored) if not parts.is_void(job.stored.batches[view.index])]
        batches = [
            (live[view].status, Look.of(live[view]))
            if view in live
            else (view.of(job.stored), Look(accept_missing=True))
            for view in kept
        ]
        await client.budget.take("collect", sum(calls_of(status) for status, _ in batches))
        several = Together(_as_seen(job.stored, found), observation.spec, observation.status_uid, observation.now)
        unsent = any(is_unsent(status.batches[0]) for status, _ in batches)
        source = await self.actor.mover.input(job) if unsent else None
        collected = await self.actor.transfers.here.collect(
            job.owner,
            observation.spec,
            batches,
            client.access,
            client.key,
            several=several,
            source=source,
        )
        where, problem = collected.destination, collected.report.problem
        if problem is not None or where is None:
            at = kept[max(0, len(collected.parts) - 1)]
            return await self._not_collected(job, found, collected.report, at)
        status = facts.with_results(
            several.found(collected.parts),
            collected.report,
            where,
            now=observation.now,
        )
        return Outcome(parts.collected(status)), CLEANING

    async def _not_collected(
        self, job: Seen, found: list[Part], report: CollectReport, at: PartView
    ) -> tuple[Outcome, Ending]:
        """Say of the batch at which it ended what is in the way."""
        part = next((item for item in found if item.seen.view == at), found[0])
        for other in found:
            other.ending = ENDED
        part.take(await self.actor.mover.not_collected(part.seen, report.problem))
        return told(job, found)


def _as_seen(status: BatchJobStatus, found: list[Part]) -> BatchJobStatus:
    """Put into a status what this pass has seen of each batch: counts and files are perhaps told only now."""
    for part in found:
        if part.seen.view is not None:
            status = part.seen.view.put(status, part.seen.observation.status)
    return status
