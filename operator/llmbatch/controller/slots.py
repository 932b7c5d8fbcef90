"""Places among the batches that a gateway lets be active at the same time (limits.maxActiveBatches)."""

from dataclasses import dataclass, field

from llmbatch.controller.cache import Cache
from llmbatch.controller.queue import Key


@dataclass
class Slots:
    """Claims places for jobs that are about to submit: the cache shows their batches only afterwards."""

    cache: Cache
    _claims: dict[Key, Key] = field(default_factory=dict)
    """Jobs with a claim, and their gateway."""

    def claim(self, key: Key, gateway: Key, limit: int) -> bool:
        """Claim a place among a gateway's active batches, if there is one; a limit of 0 is none."""
        if limit == 0:
            return True
        claimed = {job for job, of in self._claims.items() if of == gateway}
        if len((claimed | self.cache.active(gateway.namespace, gateway.name)) - {key}) >= limit:
            return False
        self._claims[key] = gateway
        return True

    def release(self, key: Key) -> None:
        """Give a claimed place back: the cache shows the batch, or there is none."""
        self._claims.pop(key, None)
