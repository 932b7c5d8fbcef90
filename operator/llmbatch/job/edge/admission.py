"""Whether a batch may begin, by the tokens of its gateway's quota."""

import math
from dataclasses import dataclass

from llmbatch.api.batchjob_status import Queue
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure.stage import AT_WORK, Queued, stage_of_batch
from llmbatch.gateway.line import Place
from llmbatch.gateway.quota import Quota
from llmbatch.job.pure.trouble import POD
from llmbatch.runtime.cache import uid_of
from llmbatch.runtime.queue import Key
from llmbatch.transfer.pure.report import Problem

SOONEST_SECONDS = 1.0


@dataclass
class Admission:
    """Has batches wait in line before their input is uploaded, and behind one that the provider has refused."""

    quota: Quota

    def uploads(self, seen: Seen, gateway: Key) -> Seen:
        """Say whether the upload of a batch may begin; one whose upload has begun is not asked any more."""
        observation, view, client = seen.observation, seen.view, seen.client
        if not self._is_there(seen):
            return seen
        if view is None or client is None or observation.deleted_at is not None or not self.quota.limits(gateway):
            return seen
        if observation.transferring is not None:
            if not self.quota.ledger.has_claimed(seen.key, view.index):
                # It goes on in its pod, though an earlier leader has begun it, or its tokens were given back in a moment's trouble.
                self.quota.ledger.claim(seen.key, view.index, seen.tokens)
            return seen
        if (
            observation.trouble is not None
            or observation.batch.input_file_id is not None
            or observation.status.stopped is not None
            or self._is_held_back(seen, view.index)
        ):
            return seen
        tokens, most = seen.tokens, client.spec.limits.max_enqueued_tokens
        if tokens > most:
            return seen.troubled(_impossible(tokens, most))
        place = self.quota.claim(seen.key, view.index, tokens, gateway)
        if place is None:
            return seen
        rises = self.quota.rises_in(seen.key, tokens, gateway)
        behind = self.quota.orders.is_behind(gateway, tokens)
        return seen.found(queued=_queued(seen, place, behind=behind, rises=rises))

    def give_back(self, seen: Seen, problem: Problem | None) -> None:
        """Give the tokens back of a batch whose input isn't uploaded, for whatever reason: it keeps nobody waiting for that."""
        ends = seen.observation.status.stopped is not None and seen.observation.transferring is None
        if seen.view is not None and (ends or (problem is not None and problem.reason not in POD)):
            self.quota.release(seen.key, seen.view.index)

    def behind(self, seen: Seen, gateway: Key) -> Queued | None:
        """Say whether a batch whose file is uploaded waits for what becomes of one that was refused."""
        if not self._is_there(seen):
            return None
        own = seen.tokens
        ahead = self.quota.orders.behind(seen.key, seen.index, own, gateway)
        if ahead is None:
            return None
        rises = self.quota.orders.rises_in(gateway, own) if not ahead else None
        place = self.quota.places.behind(seen.key, seen.index, own, gateway)
        return _queued(seen, place, behind=ahead > 0 and self.quota.orders.is_behind(gateway, own), rises=rises)

    def may_try(self, seen: Seen, held: Problem, gateway: Key) -> bool:
        """Tell whether a create call that was refused for want of quota may be made again before its time."""
        return held.reason is Reason.QUOTA_EXCEEDED and self.quota.orders.may_try(seen.key, seen.index, gateway)

    def stays(self, seen: Seen) -> None:
        """Give the tokens back of a batch that was about to be ordered and isn't, for whatever reason."""
        self.quota.ledger.stay(seen.key, seen.index)

    def _is_there(self, seen: Seen) -> bool:
        """Tell whether the job has not gone meanwhile: one that was made anew under its name has asked for nothing yet."""
        return uid_of(self.quota.cache.get(seen.key)) == seen.owner.uid

    def _is_held_back(self, seen: Seen, place: int) -> bool:
        """Tell whether the job itself lets no further batch begin (spec.parallelism)."""
        most, ledger = seen.observation.spec.parallelism, self.quota.ledger
        # Of uploads that go on in a pod status tells nothing but at their end.
        others = (
            other != place and (stage_of_batch(batch) in AT_WORK or ledger.has_claimed(seen.key, other))
            for other, batch in enumerate(seen.whole.batches)
        )
        return bool(most) and sum(others) >= most


def queue_of(seen: Seen, queued: Queued) -> Queue:
    """Give what the job's status says of a batch in line."""
    known = (seen.whole if seen.view is not None else seen.stored).queue
    return Queue(
        position=queued.position,
        ahead_tokens=queued.ahead_tokens,
        reason=queued.reason,
        since=known.since if known is not None else seen.observation.now,
    )


def _queued(seen: Seen, place: Place, *, behind: bool, rises: float | None = None) -> Queued:
    known = (seen.whole if seen.view is not None else seen.stored).queue
    if known is not None and known.position // 2 < place.position <= known.position:
        # Each step of each would be a write.
        place = Place(known.position, known.ahead_tokens)
    return Queued(
        place.position,
        place.ahead_tokens,
        seen.tokens,
        seen.observation.spec.gateway_ref.name,
        behind=behind,
        after=math.inf if rises is None else max(SOONEST_SECONDS, rises),
    )


def _impossible(tokens: int, most: int) -> Problem:
    message = (
        f"The batch is estimated at {tokens} tokens, and the gateway's maxEnqueuedTokens is {most}, so that it could never be"
        " enqueued; its cut can't change any more. Raise limits.maxEnqueuedTokens of the BatchGateway, if the deployment's"
        " quota is larger; else delete the BatchJob and apply it again, and it is cut smaller."
    )
    return Problem(reason=Reason.QUOTA_IMPOSSIBLE, message=message)
