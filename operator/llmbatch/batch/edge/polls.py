"""Polls of a job's batch: when the next may be, what the last one met, and what one tells."""

import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.directory.rounds import Rounds
from llmbatch.batch.edge import calls
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import facts
from llmbatch.batch.pure.stage import Stage, stage_of
from llmbatch.common import backoff
from llmbatch.gateway.clients import Client, Gateways
from llmbatch.gateway.pace import Operation
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound
from llmbatch.provider.pure import shortage
from llmbatch.provider.pure.wire import RemoteBatch
from llmbatch.runtime.cache import BATCHGATEWAY
from llmbatch.runtime.queue import Key
from llmbatch.transfer.pure.report import Problem


@dataclass
class Polls:
    """Asks for the state of batches, of each no more often than its gateway's interval."""

    gateways: Gateways
    rounds: Rounds
    _next: dict[str, float] = field(default_factory=dict)
    """By batch (Observation.memory): when it may be polled again, by the monotonic clock."""
    _failed: dict[str, Problem] = field(default_factory=dict)
    """By batch: what the last poll met, if it failed."""
    _failures: Counter[str] = field(default_factory=Counter)
    """By batch: how many polls failed in a row."""
    unlisted: dict[str, Problem] = field(default_factory=dict)
    """By batch: what the last look at the gateway's list met."""

    def due_in(self, batch: str) -> float:
        """Give the seconds until a batch may be polled again, or there is news of it."""
        followed = self.rounds.of(batch)
        if followed is not None and (followed.due or followed.news is not None):
            return 0.0
        return max(0.0, self._next.get(batch, 0.0) - time.monotonic())

    def polled(self, batch: str, interval_seconds: float) -> float:
        """Note a poll; answers the seconds until the next."""
        delay = backoff.poll_delay(interval_seconds, random.random())  # noqa: S311 - jitter, no secret
        self._next[batch] = time.monotonic() + delay
        return delay

    def begun(self, seen: Seen, status: BatchJobStatus) -> float:
        """Note a batch that has just come to be known; answers the seconds until it is to be looked at."""
        stage, batch = stage_of(status), seen.observation.memory
        if seen.client is not None and stage is not Stage.ANSWER:
            wait = self.polled(batch, seen.client.spec.poll_interval_seconds)
            if stage is Stage.BATCH:
                found = replace(seen, observation=replace(seen.observation, status=status))
                return self._look_in(found, self._follow(found) or wait)
        return 0.0

    def forget(self, batch: str) -> None:
        """Forget a batch that is gone or has ended."""
        self.rounds.leave(batch)
        self.rounds.readings.forget(batch)
        self.unlisted.pop(batch, None)
        self._next.pop(batch, None)
        self._failed.pop(batch, None)
        self._failures.pop(batch, None)

    def leave(self, batch: str) -> None:
        """Poll a batch by its own clock from now on: it is to be cancelled, say."""
        followed = self.rounds.leave(batch)
        if followed is not None and followed.rests:
            self._next.pop(batch, None)

    async def when_due(self, seen: Seen) -> Seen:
        """Ask for the batch if its time has come, unless a list has told of it; else say what the last poll met."""
        batch = seen.observation.memory
        if self.rounds.of(batch) is None and batch not in self._next:
            # This process has just begun: it looks at the list first, once for all.
            self._follow(seen)
        if (wait := self.due_in(batch)) > 0:
            return self.between(seen, wait)
        followed = self.rounds.of(batch)
        if followed is None or followed.due or followed.news is None:
            return await self.poll(seen)
        news, followed.news = followed.news, None
        told = calls.ours(seen, Answered(news))
        return self._told(seen, told.value) if isinstance(told, Answered) else await self.poll(seen)

    def searches(self, seen: Seen, gateway: Key) -> bool:
        """Tell whether it is time to look for others of a batch that is not polled by its own clock."""
        followed = self.rounds.of(seen.observation.memory)
        if followed is None or not followed.rests or not self.gateways.lists_batches(gateway):
            return False
        observation = replace(seen.observation, may_list=True)
        return observation.unchecked and observation.settled

    def between(self, seen: Seen, wait: float) -> Seen:
        """Nothing is asked between two polls, and what the last one met still holds."""
        failed = self._failed.get(seen.observation.memory)
        if failed is not None:
            return seen.troubled(failed.model_copy(update={"retry_after_seconds": wait}))
        return seen.found(poll_in=self._look_in(seen, self._follow(seen) or wait))

    def _told(self, seen: Seen, remote: RemoteBatch, *, asked: bool = False) -> Seen:
        """Take in what the provider says of a batch."""
        found = seen.found(
            status=facts.with_remote(seen.stored, remote, seen.observation.now),
            batch_errors=facts.told_errors(remote),
            batch_short_of=shortage.of_batch(remote.errors),
        )
        interval = seen.the_client.spec.poll_interval_seconds
        wait = self._follow(found, asked=asked) or self.polled(seen.observation.memory, interval)
        return found.found(poll_in=self._look_in(found, wait))

    def _follow(self, seen: Seen, *, asked: bool = False) -> float | None:
        """Have a batch looked at in rounds; answers when it is to be looked at without news, if it needs no polls of its own."""
        observation = seen.observation
        batch, gateway = observation.memory, observation.spec.gateway_ref.name
        if observation.stage is not Stage.BATCH or observation.deleted_at is not None or observation.status.stopped:
            self.leave(batch)
            return None
        gateway_key = Key(BATCHGATEWAY, seen.key.namespace, gateway)
        rested = (followed := self.rounds.of(batch)) is not None and followed.rests
        if not self.rounds.follow(batch, gateway_key, seen.key, observation.batch, asked=asked):
            return None
        if asked or not rested:
            interval = seen.client.spec.poll_interval_seconds if seen.client is not None else 0
            self._next[batch] = time.monotonic() + self.rounds.rest(gateway_key, interval)
        return self._next[batch] - time.monotonic()

    def _look_in(self, seen: Seen, wait: float) -> float:
        """Give when to look at a batch: sooner than there is to be a poll, if others are still to be looked for."""
        observation = seen.observation
        if not observation.searches or (found := self.rounds.of(observation.memory)) is None or not found.rests:
            return wait
        limits = observation.limits
        return min(wait, max(limits.recheck_seconds, limits.settle_seconds - observation.over_seconds + 0.1))

    async def poll(self, seen: Seen) -> Seen:
        """Ask for the batch now."""
        client, batch_id = seen.client, seen.observation.batch.id
        if client is None or batch_id is None:
            return seen
        batch, interval = seen.observation.memory, client.spec.poll_interval_seconds
        answer = await calls.get_batch(seen, client, batch_id)
        if not isinstance(answer, Answered):
            problem = await self.problem(client, answer)
            self.rounds.leave(batch)
            self._failed[batch] = problem
            self._failures[batch] += 1
            # What goes on failing is asked less often, but no less than what works or anything else that waits.
            least, most = sorted((interval, seen.observation.limits.recheck_seconds))
            grown = backoff.next_delay(self._failures[batch], 0.0, first=least, longest=most)
            asked = problem.retry_after_seconds
            wait = self.polled(batch, grown if asked is None else max(least, asked))
            return seen.troubled(problem.model_copy(update={"retry_after_seconds": wait}))
        self._failed.pop(batch, None)
        self._failures.pop(batch, None)
        return self._told(seen, answer.value, asked=True)

    async def problem(self, client: Client, answer: Failure, operation: Operation = Operation.READ) -> Problem:
        """Translate a failed call, and have the gateway asked anew."""
        if isinstance(answer, NotFound):
            message = f"{answer.message}. Was it deleted, or does the gateway now lead to another resource?"
            return Problem(reason=Reason.REMOTE_BATCH_NOT_FOUND, message=message)
        seconds = client.pace.slow_down(operation, answer.retry_after)
        await self.gateways.suspect(client.key)
        return Problem(reason=answer.reason, message=answer.message, retry_after_seconds=seconds)
