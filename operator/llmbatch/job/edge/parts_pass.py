"""One pass over a job with several batches: each is looked at and decided on as the one of a job of its own.

At most one of them is acted on in a pass, but for what a deletion asks of all of them; what was found out of all is stored
in one write at the end.
"""

import asyncio
from dataclasses import dataclass, field, replace

from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.outcome import Note, Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import facts, part_view
from llmbatch.batch.pure.decision import (
    BeginAnew,
    Collect,
    Discard,
    Ending,
    FindDuplicates,
    Finish,
    RemoveFinalizer,
    Upload,
    Wait,
)
from llmbatch.batch.pure.part_view import PartView
from llmbatch.batch.pure.stage import Stage
from llmbatch.job.edge.act import Actor
from llmbatch.job.edge.ending import ending_of_pass
from llmbatch.job.edge.observe import Observer
from llmbatch.job.edge.part import COLLECTS_WAIT, ENDED, HELD, OF_A_COPY, UPLOADS_WAIT, WAITING, Part
from llmbatch.job.edge.parts_end import PartsEnd
from llmbatch.job.pure import parts
from llmbatch.job.pure.decide import decide, decide_whole
from llmbatch.transfers.transfers import Collected, Look

LOOKS = 20
"""Batches of one job that are looked at at the same time."""
AT_WORK = (Stage.FILE, Stage.ANSWER, Stage.BATCH)
"""Stages of a batch that counts for spec.parallelism."""


