"""What failed and is tried again with growing delays of its own, however often the job is looked at meanwhile."""

import random
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from zlib import crc32

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import facts, late, tries
from llmbatch.common import backoff
from llmbatch.gateway.quota import Quota
from llmbatch.job.pure.trouble import ending_for
from llmbatch.runtime.cache import BATCHGATEWAY
from llmbatch.runtime.queue import Key
from llmbatch.transfer.pure.report import Problem, Report, UploadReport

FIRST_BEHIND_QUOTA, LONGEST_BEHIND_QUOTA = 4, 120
"""Times recheck_seconds: where a gateway admits by tokens, one batch alone tries again after a minute, and after half an hour
at most; the others wait behind it."""
UNDER_WAY = frozenset({Reason.ACCEPTED, Reason.UPLOADING, Reason.TRANSFER_PENDING})
"""Reasons of a condition that don't tell what a try has met."""


@dataclass(frozen=True)
class Held:
    """Something that is not tried before its time."""

    mark: Hashable
    """What it was tried with: with anything else it is tried at once."""
    problem: Problem
    until: float
    """By the monotonic clock."""


@dataclass
class Tries:
    """Remembers, in this process; of uploads, the status tells the next one enough to go on."""

    recheck_seconds: float
    settle_seconds: float
    quota: Quota
    _failures: dict[tuple[str, str], int] = field(default_factory=dict)
    """By batch (Observation.memory), and what it is that failed: how often in a row."""
    _held: dict[tuple[str, str], Held] = field(default_factory=dict)

    def hold(self, batch: str, what: str, mark: Hashable, problem: Problem, seconds: float) -> Problem:
        """Note what failed and for how long it is let be; answers the problem with that time."""
        self._held[batch, what] = Held(mark, problem, time.monotonic() + seconds)
        return problem.model_copy(update={"retry_after_seconds": seconds})

    def held(self, batch: str, what: str, mark: Hashable) -> Problem | None:
        """Give what failed before, while it is too early to try again."""
        found = self._held.get((batch, what))
        left = 0.0 if found is None or found.mark != mark else found.until - time.monotonic()
        if found is None or left <= 0:
            return None
        return found.problem.model_copy(update={"retry_after_seconds": left})

    def knows(self, batch: str, what: str) -> bool:
        """Tell whether this process has seen it fail."""
        return (batch, what) in self._held

    def forget(self, batch: str, *what: str) -> None:
        """Forget what a batch has failed at."""
        for known in (self._held, self._failures):
            for key in [key for key in known if key[0] == batch and (not what or key[1] in what)]:
                del known[key]

    def _failed(self, batch: str, what: str, first: float, longest: float) -> float:
        """Count a failure; answers for how many seconds it is let be."""
        failures = self._failures[batch, what] = self._failures.get((batch, what), 0) + 1
        return backoff.next_delay(failures, random.random(), first=first, longest=longest)  # noqa: S311 - jitter, no secret

    # --- what takes downloads, or a pod ------------------------------------------------------------------------------

    def reading_failed(self, seen: Seen, problem: Problem, *, in_pod: bool) -> Problem:
        """Hold back the next try to read what one of several batches has left at the provider, as one of a job of its own.

        Its job is looked at for the others as well, at their pace. Results that are late have times of their own, in status.
        """
        observation = seen.observation
        if seen.view is None or problem.final or late.concerns(problem, observation.stage):
            return problem
        # Of several that fail, each is tried the more rarely.
        grown = self._failed(seen.owner.uid, "read", backoff.FIRST_SECONDS, backoff.LONGEST_SECONDS)
        asked = ending_for(problem, observation.stage, observation.limits, costly=in_pod).after
        return self.hold(observation.memory, "read", self._reading(seen), problem, grown if asked is None else asked)

    def was_read(self, seen: Seen) -> None:
        """Note that it was read."""
        for known in (seen.observation.memory, seen.owner.uid):
            self.forget(known, "read")

    def reading_held(self, seen: Seen) -> Problem | None:
        """Give why that failed, while it is too early for the next try."""
        return self.held(seen.observation.memory, "read", self._reading(seen))

    def _reading(self, seen: Seen) -> Hashable:
        """Tell a try that may go better: of another spec or with other credentials, or since the gateway is ready again."""
        gateway = Key(BATCHGATEWAY, seen.key.namespace, seen.observation.spec.gateway_ref.name)
        status = (self.quota.cache.get(gateway) or {}).get("status") or {}
        ready = [item.get("status") for item in status.get("conditions") or [] if item.get("type") == "Ready"]
        return _mark(seen), seen.observation.accepts_missing, *ready

    # --- create calls ------------------------------------------------------------------------------------------------

    def create_failed(self, seen: Seen, problem: Problem) -> Problem:
        """Hold the next create call back for a while that grows, if the reason is one that passes."""
        batch = seen.observation.memory
        longest = {
            Reason.FILE_PENDING: self.settle_seconds,
            Reason.RATE_LIMITED: 20 * self.recheck_seconds,
            Reason.REQUEST_REFUSED: 20 * self.recheck_seconds,
            Reason.QUOTA_EXCEEDED: 20 * self.recheck_seconds,
            Reason.BILLING_LIMIT: 240 * self.recheck_seconds,
        }.get(problem.reason)
        if longest is None or problem.final:
            return problem
        first = tries.FIRST * self.recheck_seconds
        if problem.reason is Reason.QUOTA_EXCEEDED and self._is_learnt(seen):
            first, longest = FIRST_BEHIND_QUOTA * self.recheck_seconds, LONGEST_BEHIND_QUOTA * self.recheck_seconds
        seconds = self._failed(batch, "create", first, longest)
        return self.hold(batch, "create", _mark(seen), problem, max(seconds, problem.retry_after_seconds or 0.0))

    def _is_learnt(self, seen: Seen) -> bool:
        """Have the gateway learn from a refusal, if it admits by tokens."""
        gateway = Key(BATCHGATEWAY, seen.key.namespace, seen.observation.spec.gateway_ref.name)
        return self.quota.refused(seen.key, seen.index, seen.tokens, gateway)

    def create_held(self, seen: Seen) -> Problem | None:
        """Give why the last create call failed, while it is too early for the next."""
        return self.held(seen.observation.memory, "create", _mark(seen))

    # --- uploads -----------------------------------------------------------------------------------------------------

    def upload_failed(self, seen: Seen, report: Report | None, problem: Problem) -> tuple[BatchJobStatus, Problem]:
        """Count a failed upload; answers status and problem, which says when the next is due."""
        observation = seen.observation
        sent = isinstance(report, UploadReport) and report.unanswered
        listed = isinstance(report, UploadReport) and report.listed
        # A pod that left no report may have sent all of it; the next one looks.
        unanswered = sent or (problem.reason is Reason.TRANSFER_FAILED and report is None)
        counted = tries.failed(seen.stored, observation.generation, observation.now, unanswered=unanswered)
        seconds = tries.delay(counted, self.recheck_seconds, random.random(), listed=listed or not sent)  # noqa: S311 - jitter, no secret
        seconds = max(seconds, problem.retry_after_seconds or 0.0)
        told = tries.told(problem, counted, unanswered=sent, listed=listed)
        told = self.hold(observation.memory, "upload", _mark(seen), told, seconds)
        entry = facts.batch_of(seen.stored).model_copy(update={"upload_tries": counted})
        return facts.with_batch(seen.stored, entry), told

    def upload_held(self, seen: Seen) -> Problem | None:
        """Give why the last upload failed, while it is too early for the next."""
        observation, known = seen.observation, facts.batch_of(seen.stored).upload_tries
        batch = observation.memory
        if known is None or known.generation != observation.generation or self.knows(batch, "upload"):
            return self.held(batch, "upload", _mark(seen))
        # Another process has tried, and its condition tells what it met.
        condition = observation.status.condition("InputReady")
        if condition is None or condition.reason in UNDER_WAY or condition.reason not in Reason.__members__.values():
            return None
        listed = condition.reason != Reason.UPLOAD_UNANSWERED or known.unanswered >= tries.MOST_LISTED
        due = known.last_time + timedelta(seconds=tries.delay(known, self.recheck_seconds, 0.0, listed=listed))
        problem = Problem(reason=Reason(condition.reason), message=condition.message)
        self.hold(batch, "upload", _mark(seen), problem, (due - observation.now).total_seconds())
        return self.held(batch, "upload", _mark(seen))


def _mark(seen: Seen) -> Hashable:
    """Tell a try that may go better from one that is the same again."""
    fingerprint = seen.client.access.fingerprint if seen.client is not None else ""
    # What is sent again doesn't change, and takes downloads to find out.
    fixed = seen.data is None or bool(seen.observation.batch.parts)
    # What a request is measured by may have been raised.
    most = seen.client.spec.limits.max_enqueued_tokens if seen.client is not None else 0
    return seen.observation.generation, fingerprint, most, None if fixed else crc32(seen.data or b"")
