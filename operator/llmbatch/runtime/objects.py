"""BatchJobs as they are looked at, by what is known of them, or by the API server's own word; and what a BatchGateway allows."""

from dataclasses import dataclass
from typing import Any

from llmbatch.batch.pure import remote_state
from llmbatch.kube.client import Cluster
from llmbatch.kube.permissions import JOBS, Resource
from llmbatch.runtime.cache import Cache
from llmbatch.runtime.queue import Key

Json = dict[str, Any]


@dataclass
class Objects:
    """Reads BatchJobs."""

    cluster: Cluster
    cache: Cache

    async def to_look_at(self, key: Key) -> Json | None:
        """Give a BatchJob for a look at it; None: it is gone."""
        cached = self.cache.get(key)
        # Of a job with several batches it shows only in the pass whether there is anything to do.
        has_parts = remote_state.has_parts(cached or {})
        enough = self.cache.is_fresh(key) if has_parts else self.cache.is_sure(key)
        return cached if enough else await ask(self.cluster, self.cache, JOBS, key)

    async def is_as_seen(self, key: Key, seen: Json) -> bool:
        """Tell whether a BatchJob is as it was seen, by an answer of just now: before anything is done on that ground."""
        # To submit by an older state would be to pay twice.
        found = self.cache.get(key) if self.cache.is_fresh(key) else await ask(self.cluster, self.cache, JOBS, key)
        return found is not None and found["metadata"]["resourceVersion"] == seen["metadata"]["resourceVersion"]


async def ask(cluster: Cluster, cache: Cache, resource: Resource, key: Key) -> Json | None:
    """Ask the API server for an object of ours; None: it is gone. What is told meanwhile counts for the cache."""
    before = cache.get(key)
    found = await cluster.get(resource, key.namespace, key.name)
    cache.asked(key, found, before)
    return found


def max_active_batches(gateway: Json) -> int:
    """Give a stored BatchGateway's limits.maxActiveBatches; 0 is no limit."""
    found = ((gateway.get("spec") or {}).get("limits") or {}).get("maxActiveBatches")
    return found if isinstance(found, int) else 0