@dataclass
class PartsPass:
    """Passes over jobs with several batches."""

    observer: Observer
    actor: Actor
    _last: dict[str, int] = field(default_factory=dict)
    """By uid: which batch was acted on last."""

    def __post_init__(self) -> None:
        """Make what ends such jobs."""
        self.ends = PartsEnd(self.actor)

    async def run(self, job: Seen) -> tuple[Outcome, Ending, list[Seen]]:
        """Look at all batches and act; answers what to store, how the pass ends, and whose transfer Jobs to remove then."""
        found: list[Part] = []
        outcome, ending = await self._run(job, found)
        for part in found:
            if part.seen.spent and part.seen.plan is not None and job.observation.deleted_at is None:
                await self.actor.transfers.jobs.remove(job.owner, part.seen.plan)
        if outcome.finish is not None or outcome.gone:
            self._last.pop(job.owner.uid, None)
        return outcome, ending, [part.seen for part in found if part.seen.lingers and not part.seen.spent]

    async def _run(self, job: Seen, found: list[Part]) -> tuple[Outcome, Ending]:
        whole = decide_whole(job.observation)
        if whole is not None:
            if whole.effect is None:
                return Outcome(job.observation.status), whole.ending
            outcome = await self.actor.act(job, whole.effect)
            return outcome, ending_of_pass(job, whole.ending, outcome, uses_pod=False)
        # Beside each other: one after the other, a hundred polls of a gateway that hangs would take hours.
        looking = asyncio.Semaphore(LOOKS)

        async def look(view: PartView) -> Part:
            async with looking:
                seen = await self.observer.part(job, view)
            decision = decide(seen.observation)
            return Part(seen, decision, decision.ending)

        found += await asyncio.gather(*(look(view) for view in parts.to_look_at(job.stored)))
        if job.observation.deleted_at is not None:
            return await self._delete(job, found)
        if not found:
            return await self.ends.run(job)
        inline = job.observation.spec.output.persistent_volume_claim is None
        if inline and all(isinstance(part.effect, Collect) for part in found):
            return await self._collect(job, found)
        chosen = self._chosen(found)
        if chosen is not None:
            self._last[job.owner.uid] = chosen.batch.part or 0
            await self._act(chosen)
        return self._told(job, found)

    # --- which of them is acted on -----------------------------------------------------------------------------------

    def _chosen(self, found: list[Part]) -> Part | None:
        """Choose the batch that is acted on, and have those that must wait say for what."""
        at_work = sum(part.seen.observation.stage in AT_WORK for part in found)
        limit = found[0].seen.observation.spec.parallelism
        inline = found[0].seen.observation.spec.output.persistent_volume_claim is None
        moving = any(part.seen.observation.transferring is not None for part in found)
        able: list[Part] = []
        for part in found:
            match part.effect:
                case None:
                    pass
                case BeginAnew():
                    part.ending = OF_A_COPY
                case Collect() if inline:
                    part.ending = ENDED
                case Collect() if moving:
                    part.ending = COLLECTS_WAIT
                case Upload() if limit and at_work >= limit:
                    part.ending = WAITING
                case Upload() if moving:
                    part.ending = UPLOADS_WAIT
                case _:
                    able.append(part)
        # In turn: what one meets again and again must not keep the others from going on.
        last = self._last.get(found[0].seen.owner.uid, -1)
        return min(able, key=lambda part: ((part.batch.part or 0) <= last, part.batch.part or 0), default=None)

    async def _act(self, part: Part) -> None:
        if part.effect is None:
            return
        seen = part.seen
        outcome = await self._done(part)
        if outcome.problem is not None and outcome.problem.final and seen.observation.deleted_at is None:
            # Judged by the same rules as a final problem that was met while observing: it ends the batch.
            observation = replace(seen.observation, status=outcome.status, trouble=outcome.problem)
            part.seen = replace(seen, observation=observation)
            part.decision = decide(observation)
            outcome = await self._done(part)
        part.take(outcome)

    async def _done(self, part: Part) -> Outcome:
        seen, effect = part.seen, part.effect
        if effect is None:
            return Outcome(seen.observation.status)
        if isinstance(effect, Finish) and seen.observation.stage is not Stage.CLEANUP:
            # Its requests are still to be named among the failed ones.
            return Outcome(part_view.with_refusal(seen.observation.status, effect.reason, effect.message), after=0.0)
        return await self.actor.act(seen, effect)

    # --- what is stored ----------------------------------------------------------------------------------------------

    def _told(self, job: Seen, found: list[Part]) -> tuple[Outcome, Ending]:
        """Put what was found out of each batch into the job's status."""
        outcome = Outcome(job.stored)
        # A part that has not begun says nothing of where the job is, while others are at work.
        idle = [part for part in found if part.ending in (WAITING, UPLOADS_WAIT)]
        told = [part for part in found if part not in idle] or found
        for part in told:
            done = part.outcome or Outcome(job.stored)
            if done.stale or done.gone:
                return replace(done, status=job.stored), part.ending
            notes: tuple[Note, ...] = tuple(
                (kind, reason, f"Part {part.batch.part}: {message}") for kind, reason, message in done.notes
            )
            outcome = replace(
                outcome,
                status=part.closed(outcome.status),
                notes=(*outcome.notes, *notes),
                version=done.version or outcome.version,
                duplicates=outcome.duplicates + done.duplicates,
            )
        ending = parts.ending([(part.batch, part.ending) for part in told])
        return outcome, replace(ending, after=0.0) if self._goes_on(found) else ending

    def _goes_on(self, found: list[Part]) -> bool:
        """Tell whether there is something to do at once: the next step of the batch that was acted on, or for another one."""
        done = [part.outcome for part in found if part.outcome is not None]
        if any(outcome.problem is None and not outcome.after for outcome in done):
            return True
        return any(part.effect is not None and part.outcome is None and part.ending not in HELD for part in found)

    # --- all of them -------------------------------------------------------------------------------------------------

    async def _collect(self, job: Seen, found: list[Part]) -> tuple[Outcome, Ending]:
        """Collect the results of all batches; those that came to nothing have their requests named among the failed ones."""
        client, observation = found[0].seen.client, job.observation
        if client is None:
            return self._told(job, found)
        live = {part.seen.view: part.seen.observation for part in found}
        batches = [
            (live[view].status, Look.of(live[view]))
            if view in live
            else (view.of(job.stored), Look(accept_missing=True))
            for view in parts.views(job.stored)
        ]
        collected = await self.actor.transfers.collect_here(
            job.owner, observation.spec, batches, client.access, client.key
        )
        where, problem = collected.destination, collected.report.problem
        if problem is not None or where is None:
            return await self._not_collected(job, found, collected)
        status = facts.with_results(
            job.stored,
            collected.report,
            where,
            now=observation.now,
        )
        message = "The results are stored; the remote files are next."
        return Outcome(parts.with_counts(status, collected.parts)), Wait(Reason.CLEANING_UP, message)

    async def _not_collected(self, job: Seen, found: list[Part], collected: Collected) -> tuple[Outcome, Ending]:
        """Say of the batch at which it ended what is in the way."""
        at = max(0, len(collected.parts) - 1)
        part = next((item for item in found if item.batch.part == at), found[0])
        for other in found:
            other.ending = ENDED
        part.take(await self.actor.not_collected(part.seen, collected.report.problem))
        return self._told(job, found)

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
        if alone:
            await self._act(alone[0])
        return self._told(job, found)
