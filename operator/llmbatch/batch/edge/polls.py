"""Polls of a job's batch: when the next may be, what the last one met, and what one tells."""

import random
import time
from collections import Counter
from dataclasses import dataclass, field

from llmbatch.api.reasons import Reason
from llmbatch.batch.edge import calls
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import facts
from llmbatch.common import backoff
from llmbatch.gateway.clients import Client, Gateways
from llmbatch.gateway.pace import Operation
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound
from llmbatch.provider.pure import shortage
from llmbatch.transfer.pure.report import Problem


@dataclass
class Polls:
    """Asks for the state of batches, of each no more often than its gateway's interval."""

    gateways: Gateways
    _next: dict[str, float] = field(default_factory=dict)
    """By batch (Observation.memory): when it may be polled again, by the monotonic clock."""
    _failed: dict[str, Problem] = field(default_factory=dict)
    """By batch: what the last poll met, if it failed."""
    _failures: Counter[str] = field(default_factory=Counter)
    """By batch: how many polls failed in a row."""

    def due_in(self, batch: str) -> float:
        """Give the seconds until a batch may be polled again."""
        return max(0.0, self._next.get(batch, 0.0) - time.monotonic())

    def polled(self, batch: str, interval_seconds: float) -> float:
        """Note a poll; answers the seconds until the next."""
        delay = backoff.poll_delay(interval_seconds, random.random())  # noqa: S311 - jitter, no secret
        self._next[batch] = time.monotonic() + delay
        return delay

    def forget(self, batch: str) -> None:
        """Forget a batch that is gone or has ended."""
        self._next.pop(batch, None)
        self._failed.pop(batch, None)
        self._failures.pop(batch, None)

    async def when_due(self, seen: Seen) -> Seen:
        """Ask for the batch if its time has come; else say what the last poll met."""
        wait = self.due_in(seen.observation.memory)
        return self.between(seen, wait) if wait > 0 else await self.poll(seen)

    def between(self, seen: Seen, wait: float) -> Seen:
        """Nothing is asked between two polls, and what the last one met still holds."""
        failed = self._failed.get(seen.observation.memory)
        if failed is not None:
            return seen.troubled(failed.model_copy(update={"retry_after_seconds": wait}))
        return seen.found(poll_in=wait)

    async def poll(self, seen: Seen) -> Seen:
        """Ask for the batch now."""
        client, batch_id = seen.client, seen.observation.batch.id
        if client is None or batch_id is None:
            return seen
        batch, interval = seen.observation.memory, client.spec.poll_interval_seconds
        answer = await calls.get_batch(seen, client, batch_id)
        if not isinstance(answer, Answered):
            problem = await self.problem(client, answer)
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
        wait = self.polled(batch, interval)
        status = facts.with_remote(seen.stored, answer.value, seen.observation.now)
        return seen.found(
            status=status,
            batch_errors=facts.told_errors(answer.value),
            batch_short_of=shortage.of_batch(answer.value.errors),
            poll_in=wait,
        )

    async def problem(self, client: Client, answer: Failure, operation: Operation = Operation.READ) -> Problem:
        """Translate a failed call, and have the gateway asked anew."""
        if isinstance(answer, NotFound):
            message = f"{answer.message}. Was it deleted, or does the gateway now lead to another resource?"
            return Problem(reason=Reason.REMOTE_BATCH_NOT_FOUND, message=message)
        seconds = client.pace.slow_down(operation, answer.retry_after)
        await self.gateways.suspect(client.key)
        return Problem(reason=answer.reason, message=answer.message, retry_after_seconds=seconds)
