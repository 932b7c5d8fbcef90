"""One pass over a job with a single batch, or none yet."""

import asyncio
import contextlib
from dataclasses import dataclass, replace

from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import late
from llmbatch.batch.pure.decision import (
    AddFinalizer,
    Collect,
    Decision,
    Done,
    Effect,
    Ending,
    FindDuplicates,
    Finish,
    RemoveFinalizer,
    Submit,
    Upload,
    Wait,
)
from llmbatch.batch.pure.stage import Stage, stage_of
from llmbatch.gateway.pace import Operation
from llmbatch.job.edge.act import Actor
from llmbatch.job.edge.passes.ending import STALE, ending_of_pass
from llmbatch.job.edge.passes.turns import Turns
from llmbatch.job.edge.publish import Publisher
from llmbatch.job.pure.decide import decide
from llmbatch.job.pure.parts import is_split
from llmbatch.kube.client import ClusterError
from llmbatch.runtime.objects import Objects

SAY_SECONDS = 3.0
"""A transfer in this process that takes longer is told of while it goes on."""


@dataclass
class SinglePass:
    """Passes over jobs with a single batch."""

    actor: Actor
    publisher: Publisher
    objects: Objects

    def __post_init__(self) -> None:
        """Make what knows when lists may be read."""
        self.turns = Turns(self.actor.finder.looks, self.actor.lost_uploads)

    async def run(self, seen: Seen) -> Ending:
        """Decide on a job that was observed, act, and publish; answers how the pass ends."""
        done = await self._steps(seen)
        if done is None:
            return Wait(Reason.ACCEPTED, "", after=0.0)
        seen, decision, outcome = done
        if outcome.problem is not None and outcome.problem.final and seen.observation.deleted_at is None:
            # Judged by the same rules as a final problem that was met while observing: it ends the job.
            seen = replace(seen, observation=replace(seen.observation, status=outcome.status, trouble=outcome.problem))
            decision = decide(seen.observation)
            if decision.effect is not None:
                outcome = await self.actor.act(seen, decision.effect)
        if seen.spent and seen.plan is not None and seen.observation.deleted_at is None:
            await self.actor.transfers.jobs.remove(seen.owner, seen.plan)
        ending = decision.ending
        if outcome.moved:
            ending = decide(replace(seen.observation, status=outcome.status, unrecorded=False)).ending
        ending = ending_of_pass(seen, ending, outcome, uses_pod=isinstance(decision.effect, Upload | Collect))
        if outcome.stale:
            return STALE
        await self.publisher.publish(seen, outcome, ending)
        if seen.lingers and not seen.spent and seen.plan is not None:
            # Its report is stored now.
            await self.actor.transfers.jobs.remove(seen.owner, seen.plan)
        let_go = isinstance(decision.effect, RemoveFinalizer) and outcome.problem is None and outcome.after is None
        if let_go or outcome.gone:
            return Done()
        if outcome.finish is not None:
            return Wait(Reason.CLEANING_UP, "", after=0.0)
        return ending

    async def _steps(self, seen: Seen) -> tuple[Seen, Decision, Outcome] | None:
        """Decide and act, step by step; answers how the last one was decided on, and what it came to; None: the object has changed."""
        decision = decide(seen.observation)
        if await self._has_changed(seen, decision):
            return None
        seen, outcome = await self._act(seen, decision)
        try:
            while (further := await self._goes_on(seen, decision, outcome)) is not None:
                seen, decision = further, decide(further.observation)
                # What was looked for in between may have taken its time.
                if isinstance(decision.effect, Finish) and await self._has_changed(seen, decision):
                    return None
                seen, outcome = await self._act(seen, decision)
        except asyncio.CancelledError:
            if stage_of(outcome.status) is Stage.FILE and stage_of(seen.stored) is Stage.INPUT:
                # Nobody will know of the file that was uploaded just now.
                self.actor.mover.uploads.ended(seen.owner.uid, seen.observation.memory, known=False)
            raise
        return seen, decision, outcome

    async def _has_changed(self, seen: Seen, decision: Decision) -> bool:
        """Tell whether something can't be done since the object is not what it was seen as."""
        effect = decision.effect
        if effect is None or not _is_final(seen, effect) or self.turns.put_off(seen, effect) is not None:
            return False
        return not await self.objects.is_as_seen(seen.key, seen.raw)

    async def _act(self, seen: Seen, decision: Decision) -> tuple[Seen, Outcome]:
        """Do what was decided; what takes its time is told of meanwhile. Answers the job as it is stored then."""
        if decision.effect is None:
            return seen, Outcome(seen.observation.status)
        if (waits := self.turns.put_off(seen, decision.effect)) is not None:
            return seen, waits
        acting = asyncio.create_task(self.actor.act(seen, decision.effect))
        try:
            if isinstance(decision.effect, Upload | Collect):
                await asyncio.wait({acting}, timeout=SAY_SECONDS)
                if not acting.done():
                    with contextlib.suppress(ClusterError):
                        told = Outcome(seen.observation.status)
                        seen = await self.publisher.publish(seen, told, decision.ending, goes_on=True)
            return seen, await acting
        except BaseException:
            acting.cancel()
            await asyncio.wait({acting})
            raise

    async def _goes_on(self, seen: Seen, decision: Decision, outcome: Outcome) -> Seen | None:
        """Give the job as it is after a step that need not be stored before the next one is taken; None: that is all."""
        if outcome.problem is not None or outcome.stale:
            return None
        match decision.effect:
            case AddFinalizer() if outcome.raw is not None:
                plan = seen.plan
                if plan is not None and plan.kind == "upload":
                    # Nobody has begun an upload before the finalizer was on.
                    plan = plan.model_copy(update={"look": self.actor.mover.uploads.may_be_there(seen.owner.uid)})
                observation = replace(seen.observation, finalizer=True)
                return replace(seen, raw=outcome.raw, plan=plan, observation=observation)
            case Upload() if stage_of(outcome.status) is Stage.FILE and not is_split(outcome.status):
                # The file is stored together with the intent to make the batch of it.
                with contextlib.suppress(ClusterError):
                    return await self.actor.observer.file(seen, outcome.status)
            case None if self._has_results(seen):
                # The end is stored together with what it has come to.
                further = replace(seen, observation=replace(seen.observation, unrecorded=False))
                collects = isinstance(decide(further.observation).effect, Collect)
                with contextlib.suppress(ClusterError):
                    # Where they are to go may be another place by now.
                    return further if collects and await self.objects.is_as_seen(seen.key, seen.raw) else None
            case FindDuplicates() if seen.observation.stage is Stage.CLEANUP:
                further = replace(seen, observation=replace(seen.observation, status=outcome.status))
                return further if outcome.is_plain else None
        return None

    def _has_results(self, seen: Seen) -> bool:
        """Tell whether a batch has ended just now, with results that need no pod and can be had at once."""
        found, client = seen.observation, seen.client
        if client is None or found.stage is not Stage.RESULTS or not found.unrecorded or found.deleted_at is not None:
            return False
        is_whole = found.batch.status == "completed" and found.batch.late_since is None and not late.owed(found.batch)
        waits = client.spec.limits.requests_per_minute or client.pace.held(Operation.RESULTS, found.now)
        return is_whole and not waits and found.spec.output.persistent_volume_claim is None


def _is_final(seen: Seen, effect: Effect) -> bool:
    """Tell whether an effect can't be taken back, so that the object has to be what it was seen as."""
    match effect:
        case AddFinalizer() | Submit():
            # They begin with a write that is refused if it is not.
            return False
        case RemoveFinalizer():
            return seen.observation.deleted_at is not None
    return True
