"""Status writes that compare: what is about a job's batch is written only while nobody else's batch or intent stands there."""

from typing import Any

from llmbatch.api.batch_status import Summary
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import standing
from llmbatch.batch.pure.part_view import PartView
from llmbatch.common.patch import merge_patch
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.permissions import JOBS

Json = dict[str, Any]

OF_BATCHES = ("batches", *Summary.names())
"""What status says of batches: all of it is written, or none."""
EDITORS = 3
"""After so many conflicts with somebody who edits the object all the time, only what counts is compared."""
MOST_CONFLICTS = 8


async def write_unmoved(
    cluster: Cluster, seen: Seen, patch: Json, *, before: BatchJobStatus, after: BatchJobStatus, version: str
) -> Json | None:
    """Write a status' changes; answers the object, or None when another batch or intent stands there.

    Args:
        cluster: The API server.
        seen: The object, and which of its batches is written about; another object of its name is not written to.
        patch: What has changed, as a merge patch.
        before: The status that the writer has seen, or written, last.
        after: The status that is to be there.
        version: The object's resourceVersion with `before`.

    Raises:
        ClusterError: The API server didn't take it; 404 when the object is gone.
    """
    key, uid = seen.key, seen.owner.uid
    for conflicts in range(MOST_CONFLICTS):
        try:
            return await cluster.patch_status(JOBS, key.namespace, key.name, patch, resource_version=version)
        except ClusterError as error:
            if error.status != 409 or conflicts + 1 == MOST_CONFLICTS:
                raise
        found = await cluster.get(JOBS, key.namespace, key.name)
        if found is None or found["metadata"]["uid"] != uid:
            raise ClusterError(404, "NotFound", f"the object with uid {uid} is gone")
        stored = found.get("status") or {}
        rebased = _rebased(seen.view, stored, patch, before, after)
        if rebased is None:
            return None
        patch, whole = rebased
        version = found["metadata"]["resourceVersion"]
        if conflicts + 1 >= EDITORS:
            try:
                return await cluster.patch_status_where(
                    JOBS, key.namespace, key.name, _tests(stored), _steps(patch, whole, stored)
                )
            except ClusterError as error:
                if error.status not in (409, 422):
                    raise
    raise AssertionError("the last conflict is raised")


def _rebased(
    view: PartView | None, stored: Json, patch: Json, before: BatchJobStatus, after: BatchJobStatus
) -> tuple[Json, Json] | None:
    """Give what is to be written over a status that has changed: the patch, and the status; None: it may not be."""
    if view is not None:
        whole = _beside_others(view, stored, before, after)
        return (merge_patch(stored, whole), whole) if whole is not None else None
    if after.parts is None and standing.is_there(stored, after):
        # The answer to an earlier try was lost, or another process has adopted the very batch.
        return {name: value for name, value in patch.items() if name not in OF_BATCHES}, after.dump()
    if not standing.is_unmoved(stored, before, after):
        return None
    if after.parts is not None and not standing.is_known(stored, before, after):
        # Something was found out of one of its batches meanwhile, which must not be lost.
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


def _tests(stored: Json) -> list[Json]:
    """Have what counts be as it was read, whatever else is edited."""
    return [{"op": "test", "path": f"/status/{name}", "value": stored[name]} for name in OF_BATCHES if name in stored]


def _steps(patch: Json, after: Json, stored: Json) -> list[Json]:
    steps: list[Json] = []
    for name in patch:
        if name in after:
            steps.append({"op": "add", "path": f"/status/{name}", "value": after[name]})
        elif name in stored:
            steps.append({"op": "remove", "path": f"/status/{name}"})
    return steps
