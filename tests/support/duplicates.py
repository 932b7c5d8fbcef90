"""Further batches of one create call, in a world without a cluster: what looking for them does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure import facts
from llmbatch.batch.pure.observation import Observation
from llmbatch.batch.pure.stage import Stage
from llmbatch.batch.pure.submission import by_use
from llmbatch.transfer.pure.report import Problem
from tests.support import build
from tests.support.answers import Answers, CrashError, remote_batch

if TYPE_CHECKING:
    from tests.support.world import World


def surplus(world: World) -> list[str]:
    """Give the batches that run besides another one, unless a repeat on the way made them and nobody has looked yet."""
    if world.status.summary.duplicates_checked_time is None and len(world.remote) > world.creates:
        return []
    return [batch_id for batch_id in world.alive if world.remote[batch_id] != "cancelling"][1:]


def find_duplicates(world: World, seen: Observation, answers: Answers) -> tuple[BatchJobStatus, Problem | None]:
    """Keep the batch that is of most use, and cancel the others."""
    status, own = seen.status, seen.batch.id
    assert own is not None
    if answers.listing is not None:
        waits = seen.stage is Stage.CLEANUP or (seen.stage is Stage.RESULTS and not seen.unrecorded)
        return status, answers.listing if waits or seen.deleted_at is not None else None
    ours = [remote_batch(batch_id, told, build.NOW) for batch_id, told in world.remote.items()]
    settled = status.output is not None or seen.batch.status == "completed" or seen.deleted_at is not None
    kept = own if settled else by_use(ours, recorded=None, unknown=build.NOW)[0].id
    if kept != own:
        remote = remote_batch(kept, world.remote[kept], world.now)
        world.status = status = facts.with_other(status, remote, world.now)
        if answers.crash == "before the status":
            raise CrashError
    for batch_id in world.alive:
        if batch_id != kept:
            world.remote[batch_id] = "cancelling"
    if seen.stage is Stage.RESULTS and seen.unrecorded and seen.deleted_at is None:
        return status, None
    return facts.checked(status, world.now), None
