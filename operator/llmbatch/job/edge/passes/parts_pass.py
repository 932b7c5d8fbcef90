"""One pass over a job with several batches: each is looked at and decided on as the one of a job of its own.

At most one of them is acted on in a pass, but for what a deletion asks of all of them; what was found out of all is stored
in one write at the end.
"""

import asyncio
from dataclasses import dataclass, replace

from llmbatch.api.batchgateway import GatewayLimits
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import part_view
from llmbatch.batch.pure.decision import (
    Collect,
    Discard,
    Ending,
    FindDuplicates,
    Finish,
    RemoveFinalizer,
    Stalled,
    Upload,
    Wait,
)
from llmbatch.batch.pure.part_view import PartView
from llmbatch.batch.pure.stage import Stage
from llmbatch.job.edge.act import Actor
from llmbatch.job.edge.observe import Observer
from llmbatch.job.edge.passes.ending import ending_of_pass
from llmbatch.job.edge.passes.part import ENDED, Part, told
from llmbatch.job.edge.passes.parts_collect import PartsCollector
from llmbatch.job.edge.passes.parts_end import PartsEnd
from llmbatch.job.edge.passes.parts_turn import PartsTurn
from llmbatch.job.pure import parts, retries
from llmbatch.job.pure.decide import decide, decide_whole
from llmbatch.job.pure.trouble import ending_of
from llmbatch.kube.once import Once

LOOKS = 20
"""Batches of one job that are looked at at the same time."""


