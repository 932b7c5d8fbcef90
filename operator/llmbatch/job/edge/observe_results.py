"""The results' stage: which files the ended batch names, and how far the transfer Job is that collects them."""

from dataclasses import dataclass, replace

from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.polls import Polls
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.edge.tries import Tries
from llmbatch.batch.pure import late
from llmbatch.batch.pure.stage import Stage
from llmbatch.gateway.clients import Client
from llmbatch.job.edge.observe_transfer import TransferObserver, rests_of
from llmbatch.transfer.pure import connections
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfers.plans import Look, collect_plan


@dataclass
class ResultsObserver:
    """Observes batches that have ended."""

    polls: Polls
    tries: Tries
    transfers: TransferObserver

    async def observe(self, seen: Seen) -> Seen:
        """Look at what a batch has left behind, and at the transfer Job that collects it."""
        client, spec, batch = seen.client, seen.observation.spec, seen.observation.batch
        nothing = batch.refusal is not None
        if client is None or (nothing and batch.parts):
            return seen
        if seen.observation.deleted_at is not None:
            return await self._left(seen) if late.names_more(batch) else seen
        if not nothing and late.was_refused(batch) and (not late.answered(batch) or late.is_over(seen.observation)):
            # The reasons are not in our status; ask once more for the message.
            return await self._asked_again(seen)
        volume = spec.output.persistent_volume_claim
        if volume is not None:
            seen = self._planned(seen, client)
            found = await self.transfers.job(seen)
            if found.observation != seen.observation:
                return found
        if (held := self.tries.reading_held(seen)) is not None:
            return seen.troubled(held)
        found = seen if nothing else await self._late(seen)
        if found.observation != seen.observation:
            # What was just told is in the plan: one that is made by the next look would else be another.
            return found if volume is None else self._planned(found, client)
        if volume is None and (batch.late_since is None or seen.observation.accepts_missing):
            return found
        # No pod is started only to find what is known; nor is it a word about the results that their gateway is down.
        problem = self.polls.gateways.readiness(client.key)
        return seen if problem is None else seen.troubled(problem)

    async def _left(self, seen: Seen) -> Seen:
        """Ask the ended batch of a deleted job which files it has left, while it has not named them."""
        wait = self.polls.due_in(seen.observation.memory)
        found = seen.found(poll_in=wait) if wait > 0 else await self._asked_again(seen)
        # What can be deleted is, whatever keeps the batch from being asked.
        return found if found.observation.trouble is None else seen

    def _planned(self, seen: Seen, client: Client) -> Seen:
        observation = seen.observation
        connection = connections.pod_connection(client.spec, client.access.authorities)
        plan = collect_plan(
            observation.spec, observation.status, connection, Look.of(observation), rests=rests_of(seen)
        )
        return replace(seen, plan=plan)

    async def _late(self, seen: Seen) -> Seen:
        """Hold back the collection of results of which it is known that they aren't there, or were missed just now."""
        observation, batch = seen.observation, seen.observation.batch
        if (wait := late.due_in(observation)) > 0:
            return seen.troubled(late.before(observation, wait))
        asked = seen
        resting = self.polls.due_in(seen.observation.memory)
        if resting > 0 and (failed := self.polls.between(seen, resting)).observation.trouble is not None:
            # A gateway that could not answer is left in peace for as long as it asked for.
            asked = failed
        elif (batch.late_since is not None or late.is_misnamed(batch)) and self._asks(seen):
            asked = await self._asked_again(seen)
            if asked.observation.unrecorded:
                return asked
        owed = late.owed(asked.observation.batch)
        if owed and not late.is_over(observation):
            if asked.observation.trouble is not None:
                return asked
            status = late.noted(asked.observation.status, observation.now)
            return asked.found(status=status, trouble=Problem(reason=Reason.RESULTS_PENDING, message=owed))
        if asked.observation.trouble is not None and batch.output_file_id:
            # What is named can be fetched, whatever has become of the batch.
            return seen
        return asked

    def _asks(self, seen: Seen) -> bool:
        """Tell whether a look begins with the batch: nothing else helps, it is the last, or a poll is due anyway."""
        nothing_to_fetch = late.owed(seen.observation.batch) != ""
        return nothing_to_fetch or late.is_over(seen.observation) or self.polls.due_in(seen.observation.memory) <= 0

    async def _asked_again(self, seen: Seen) -> Seen:
        """Ask for the batch once more: it may name a file that it didn't."""
        found = await self.polls.poll(seen)
        before, after = seen.observation.batch, found.observation.batch
        if found.observation.stage is not Stage.RESULTS:
            # An ended batch doesn't run again: an older answer came from somewhere on the way.
            return seen
        if (before.output_file_id, before.error_file_id) == (after.output_file_id, after.error_file_id):
            return found
        status = late.with_news(found.observation.status)
        return replace(found, observation=replace(found.observation, status=status, unrecorded=True))
