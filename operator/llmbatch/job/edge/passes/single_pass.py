"""One pass over a job with a single batch, or none yet."""

from dataclasses import dataclass, replace

from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure.decision import Collect, Done, Ending, RemoveFinalizer, Upload, Wait
from llmbatch.job.edge.act import Actor
from llmbatch.job.edge.passes.ending import ending_of_pass
from llmbatch.job.edge.publish import Publisher
from llmbatch.job.pure.decide import decide


@dataclass
class SinglePass:
    """Passes over jobs with a single batch."""

    actor: Actor
    publisher: Publisher

    async def run(self, seen: Seen) -> Ending:
        """Decide on a job that was observed, act, and publish; answers how the pass ends."""
        decision = decide(seen.observation)
        ending = decision.ending
        outcome = Outcome(seen.observation.status)
        if decision.effect is not None:
            outcome = await self.actor.act(seen, decision.effect)
        if outcome.problem is not None and outcome.problem.final and seen.observation.deleted_at is None:
            # Judged by the same rules as a final problem that was met while observing: it ends the job.
            seen = replace(seen, observation=replace(seen.observation, status=outcome.status, trouble=outcome.problem))
            decision = decide(seen.observation)
            if decision.effect is not None:
                outcome = await self.actor.act(seen, decision.effect)
        if seen.spent and seen.plan is not None and seen.observation.deleted_at is None:
            await self.actor.transfers.jobs.remove(seen.owner, seen.plan)
        if outcome.moved:
            ending = decide(replace(seen.observation, status=outcome.status, unrecorded=False)).ending
        ending = ending_of_pass(seen, ending, outcome, uses_pod=isinstance(decision.effect, Upload | Collect))
        if outcome.stale:
            # With growing delays: what refuses a write (an admission policy, say) may do so for ever.
            return Wait(Reason.ACCEPTED, "", after=None)
        await self.publisher.publish(seen, outcome, ending)
        if seen.lingers and not seen.spent and seen.plan is not None:
            # Its report is stored now.
            await self.actor.transfers.jobs.remove(seen.owner, seen.plan)
        if (isinstance(decision.effect, RemoveFinalizer) and outcome.problem is None) or outcome.gone:
            return Done()
        if outcome.finish is not None:
            return Wait(Reason.CLEANING_UP, "", after=0.0)
        return ending
