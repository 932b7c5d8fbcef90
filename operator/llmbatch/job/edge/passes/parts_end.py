"""The end of a job with several batches, all of which have ended: results put together, its verdict, or its deletion."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import facts
from llmbatch.batch.pure.decision import Done, Ending, RemoveFinalizer, Wait, waits_for
from llmbatch.job.edge.act import Actor
from llmbatch.job.edge.passes.ending import ending_of_pass
from llmbatch.job.pure import parts
from llmbatch.job.pure.decide_deletion import kept_output
from llmbatch.job.pure.decide_results import CLEANING
from llmbatch.job.pure.trouble import ending_of, placed
from llmbatch.transfer.pure.mounts import OUTPUT_ROOT
from llmbatch.transfer.pure.plan import MergePlan, parts_location
from llmbatch.transfer.pure.report import MergeReport, Problem
from llmbatch.transfer.pure.state import Blocked, Ended, Working
from llmbatch.transfers.plans import volume_destination

TOGETHER = Wait(
    Reason.COLLECTING, "The results of all parts are being put together.", after=0.5, aspect="ResultsStored"
)
SWEEPING = Wait(Reason.CLEANING_UP, "The results are stored; those of the single parts are being removed.", after=0.5)


@dataclass
class PartsEnd:
    """Ends jobs with several batches."""

    actor: Actor

    async def run(self, job: Seen) -> tuple[Outcome, Ending]:
        """Put the results together if they are in a volume, clean up, and give the verdict."""
        volume = job.observation.spec.output.persistent_volume_claim
        if volume is None:
            return await self._finish(job)
        plan = parts.merge_plan(
            job.stored, job.observation.spec, job.stored.uid or job.owner.uid, volume.path, OUTPUT_ROOT
        )
        if job.stored.output is None:
            return await self._merge(job, plan)
        if plan.parts and not job.observation.cleanup_overdue:
            sweep = plan.model_copy(update={"sweep": True})
            report, outcome, ending = await self._transfer(job, sweep, SWEEPING)
            if report is None or report.problem is not None:
                # A folder that stays does no harm; it is tried as long as anything else at the end of a job.
                return outcome, ending
        return await self._finish(job)

    async def _merge(self, job: Seen, plan: MergePlan) -> tuple[Outcome, Ending]:
        volume = job.observation.spec.output.persistent_volume_claim
        report, outcome, ending = await self._transfer(job, plan, TOGETHER)
        if report is None or report.problem is not None or volume is None:
            return outcome, ending
        where = volume_destination(volume.claim_name, volume.path)
        status = facts.with_results(
            job.stored,
            parts.merged(job.stored, report),
            where,
            now=job.observation.now,
        )
        return Outcome(status.model_copy(update={"parts_location": None})), replace(CLEANING, after=0.0)

    async def _transfer(self, job: Seen, plan: MergePlan, at_work: Wait) -> tuple[MergeReport | None, Outcome, Ending]:
        """Start a transfer Job or look at it; answers its report once it has ended well."""
        jobs, observation = self.actor.transfers.jobs, job.observation
        outcome = Outcome(job.stored)
        match await jobs.state(job.owner, observation.spec, None, plan):
            case None:
                problem = await jobs.start(job.owner, observation.spec, None, plan)
                outcome = replace(outcome, problem=problem)
                return None, outcome, at_work if problem is None else ending_of(problem, observation, costly=True)
            case Working(told):
                return None, outcome, waits_for(told, "ResultsStored")
            case Blocked(problem):
                return None, outcome, ending_of(problem, observation)
            case Ended(MergeReport(problem=None) as report):
                return report, outcome, at_work
            case Ended(report, problem):
                found = (report.problem if report is not None else None) or problem
                # Begun anew, after a delay that grows.
                await jobs.remove(job.owner, plan)
                told = found or Problem(reason=Reason.TRANSFER_FAILED, message="The transfer Job left no answer.")
                told = placed(told, observation.spec, uploads=False)
                return None, outcome, ending_of(told, observation, costly=True)
        raise AssertionError("all states are named")

    async def _finish(self, job: Seen) -> tuple[Outcome, Ending]:
        outcome = await self.actor.act(job, parts.verdict(job.stored, job.observation.spec))
        return outcome, ending_of_pass(job, CLEANING, outcome, uses_pod=False)

    async def let_go(self, job: Seen, effects: Sequence[RemoveFinalizer]) -> tuple[Outcome, Ending]:
        """Take the finalizer off a deleted job, of whose batches nothing is left to do."""
        observation = job.observation
        if observation.discarding.at_work and not observation.out_of_time:
            told = observation.discarding.at_work
            return Outcome(job.stored), Wait(Reason.DELETING, told, after=min(1.0, observation.seconds_left))
        behind = dict.fromkeys(effect.left_behind for effect in effects if effect.left_behind)
        kept = kept_output(observation) or _kept_parts(job)
        effect = RemoveFinalizer(", ".join(behind), as_asked=any(item.as_asked for item in effects), kept_output=kept)
        outcome = await self.actor.act(job, effect)
        waits = Wait(Reason.DELETING, "Nothing is left at the provider.", after=0.0)
        return outcome, Done() if outcome.gone else ending_of_pass(job, waits, outcome, uses_pod=False)


def _kept_parts(job: Seen) -> str:
    """Say where results of single parts are that were never put together."""
    volume, stored = job.observation.spec.output.persistent_volume_claim, job.stored
    count = sum(batch.results is not None for batch in stored.batches)
    if stored.output is not None or not count:
        return ""
    here = parts_location(volume.claim_name, volume.path, stored.uid or job.owner.uid) if volume is not None else ""
    return f"{stored.parts_location or here or 'their volume'}: the results of {count} parts"
