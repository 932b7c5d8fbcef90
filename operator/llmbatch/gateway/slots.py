"""Places among the batches that a gateway lets be active at the same time (limits.maxActiveBatches).

A job that waits for one is not looked at until there is one: who waits, and since when, is in the cache, so that a new
leader knows it too. When a place is free, as many are called as there are places, the oldest first.
"""

import bisect
import itertools
from dataclasses import dataclass, field

from llmbatch.api.batch_status import entries
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import remote_state
from llmbatch.runtime.cache import BATCHJOB, Cache, Json, uid_of
from llmbatch.runtime.objects import max_active_batches
from llmbatch.runtime.queue import Key

Rank = tuple[str, Key]
"""A job's place in line: when it was made, and its key."""


@dataclass
class Slots:
    """Claims places for jobs that are about to submit: the cache shows their batches only afterwards."""

    cache: Cache
    _claims: dict[Key, tuple[Key, str]] = field(default_factory=dict)
    """Jobs with a claim, with their gateway and their uid."""
    _lines: dict[Key, list[Rank]] = field(default_factory=dict)
    """By gateway: the jobs that wait, the oldest first."""
    _waits: dict[Key, tuple[Key, Rank]] = field(default_factory=dict)
    """By job that waits: for which gateway, and its place there."""

    def __post_init__(self) -> None:
        """Follow the cache: to go through all jobs would make each pass as long as there are some."""
        self.cache.listen(self._changed)

    def has_place(self, key: Key, gateway: Key) -> bool:
        """Tell whether it would be this job's turn."""
        limit = self._limit(gateway)
        if limit == 0 or key in self._claims:
            return True
        line = self._lines.get(gateway, [])
        rank = _rank(key, self.cache.get(key))
        before = bisect.bisect_left(line, rank) - self._claimed_before(gateway, rank)
        return limit - self._taken(gateway, but=key) > before

    def claim(self, key: Key, gateway: Key) -> bool:
        """Claim a place for a job, if it is its turn; a limit of 0 is none."""
        if not self.has_place(key, gateway):
            return False
        if self._limit(gateway):
            self._claims[key] = gateway, uid_of(self.cache.get(key))
        return True

    def release(self, key: Key) -> None:
        """Give a claimed place back: the cache shows the batch, or there is none."""
        self._claims.pop(key, None)

    def called(self, gateway: Key) -> list[Key]:
        """Name those who may go on now: of those who wait, as many as there are places, the oldest first."""
        line, limit = self._lines.get(gateway), self._limit(gateway)
        if not line or not self._is_checked(gateway):
            return []
        free = max(0, limit - self._taken(gateway)) if limit else len(line)
        waiting = (key for _, key in line if key not in self._claims)
        return list(itertools.islice(waiting, free))

    def _is_checked(self, gateway: Key) -> bool:
        """Tell whether the gateway was looked at since its spec changed: who is called before only loses its turn."""
        held = self.cache.get(gateway) or {}
        told = (held.get("status") or {}).get("observedGeneration")
        return told == (held.get("metadata") or {}).get("generation")

    def _limit(self, gateway: Key) -> int:
        return max_active_batches(self.cache.get(gateway) or {})

    def _taken(self, gateway: Key, but: Key | None = None) -> int:
        """Count the places that are taken; `but` is the job that asks, whose claim is for the very batch it asks for."""
        for job, (_, uid) in list(self._claims.items()):
            held = self.cache.get(job)
            if (
                held is None
                or uid_of(held) != uid
                or remote_state.is_ended(held)
                or "deletionTimestamp" in held["metadata"]
            ):
                # It will never submit.
                del self._claims[job]
        active = self.cache.active(gateway.namespace, gateway.name)
        # A job with one batch that has both a claim and a batch is seen between the two.
        claimed = {job for job, (of, _) in self._claims.items() if of == gateway and job != but}
        alone = {job for job in claimed if not remote_state.has_parts(self.cache.get(job) or {})}
        return sum(count for job, count in active.items() if job not in alone) + len(claimed)

    def _claimed_before(self, gateway: Key, rank: Rank) -> int:
        """Count those in line before a place that have a claim already."""
        found = (self._waits.get(job) for job in self._claims)
        return sum(1 for waits in found if waits is not None and waits[0] == gateway and waits[1] < rank)

    def _changed(self, key: Key, _: Json | None, found: Json | None) -> None:
        if key.kind != BATCHJOB:
            return
        before = self._waits.pop(key, None)
        after = (self.cache.gateway_of(key), _rank(key, found)) if waits(found) else None
        if after is not None:
            self._waits[key] = after
        if before == after:
            return
        if before is not None:
            line = self._lines[before[0]]
            del line[bisect.bisect_left(line, before[1])]
            if not line:
                del self._lines[before[0]]
        if after is not None:
            bisect.insort(self._lines.setdefault(after[0], []), after[1])


def _rank(key: Key, found: Json | None) -> Rank:
    metadata = (found or {}).get("metadata") or {}
    return str(metadata.get("creationTimestamp", "")), key


def waits(found: Json | None) -> bool:
    """Tell whether a BatchJob waits for a place, as its status says."""
    if found is None or "deletionTimestamp" in found["metadata"] or remote_state.is_ended(found):
        return False
    status = found.get("status") or {}
    told = [batch["state"] for batch in entries(status) if batch.get("state") and _wants_a_place(batch)]
    if not remote_state.has_parts(found):
        told += [item for item in status.get("conditions") or [] if item.get("type") == "Ready"]
    return any(item.get("reason") == Reason.WAITING_FOR_SLOT for item in told)


def _wants_a_place(batch: Json) -> bool:
    """Tell whether a batch is about to be made: one whose input isn't uploaded waits for something else."""
    return bool(batch.get("inputFileID")) and not batch.get("id")