@dataclass
class PartsPass:
    """Passes over jobs with several batches."""

    observer: Observer
    actor: Actor

    def __post_init__(self) -> None:
        """Make what collects their results and ends them, and what chooses among their batches."""
        self.ends = PartsEnd(self.actor)
        self.collector = PartsCollector(self.actor)
        self.turn = PartsTurn(self.actor.transfers, self.collector, self.observer.admission.quota)

    async def run(self, job: Seen) -> tuple[Outcome, Ending, list[Seen]]:
        """Look at all batches and act; answers what to store, how the pass ends, and whose transfer Jobs to remove then."""
        found: list[Part] = []
        outcome, ending = await self._run(job, found)
        for part in found:
            if part.seen.spent and part.seen.plan is not None and job.observation.deleted_at is None:
                await self.actor.transfers.jobs.remove(job.owner, part.seen.plan)
        if outcome.finish is not None or outcome.gone:
            self.turn.forget(job.owner.uid)
        return outcome, ending, [part.seen for part in found if part.seen.lingers and not part.seen.spent]

    async def _run(self, job: Seen, found: list[Part]) -> tuple[Outcome, Ending]:
        whole = decide_whole(job.observation)
        if whole is not None:
            if whole.effect is None:
                return Outcome(job.observation.status), whole.ending
            outcome = await self.actor.act(job, whole.effect)
            return outcome, ending_of_pass(job, whole.ending, outcome, uses_pod=False)
        # Beside each other: one after the other, a hundred polls of a gateway that hangs would take hours.
        looking, once = asyncio.Semaphore(LOOKS), Once()

        async def look(view: PartView) -> Part:
            async with looking:
                seen = await self.observer.part(job, view, once)
            decision = decide(seen.observation)
            return Part(seen, decision, decision.ending)

        terms = retries.Terms.of(
            job.observation.spec,
            job.client.spec.limits if job.client is not None else GatewayLimits(),
            job.observation.limits.retry_seconds,
        )
        goes_on = not job.observation.restored and job.observation.deleted_at is None
        if goes_on and job.client is not None:
            grown = retries.with_followers(job.stored, terms, job.observation.now)
            if grown is not None:
                # Stored before anything of it is sent.
                return Outcome(grown), Wait(Reason.SUBMITTING, "Requests that failed are sent again.", after=0.0)
        at_once = await self.turn.at_once(job)
        uploads = at_once if job.observation.spec.input.persistent_volume_claim is not None else 1
        found += await asyncio.gather(*(look(view) for view in parts.to_look_at(job.stored, uploads)))
        if job.observation.deleted_at is not None:
            return await self._delete(job, found)
        owed = self._owed(job, terms) if goes_on else None
        if not found:
            return (Outcome(job.stored), owed) if owed is not None else await self.ends.run(job)
        if owed is None and self.collector.is_due(job, found):
            return await self.collector.collect(job, found)
        chosen = self.turn.choose(found, at_once)
        if chosen is not None:
            await self._act(chosen)
            self.turn.took(chosen)
        outcome, ending = told(job, found)
        parallelism = job.observation.spec.parallelism
        if isinstance(ending, Wait | Stalled) and parts.others_may_begin(
            job.stored, outcome.status, uploads, parallelism
        ):
            # Not only when the batch that was just made is polled.
            ending = replace(ending, after=0.0)
        return outcome, parts.sooner(ending, owed, alone=all(part.ending is ENDED for part in found))

    def _owed(self, job: Seen, terms: retries.Terms) -> Wait | Stalled | None:
        """Say what is waited for before requests are sent again: without a gateway, that it is there."""
        owed, missing = retries.wait(job.stored, terms, job.observation.now), job.observation.trouble
        return owed if owed is None or missing is None else ending_of(missing, job.observation)

    async def _act(self, part: Part) -> None:
        if part.effect is None:
            return
        outcome = await self._done(part)
        if _found_none(part, outcome):
            # Its end is stored together with the search.
            part.see(replace(part.seen, observation=replace(part.seen.observation, status=outcome.status)))
            outcome = await self._done(part)
        seen = part.seen
        if isinstance(part.effect, Upload):
            self.observer.admission.give_back(seen, outcome.problem)
        if isinstance(part.effect, Collect) and outcome.problem is not None:
            in_pod = seen.observation.spec.output.persistent_volume_claim is not None
            held = self.observer.tries.reading_failed(seen, outcome.problem, in_pod=in_pod)
            outcome = replace(outcome, problem=held)
        if outcome.problem is not None and outcome.problem.final and seen.observation.deleted_at is None:
            # Judged by the same rules as a final problem that was met while observing: it ends the batch.
            observation = replace(seen.observation, status=outcome.status, trouble=outcome.problem)
            part.see(replace(seen, observation=observation))
            outcome = await self._done(part)
        part.take(outcome)

    async def _done(self, part: Part) -> Outcome:
        seen, effect = part.seen, part.effect
        if effect is None:
            return Outcome(seen.observation.status)
        if isinstance(effect, Collect) and self.collector.is_to_be_judged(part):
            return await self.collector.judge(part)
        ends = isinstance(effect, Finish) and seen.observation.stage is not Stage.CLEANUP
        if isinstance(effect, Finish) and ends and seen.observation.batch.refusal is None:
            # Its requests are still to be named among the failed ones.
            return Outcome(part_view.with_refusal(seen.observation.status, effect.reason, effect.message), after=0.0)
        return await self.actor.act(seen, effect)

    async def _delete(self, job: Seen, found: list[Part]) -> tuple[Outcome, Ending]:
        """Cancel and delete what all batches have at the provider, at the same time; let the job go when all are done."""
        if job.observation.discarding.due and not job.observation.out_of_time:
            # First, since it goes on beside everything else.
            outcome = await self.actor.act(job, Discard())
            return outcome, Wait(Reason.DELETING, "The results are being deleted from their volume.", after=0.0)
        busy = [part for part in found if not isinstance(part.effect, RemoveFinalizer)]
        if not busy:
            return await self.ends.let_go(
                job, [part.effect for part in found if isinstance(part.effect, RemoveFinalizer)]
            )
        able = [part for part in busy if part.effect is not None]
        # What writes the job's status itself can't be done beside another.
        alone = [
            part
            for part in able
            if part.seen.observation.stage is Stage.ANSWER or isinstance(part.effect, FindDuplicates)
        ]
        await asyncio.gather(*(self._act(part) for part in able if part not in alone))
        if (chosen := self.turn.next(alone)) is not None:
            await self._act(chosen)
            self.turn.took(chosen)
        return told(job, found)


def _found_none(part: Part, outcome: Outcome) -> bool:
    """Tell whether a search at a batch's end has come to nothing but that there are no others."""
    seen = part.seen.observation
    if not isinstance(part.effect, FindDuplicates) or seen.stage is not Stage.CLEANUP or seen.deleted_at is not None:
        return False
    return outcome.is_plain
