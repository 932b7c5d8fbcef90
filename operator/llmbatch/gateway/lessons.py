"""What gateways have learnt of their quota from refusals: less than their limit, which rises again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from llmbatch.api.batchgateway import BatchGatewayStatus
from llmbatch.gateway.accounts import Group, group_of
from llmbatch.runtime.cache import BATCHGATEWAY, Cache, Json
from llmbatch.runtime.queue import Key

LEARNED = 0.9
"""Share of what the group had reserved when the provider refused, by which the gateway goes from then on."""
RISES_AN_HOUR = 0.05
"""Share of the limit by which that rises again."""
HOUR_SECONDS = 3600.0
AHEAD = timedelta(minutes=15)
"""No more than that the clocks of several API servers are apart."""


@dataclass(frozen=True)
class Learned:
    """What a gateway has learnt from a refusal."""

    tokens: int
    time: datetime


@dataclass
class Lessons:
    """Remembers them; the gateways' statuses tell a new leader."""

    cache: Cache
    now: Callable[[], datetime]
    _learned: dict[Key, Learned | None] = field(default_factory=dict)
    """By gateway; None: nothing, whatever its status still says."""
    _taught: dict[Key, tuple[object, Group]] = field(default_factory=dict)
    """By gateway: its uid and the quota that it learns about."""

    def __post_init__(self) -> None:
        """Follow the cache: what was learnt is about one gateway and one quota."""
        self.cache.listen(self._changed)

    def learned(self, gateway: Key) -> Learned | None:
        """Give what a gateway has learnt last."""
        if gateway not in self._learned:
            held = self.cache.get(gateway) or {}
            told = held.get("status") or {}
            if told.get("observedGeneration") != (held.get("metadata") or {}).get("generation"):
                # It was edited while nobody looked: another quota may be meant, or a larger one.
                return None
            status = BatchGatewayStatus.parse({name: told.get(name) for name in ("learnedTokens", "learnedTime")})
            if status.learned_tokens is not None and status.learned_time is not None:
                self._learned[gateway] = Learned(status.learned_tokens, status.learned_time)
        return self._learned.get(gateway)

    def _changed(self, key: Key, _: Json | None, found: Json | None) -> None:
        if key.kind != BATCHGATEWAY:
            return
        before = self._taught.pop(key, None)
        if found is None:
            self._learned.pop(key, None)
            return
        uid, group = (found.get("metadata") or {}).get("uid"), group_of(found)
        self._taught[key] = uid, group
        if before is None:
            return
        if before[0] != uid:
            # It was made anew, and its own status tells.
            self._learned.pop(key, None)
        elif before[1].name != group.name or before[1].limit < group.limit:
            # It is another quota, or a larger one, as a person says.
            self._learned[key] = None

    def learn(self, gateway: Key, most: int, reserved: int) -> None:
        """Take note of a refusal, when so many tokens were reserved; `most` is the gateway's limit."""
        tokens = min(self.limit(gateway, most), int(LEARNED * reserved))
        self._learned[gateway] = Learned(max(1, tokens), self.now())

    def limit(self, gateway: Key, most: int) -> int:
        """Give the tokens that a gateway of this limit goes by now."""
        learned, now = self.learned(gateway), self.now()
        if learned is None or not most:
            return most
        if learned.time > now + AHEAD:
            # The clock was put back since then; what was learnt in a year to come would stay until that.
            learned = self._learned[gateway] = Learned(learned.tokens, now)
        hours = max(0.0, (now - learned.time).total_seconds()) / HOUR_SECONDS
        return min(most, int(learned.tokens + RISES_AN_HOUR * hours * most))

    def rises_in(self, gateway: Key, most: int, wanted: int) -> float | None:
        """Give the seconds until a gateway goes by so many tokens; None: it takes something else than time."""
        missing = wanted - self.limit(gateway, most)
        if self.learned(gateway) is None or missing <= 0 or wanted > most:
            return None
        return missing / (RISES_AN_HOUR * most) * HOUR_SECONDS
