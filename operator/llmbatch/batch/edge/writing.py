"""Status writes that compare: what is about a job's batch is written only while nobody else's batch or intent stands there."""

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import Any

from llmbatch import crash
from llmbatch.api.batch_status import Summary
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.polls import Polls
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import facts, standing
from llmbatch.batch.pure.part_view import PartView
from llmbatch.batch.pure.stage import Stage, stage_of
from llmbatch.common.backoff import next_delay
from llmbatch.common.patch import merge_patch
from llmbatch.job.pure.decide import decide
from llmbatch.kube.client import Cluster, ClusterError, StatusRefusedError
from llmbatch.kube.permissions import JOBS
from llmbatch.runtime.refusals import Refusals
from llmbatch.transfer.pure.report import Problem

Json = dict[str, Any]

OF_BATCHES = ("batches", *Summary.names())
"""What status says of batches: all of it is written, or none."""
EDITORS = 3
"""After so many conflicts with somebody who edits the object all the time, only what counts is compared."""
MOST_CONFLICTS = 8
LONGEST_SECONDS = 30.0
"""Longest delay between two tries to write a fact."""

log = logging.getLogger(__name__)


@dataclass
class FactWriter:
    """Writes intents and facts, and takes intents back."""

    cluster: Cluster
    polls: Polls
    refusals: Refusals
    closing: bool = False
    """The process is about to end: there are no long waits any more."""

    async def write(self, seen: Seen, before: BatchJobStatus, after: BatchJobStatus, *, version: str) -> str:
        """Write what has changed, once, unless the object has; answers the resourceVersion that it then has.

        Raises:
            ClusterError: The API server didn't take it; 409 when the object has changed since that version.
        """
        patch = merge_patch(seen.widened(before).dump(), seen.widened(after).dump())
        written = await self.cluster.patch_status(
            JOBS, seen.key.namespace, seen.key.name, patch, resource_version=version
        )
        return str(written["metadata"]["resourceVersion"])

    async def record(
        self, seen: Seen, before: BatchJobStatus, status: BatchJobStatus, *, version: str | None = None
    ) -> Outcome:
        """Record which batch is the job's, and try until it is stored; stale when another batch or intent stands there.

        It stands against any editor of the object, but a process that was frozen may come too late with it. The outcome
        is gone when there is no object any more.
        """
        status = _closed(seen, before, status)
        with crash.around(crash.Effect.WRITE_FACT):
            found = version or seen.raw["metadata"]["resourceVersion"]
            written = await self._record(seen, before, status, found)
        if written is None:
            return Outcome(seen.stored, stale=True)
        if not written:
            return Outcome(status, gone=True)
        after = self.polls.begun(seen, status)
        if _is_more_known(seen, status, written.get("status") or {}):
            # What this pass writes next is to be compared.
            return Outcome(status, after=after, version=found, moved=True)
        version = str(written["metadata"]["resourceVersion"])
        return Outcome(status, after=after, version=version, raw=written, moved=True)

    async def withdraw(self, seen: Seen, intent: BatchJobStatus, version: str, problem: Problem | None) -> Outcome:
        """Record that an intent made no batch, unless there is another one in its place by now."""
        status = facts.without_intent(intent, made_none=True)
        with crash.around(crash.Effect.WITHDRAW_INTENT):
            stored = await self._withdraw_until_it_lands(seen, intent, status, version)
        if stored is None:
            return Outcome(seen.stored, stale=True)
        return Outcome(status, problem, after=0.0 if problem is None else None, version=stored or None)

    async def pause(self, seconds: float) -> None:
        """Wait, but not for long any more once the process is about to end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.5))
            if self.closing:
                return

    async def _record(self, seen: Seen, before: BatchJobStatus, after: BatchJobStatus, version: str) -> Json | None:
        """Write a fact again and again; answers the object then, an empty one if it is gone, None when it may not be."""
        failures, patch = 0, merge_patch(seen.widened(before).dump(), seen.widened(after).dump())
        while True:
            try:
                return await write_unmoved(
                    self.cluster, seen, patch, before=before, after=after, version=version, is_fact=True
                )
            except ClusterError as error:
                if error.status == 404:
                    return {}
                failures += 1
                await self._not_yet(seen, error, failures)

    async def _withdraw_until_it_lands(
        self, seen: Seen, before: BatchJobStatus, after: BatchJobStatus, version: str
    ) -> str | None:
        """Write again and again for as long as the intent in status is `before`'s own.

        Answers the resourceVersion then, "" when nothing may be written after it, None when this may not be written.
        """
        failures, moved = 0, False
        while True:
            try:
                written = await self.write(seen, before, after, version=version)
                # Of the other batches more may be known by now than this pass has seen.
                return "" if moved and seen.view is not None else written
            except ClusterError as error:
                if error.status == 409:
                    # Somebody has edited the object meanwhile; or another leader has an intent of its own there.
                    try:
                        found = await self._with_intent(seen, before)
                    except ClusterError as unread:
                        failures += 1
                        await self._not_yet(seen, unread, failures)
                        continue
                    if found is None:
                        return None
                    if found.raw["metadata"]["resourceVersion"] != version:
                        seen, version, moved = found, str(found.raw["metadata"]["resourceVersion"]), True
                        continue
                if error.status == 404:
                    return ""
                failures += 1
                await self._not_yet(seen, error, failures)

    async def _not_yet(self, seen: Seen, error: ClusterError, failures: int) -> None:
        """Tell of a fact that could not be written, and wait a little."""
        log.warning("a fact could not be written yet", extra={"object": str(seen.key), "detail": str(error)})
        if isinstance(error, StatusRefusedError):
            self.refusals.tell(seen.key, seen.owner.uid, error)
        await self.pause(next_delay(failures, 0.5, first=0.2, longest=LONGEST_SECONDS))

    async def _with_intent(self, seen: Seen, intent: BatchJobStatus) -> Seen | None:
        """Read the object again, with what other batches have come to meanwhile, if its intent is still this one."""
        found = await self.cluster.get(JOBS, seen.key.namespace, seen.key.name)
        if found is None or found["metadata"]["uid"] != seen.owner.uid:
            return None
        stored = found.get("status") or {}
        if seen.view is None:
            return replace(seen, raw=found) if standing.holds_intent(stored, intent) else None
        whole = BatchJobStatus.parse(stored)
        is_there = seen.view.index < len(whole.batches) and standing.holds_intent(seen.view.of(whole).dump(), intent)
        return replace(seen, raw=found, whole=whole) if is_there else None


def _closed(seen: Seen, before: BatchJobStatus, status: BatchJobStatus) -> BatchJobStatus:
    """Give the whole status of a job that has a batch, or another one: phase, progress and conditions go with the fact.

    What is written of one batch of several leaves what is said of the job to the end of the pass.
    """
    if seen.view is not None or stage_of(status) is Stage.ANSWER:
        return status
    ending = decide(replace(seen.observation, status=status, unrecorded=False)).ending
    return seen.closed(status, ending, before=before)


async def write_unmoved(
    cluster: Cluster,
    seen: Seen,
    patch: Json,
    *,
    before: BatchJobStatus,
    after: BatchJobStatus,
    version: str,
    is_fact: bool = False,
) -> Json | None:
    """Write a status' changes; answers the object, or None when another batch or intent stands there.

    Args:
        cluster: The API server.
        seen: The object, and which of its batches is written about; another object of its name is not written to.
        patch: What has changed, as a merge patch.
        before: The status that the writer has seen, or written, last.
        after: The status that is to be there.
        version: The object's resourceVersion with `before`.
        is_fact: It records which batch is the job's, with all that follows. Where that is recorded already, by an earlier try or
            by another process, more may be known of it.

    Raises:
        ClusterError: The API server didn't take it; 404 when the object is gone.
    """
    key = seen.key
    for conflicts in range(MOST_CONFLICTS):
        try:
            return await cluster.patch_status(JOBS, key.namespace, key.name, patch, resource_version=version)
        except ClusterError as error:
            if error.status != 409 or conflicts + 1 == MOST_CONFLICTS:
                raise
        found = await read_again(cluster, seen)
        stored = found.get("status") or {}
        if is_fact and _is_there(seen.view, stored, after):
            return found
        rebased = _rebased(seen.view, stored, patch, before, after, is_fact=is_fact)
        if rebased is None:
            return None
        patch, whole = rebased
        version = found["metadata"]["resourceVersion"]
        if conflicts + 1 >= EDITORS:
            try:
                return await cluster.patch_status_where(
                    JOBS,
                    key.namespace,
                    key.name,
                    standing.tests(stored, OF_BATCHES),
                    standing.steps(patch, whole, stored),
                )
            except ClusterError as error:
                if error.status not in (409, 422):
                    raise
    raise AssertionError("the last conflict is raised")


def _is_there(view: PartView | None, stored: Json, after: BatchJobStatus) -> bool:
    """Tell whether a batch is recorded already."""
    if view is None:
        return after.parts is None and standing.is_there(stored, after)
    whole = BatchJobStatus.parse(stored)
    return view.index < len(whole.batches) and standing.is_there(view.of(whole).dump(), after)


def _is_more_known(seen: Seen, status: BatchJobStatus, stored: Json) -> bool:
    """Tell whether more is stored than a fact and what its pass has seen: of other batches, or by another process."""
    if seen.view is not None:
        return not seen.view.others_are_as_in(stored, seen.whole)
    return bool(stored.get("output")) or not standing.is_known(stored, status, status)


def _rebased(
    view: PartView | None, stored: Json, patch: Json, before: BatchJobStatus, after: BatchJobStatus, *, is_fact: bool
) -> tuple[Json, Json] | None:
    """Give what is to be written over a status that has changed: the patch, and the status; None: it may not be."""
    if view is not None:
        whole = _beside_others(view, stored, before, after)
        return (merge_patch(stored, whole), whole) if whole is not None else None
    compares = after.parts is not None or not is_fact
    # What was found out of one of its batches meanwhile must not be lost.
    if not standing.is_unmoved(stored, before, after) or (compares and not standing.is_known(stored, before, after)):
        return None
    return patch, after.dump()


def _beside_others(view: PartView, stored: Json, before: BatchJobStatus, after: BatchJobStatus) -> Json | None:
    """Give the status that tells of one batch of several and leaves the others as they are now; None: it may not be."""
    whole = BatchJobStatus.parse(stored)
    if view.index >= len(whole.batches):
        return None
    there = view.of(whole).dump()
    if not standing.is_there(there, after) and not standing.is_unmoved(there, before, after):
        return None
    return view.put(whole, after).dump()


async def read_again(cluster: Cluster, seen: Seen) -> Json:
    """Give the object as it is now.

    Raises:
        ClusterError: 404 when it is gone, or another one has its name.
    """
    found = await cluster.get(JOBS, seen.key.namespace, seen.key.name)
    if found is None or found["metadata"]["uid"] != seen.owner.uid:
        raise ClusterError(404, "NotFound", f"the object with uid {seen.owner.uid} is gone")
    return found
