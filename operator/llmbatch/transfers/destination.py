"""The place for the results, looked at before the input is sent and again before the batch is ordered: both cost."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from llmbatch.api.batchjob import Output
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.seen import Json, Seen
from llmbatch.runtime.cache import Cache
from llmbatch.transfer.pure import destination
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfers.transfers import Transfers


@dataclass
class Destinations:
    """Looks at destinations."""

    cache: Cache
    transfers: Transfers

    async def problem(self, seen: Seen) -> Problem | None:
        """Say what keeps results from being stored there, as far as it can be known by now."""
        spec = seen.observation.spec
        if (flaw := destination.flaw(spec)) is not None:
            message = f"spec.output: {flaw}; correct it, and the job goes on."
            return Problem(reason=Reason.OUTPUT_INVALID, message=message)
        if (problem := await self.transfers.output_problem(seen.owner, spec, once=seen.once)) is not None:
            return problem
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
    if known.holds("Complete") or known.holds("Failed"):
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
