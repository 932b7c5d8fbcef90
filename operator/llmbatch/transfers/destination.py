"""The place for the results, looked at before the input is sent and again before the batch is ordered: both cost."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from llmbatch.api.batchjob import Output
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.seen import Json, Seen
from llmbatch.runtime.cache import Cache
from llmbatch.transfer.pure import destination
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfers.transfers import Transfers

JUST_NOW_SECONDS = 5.0


@dataclass
class Destinations:
    """Looks at destinations."""

    cache: Cache
    transfers: Transfers
    _fit: dict[str, tuple[Output, float]] = field(default_factory=dict)
    """By uid: the place where results could be stored, and when that was, by the monotonic clock."""

    async def problem_of_late(self, seen: Seen) -> Problem | None:
        """Say it once more, unless there was nothing just now."""
        known = self._fit.pop(seen.owner.uid, None)
        if (
            known is not None
            and known[0] == seen.observation.spec.output
            and time.monotonic() - known[1] < JUST_NOW_SECONDS
        ):
            return self._rival(seen)
        return await self.problem(seen)

    async def problem(self, seen: Seen) -> Problem | None:
        """Say what keeps results from being stored there, as far as it can be known by now."""
        spec = seen.observation.spec
        if (flaw := destination.flaw(spec)) is not None:
            message = f"spec.output: {flaw}; correct it, and the job goes on."
            return Problem(reason=Reason.OUTPUT_INVALID, message=message)
        if (problem := await self.transfers.output_problem(seen.owner, spec, once=seen.once)) is not None:
            return problem
        if (problem := self._rival(seen)) is None:
            self._note(seen.owner.uid, spec.output)
        return problem

    def _note(self, uid: str, output: Output) -> None:
        """Note that results could be stored there; what was noted of others a while ago is of no use any more."""
        now = time.monotonic()
        # The first ones are the oldest. A job that is deleted before anything was sent is never forgotten by name.
        while self._fit and now - next(iter(self._fit.values()))[1] >= JUST_NOW_SECONDS:
            del self._fit[next(iter(self._fit))]
        self._fit.pop(uid, None)
        self._fit[uid] = output, now

    def forget(self, uid: str) -> None:
        """Forget a job that is gone or has ended."""
        self._fit.pop(uid, None)
        self.transfers.here.owned.pop(uid, None)
        self.transfers.here.refused.discard(uid)

    def _rival(self, seen: Seen) -> Problem | None:
        rival = next((name for name in self._rivals(seen)), None)
        if rival is None:
            return None
        message = (
            f"BatchJob {seen.key.namespace}/{rival}, which is under way, writes its results to the same place as spec.output"
            " names: name another place there, or wait for its end and move its results away."
        )
        return Problem(reason=Reason.OUTPUT_EXISTS, message=message)

    def _rivals(self, seen: Seen) -> Iterator[str]:
        """Give the jobs that write to the same place and come first: those that are ahead, and else the older ones."""
        ours = seen.observation.spec.output
        for key, found in self.cache.of_places(seen.key, seen.raw):
            if found["metadata"].get("deletionTimestamp"):
                continue
            if _comes_first(found, seen.raw) and _is_same(ours, found):
                yield key.name


def _comes_first(other: Json, ours: Json) -> bool:
    status = other.get("status") or {}
    try:
        known = BatchJobStatus.parse(status)
    except ValidationError:
        return False
    if known.has_ended:
        return False
    ordered = any(batch.id or batch.submission for batch in known.batches)
    return ordered or _age(other) < _age(ours)


def _is_same(ours: Output, other: Json) -> bool:
    try:
        return destination.is_same(ours, Output.parse(other["spec"]["output"]))
    except ValidationError:
        return False


def _age(job: Json) -> tuple[str, str]:
    metadata = job["metadata"]
    return str(metadata.get("creationTimestamp") or ""), str(metadata.get("uid") or "")
