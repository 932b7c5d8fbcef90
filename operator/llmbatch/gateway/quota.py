"""Who may go next by the tokens of a quota, and what a refusal of the provider teaches.

All but the claims of uploads that have just begun and the batch that tries first after a refusal is in the cache, so that a
new leader agrees. Asking costs no call, and who waits costs no pass until it is its turn.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from llmbatch.gateway.accounts import waiting_of
from llmbatch.gateway.ledger import Ledger
from llmbatch.gateway.lessons import Lessons
from llmbatch.gateway.line import Place, Waiting, admitted, fits, in_order, place_among, rank
from llmbatch.gateway.orders import Orders, Places, place_of
from llmbatch.runtime.cache import Cache
from llmbatch.runtime.queue import Key

MANY = 500
"""From so many in line on, a place is told by priority and age alone, and all are put in order only when it matters."""
SOONER = timedelta(seconds=10)
"""What a batch may go earlier than was thought before it is looked at for that."""


@dataclass
class Heads:
    """The first in line of each gateway that has learnt something: their turn may come by the passing of time alone."""

    ledger: Ledger
    lessons: Lessons
    orders: Orders
    now: Callable[[], datetime]
    _known: dict[Key, tuple[Key, datetime]] = field(default_factory=dict)
    """By gateway: the job that is looked at when what was learnt has risen, and when that is."""

    def rises_in(self, job: Key, tokens: int, gateway: Key) -> float | None:
        """Give the seconds until what was learnt has risen so far that so many tokens fit.

        None: it takes something else, or another job of the gateway is before it, which is looked at then.
        """
        if (seconds := self._seconds(gateway, tokens)) is None:
            return None
        head = self._first(gateway)
        if head is None or head.job == job:
            self._known[gateway] = job, self.now() + timedelta(seconds=seconds)
            return seconds
        if gateway in self._known and self._known[gateway][0] == job:
            # Its priority was lowered.
            del self._known[gateway]
            self.ledger.moved.add(self.ledger.group(gateway).name)
        return None

    def called(self, group: str) -> list[Key]:
        """Name those who are the first by now, or may go sooner than was thought: nobody else calls them for that."""
        found = []
        for gateway in self.ledger.members(group):
            if self.lessons.limit(gateway, most := self.ledger.group(gateway).limit) >= most:
                self._known.pop(gateway, None)
                continue
            known, due = self._known.get(gateway, (None, None))
            head = next((item for item in self.ledger.waiting([gateway]) if item.job == known), None)
            if head is None:
                head, due = self._first(gateway), None
            if head is None or self.orders.is_behind(gateway, head.tokens):
                continue
            seconds = self._seconds(gateway, head.tokens)
            moment = self.now() + timedelta(seconds=seconds or 0)
            if seconds is not None and (due is None or moment < due - SOONER):
                self._known[gateway] = head.job, moment
                found.append(head.job)
        return found

    def _seconds(self, gateway: Key, tokens: int) -> float | None:
        group = self.ledger.group(gateway)
        reserved = sum(self.ledger.by_namespace(group.name).values())
        return self.lessons.rises_in(gateway, group.limit, reserved + self.orders.held(gateway) + tokens)

    def _first(self, gateway: Key) -> Waiting | None:
        return min(self.ledger.waiting([gateway]), key=rank, default=None)


@dataclass
class Quota:
    """Says whose turn it is."""

    cache: Cache
    now: Callable[[], datetime]

    def __post_init__(self) -> None:
        """Begin with what the cache tells."""
        self.ledger = Ledger(self.cache)
        self.lessons = Lessons(self.cache, self.now)
        self.orders = Orders(self.ledger, self.lessons)
        self.places = Places(self.orders)
        self._told: dict[str, int] = {}
        """By group: how many waited when they were put in order last."""
        self.heads = Heads(self.ledger, self.lessons, self.orders, self.now)

    # --- asking ------------------------------------------------------------------------------------------------------

    def limits(self, gateway: Key) -> bool:
        """Tell whether a gateway admits by tokens."""
        return self.ledger.group(gateway).limit > 0

    def limit(self, gateway: Key) -> int:
        """Give the tokens that a gateway goes by now; 0: it has no such limit."""
        return self.lessons.limit(gateway, self.ledger.group(gateway).limit)

    def reserved(self, gateway: Key) -> int:
        """Give the tokens that a gateway's whole group has reserved."""
        return sum(self.ledger.by_namespace(self.ledger.group(gateway).name).values())

    def claim(self, job: Key, place: int, tokens: int, gateway: Key) -> Place | None:
        """Have a batch's tokens reserved, if it is its turn; else say where it stands."""
        if not self.limits(gateway) or self.ledger.has_claimed(job, place):
            return None
        group = self.ledger.group(gateway).name
        asking = waiting_of(job, place, tokens, gateway, self.cache.get(job) or {})
        waiting = [item for item in self._waiting(group) if item.job != job]
        reserved = self.ledger.by_namespace(group)
        taken = sum(reserved.values()) + self.orders.held(gateway)
        if len(waiting) >= MANY and not fits(taken, tokens, self.limit(gateway)):
            return self.places.after_those_behind(group, place_among(asking, waiting))
        waiting.append(asking)
        ordered = list(in_order(waiting, reserved))
        if asking in self._admitted(ordered, reserved):
            self.ledger.claim(job, place, tokens)
            return None
        return self.places.after_those_behind(group, place_of(job, ordered))

    def rises_in(self, job: Key, tokens: int, gateway: Key) -> float | None:
        """Give the seconds until what was learnt has risen so far that so many tokens fit; see Heads."""
        return self.heads.rises_in(job, tokens, gateway)

    def groups(self) -> dict[str, tuple[int, int, int]]:
        """Give of each group in which tokens are limited: the highest limit, what is reserved, how many batches wait."""
        found: dict[str, tuple[int, int, int]] = {}
        for gateway, group in list(self.ledger.groups.items()):
            if group.limit and group.name not in found:
                members = self.ledger.members(group.name)
                waiting = sum(map(self._queued, members))
                found[group.name] = max(map(self.limit, members)), self.reserved(gateway), waiting
        return found

    def status(self, gateway: Key) -> dict[str, Any]:
        """Give what the gateway's status says of it; empty without a limit."""
        most = self.ledger.group(gateway).limit
        if not most:
            return {}
        told: dict[str, Any] = {"enqueued_tokens": self.reserved(gateway)}
        told["queued_batches"] = self._queued(gateway)
        learned = self.lessons.learned(gateway)
        if learned is not None and self.limit(gateway) < most:
            told |= {"learned_tokens": learned.tokens, "learned_time": learned.time}
        return told

    # --- being told --------------------------------------------------------------------------------------------------

    def release(self, job: Key, place: int) -> None:
        """Give a claim back: the upload did not come about."""
        self.ledger.release(job, place)

    def refused(self, job: Key, place: int, tokens: int, gateway: Key) -> bool:
        """Learn that the provider has refused a batch for want of quota; tells whether the gateway admits by tokens."""
        group = self.ledger.group(gateway)
        if not group.limit:
            return False
        self.orders.refused(job, place, tokens, gateway)
        self.ledger.moved.add(group.name)
        return True

    def called(self, gateway: Key) -> list[Key]:
        """Name the jobs of a gateway's group that are to be looked at: whose turn it is, and whose place is to be told anew."""
        group = self.ledger.group(gateway).name
        found = self.orders.let_go(group)
        # A gateway that has gone, or shares another quota now, leaves room in the one it had, whose own jobs may be at rest.
        for moved in self.ledger.moved - {group}:
            found += self.orders.let_go(moved) + self._called_of(moved) + self.heads.called(moved)
        if group in self.ledger.moved:
            found += self._called_of(group) + self.heads.called(group)
        return list(dict.fromkeys(found))

    def _called_of(self, group: str) -> list[Key]:
        self.ledger.moved.discard(group)
        if not any(map(self.limits, self.ledger.members(group))):
            # Nobody waits for tokens, and to find that out by going through all jobs would be work for each pass.
            return []
        reserved, waiting = self.ledger.by_namespace(group), self._waiting(group)
        least = min((item.tokens for item in waiting), default=0)
        highest = max(map(self.limit, self.ledger.members(group)))
        moved = abs(len(waiting) - self._told.get(group, 0))
        if len(waiting) >= MANY and moved < len(waiting) // 16 and not fits(sum(reserved.values()), least, highest):
            # To put thousands in order, each time that one of them has changed, would be most of the work for all of them.
            return []
        self._told[group] = len(waiting)
        ordered = list(in_order(waiting, reserved))
        found = [item.job for item in self._admitted(ordered, reserved)]
        return found + self.places.untrue(group, ordered, many=len(waiting) >= MANY)

    def _waiting(self, group: str) -> list[Waiting]:
        return self.ledger.waiting(self.ledger.members(group))

    def _admitted(self, ordered: list[Waiting], reserved: dict[str, int]) -> list[Waiting]:
        limits = {gateway: self.limit(gateway) for gateway in {item.gateway for item in ordered}}
        first = {gateway: found for gateway in limits if (found := self.orders.tries_first(gateway)) is not None}
        if first:
            ordered = [
                item for item in ordered if item.gateway not in first or not first[item.gateway].holds_up(item.tokens)
            ]
        held = {gateway: self.orders.held(gateway) for gateway in limits}
        highest = max(limits.values(), default=0)
        return admitted(ordered, sum(reserved.values()), limits.__getitem__, highest, held.__getitem__)

    def _queued(self, gateway: Key) -> int:
        return len(self.ledger.waiting([gateway])) + self.ledger.tallies.behind([gateway])[0]
