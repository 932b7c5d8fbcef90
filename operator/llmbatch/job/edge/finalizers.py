"""Our finalizer on BatchJobs: put on before the first remote write, taken off when nothing of ours is left to do."""

from dataclasses import dataclass

from llmbatch import crash
from llmbatch.api import FINALIZER
from llmbatch.batch.edge.seen import Json
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.permissions import JOBS
from llmbatch.runtime.queue import Key


@dataclass
class Finalizers:
    """Changes finalizers, unless the object has changed or gone since it was read; answers whether that was done."""

    cluster: Cluster

    async def add(self, key: Key, raw: Json) -> bool:
        """Put ours on."""
        return await self._set(key, raw, [*_others(raw), FINALIZER], crash.Effect.ADD_FINALIZER)

    async def remove(self, key: Key, raw: Json) -> bool:
        """Take ours off, and leave those of others."""
        return await self._set(key, raw, _others(raw), crash.Effect.REMOVE_FINALIZER)

    async def _set(self, key: Key, raw: Json, finalizers: list[str], effect: crash.Effect) -> bool:
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": raw["metadata"]["resourceVersion"]},
            {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
        ]
        try:
            with crash.around(effect):
                await self.cluster.patch(JOBS, key.namespace, key.name, patch)
        except ClusterError as error:
            if error.status in (404, 409, 422):
                return False
            raise
        return True


def _others(raw: Json) -> list[str]:
    return [item for item in raw["metadata"].get("finalizers") or [] if item != FINALIZER]
