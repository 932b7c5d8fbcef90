"""Results in a volume that go with their BatchJob: a transfer Job deletes them, since the operator mounts no volume."""

import time
from dataclasses import dataclass, field, replace

from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure.observation import Discarding, Observation
from llmbatch.kube.client import ClusterError
from llmbatch.transfer.pure.mounts import OUTPUT_ROOT
from llmbatch.transfer.pure.plan import DiscardPlan
from llmbatch.transfer.pure.report import DiscardReport, Problem
from llmbatch.transfer.pure.state import Blocked, Ended, Working
from llmbatch.transfers.transfers import Transfers

AGAIN_SECONDS = 5.0
LONGEST_SECONDS = 60.0


@dataclass
class Discards:
    """Looks at such transfer Jobs, and starts them."""

    transfers: Transfers
    _failures: dict[str, int] = field(default_factory=dict)
    """By uid: Jobs that were refused or ended without an answer, in a row."""
    _again: dict[str, tuple[float, str]] = field(default_factory=dict)
    """By uid: when to start another one, by the monotonic clock, and what befell the last."""
    _hopeless: dict[str, str] = field(default_factory=dict)
    """By uid: why none can ever be started."""

    async def look(self, seen: Seen) -> Seen:
        """Say how far the deletion of the results is."""
        plan, uid = plan_of(seen.observation), seen.owner.uid
        if plan is None:
            return seen
        if (why := self._hopeless.get(uid)) is not None:
            return _with(seen, Discarding(kept=_told(seen.observation, why)))
        match await self.transfers.jobs.state(seen.owner, seen.observation.spec, None, plan):
            case Working(told) | Blocked(told):
                return _with(seen, Discarding(at_work=told.message))
            case Ended(DiscardReport(kept=kept, problem=None)):
                return _with(seen, Discarding(kept=_told(seen.observation, "; ".join(kept)) if kept else ""))
            case Ended(DiscardReport(problem=Problem(message=message))):
                return _with(seen, Discarding(kept=_told(seen.observation, message)))
            case Ended(_, problem):
                # It left no answer (evicted, out of memory): another one is started.
                await self.transfers.jobs.remove(seen.owner, plan)
                self._failed(uid, problem.message if problem is not None else "The transfer Job left no answer.")
        due, told_before = self._again.get(uid, (0.0, ""))
        if time.monotonic() < due:
            return _with(seen, Discarding(at_work=told_before))
        return await self._due(seen)

    async def _due(self, seen: Seen) -> Seen:
        volume = seen.observation.spec.output.persistent_volume_claim
        if volume is not None and not await self.transfers.claims.exists(seen.key.namespace, volume.claim_name):
            # The results went with their volume.
            return seen
        return _with(seen, Discarding(due=True))

    async def start(self, seen: Seen) -> Outcome:
        """Start the transfer Job."""
        plan, observation = plan_of(seen.observation), seen.observation
        if plan is None:
            return Outcome(observation.status, after=0.0)
        try:
            await self.transfers.jobs.create(seen.owner, observation.spec, None, plan)
        except ClusterError as error:
            if error.namespace_ends:
                self._hopeless[seen.owner.uid] = "the namespace is being deleted, and no pod can be made in it any more"
            elif error.refuses:
                self._failed(seen.owner.uid, f"The transfer Job can't be made: {error}")
            else:
                raise
        # Whatever became of it, the provider's side is next.
        return Outcome(observation.status, after=0.0)

    async def end(self, seen: Seen) -> None:
        """Remove the transfer Job of an object that is let go: nothing owns it."""
        plan = plan_of(seen.observation)
        if plan is not None:
            await self.transfers.jobs.remove(seen.owner, plan)
        self.forget(seen.owner.uid)

    def forget(self, uid: str) -> None:
        """Forget a job that is gone."""
        for held in (self._failures, self._again, self._hopeless):
            held.pop(uid, None)

    def _failed(self, uid: str, message: str) -> None:
        failures = self._failures[uid] = self._failures.get(uid, 0) + 1
        delay = min(LONGEST_SECONDS, AGAIN_SECONDS * 2 ** (failures - 1))
        self._again[uid] = (time.monotonic() + delay, message)


def plan_of(seen: Observation) -> DiscardPlan | None:
    """Plan the deletion of stored results; None when there is none to do."""
    volume, stored = seen.spec.output.persistent_volume_claim, seen.status.output
    if not seen.discards_files or volume is None or stored is None:
        return None
    return DiscardPlan(
        root=OUTPUT_ROOT,
        path=volume.path,
        bytes=stored.bytes,
        sha256=stored.sha256,
        has_errors=stored.errors_location is not None,
        errors_bytes=stored.errors_bytes,
        errors_sha256=stored.errors_sha256,
        foreign_bytes=stored.foreign_bytes,
        foreign_sha256=stored.foreign_sha256,
    )


def _told(seen: Observation, why: str) -> str:
    return f"{seen.status.output.location}: {why}" if seen.status.output is not None else why


def _with(seen: Seen, discarding: Discarding) -> Seen:
    return replace(seen, observation=replace(seen.observation, discarding=discarding))
