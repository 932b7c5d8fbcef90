"""Batches whose file is uploaded, since the provider has refused one: which tries first, and which may follow it."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from llmbatch.gateway.accounts import waiting_of
from llmbatch.gateway.ledger import Ledger
from llmbatch.gateway.lessons import Lessons
from llmbatch.gateway.line import Place, Waiting, admitted, fits, in_order
from llmbatch.runtime.queue import Key

CALLED_SECONDS = 5.0
"""One that was called and doesn't come by then has met something else, and keeps nobody waiting for that."""


@dataclass(frozen=True)
class First:
    """The batch that tries first after a refusal."""

    job: Key
    place: int
    """Among the job's batches."""
    refused_id: str | None
    """The provider has refused it late, under this id; None: at once."""
    tokens: int
    beside: int
    """Tokens of the group's other batches that were enqueued then."""
    alone: bool
    """It was refused when there were none: it may be too large for what there is."""

    def holds_up(self, tokens: int) -> bool:
        """Tell whether a batch of so many tokens waits for this one; not a smaller one, where this may never fit."""
        return not (self.alone and tokens < self.tokens)


@dataclass
class Orders:
    """Has them wait for each other."""

    ledger: Ledger
    lessons: Lessons
    _first: dict[Key, First] = field(default_factory=dict)
    """By gateway."""
    _behind: dict[Key, dict[tuple[Key, int], Waiting]] = field(default_factory=dict)
    """By gateway: the batches that wait, by their job and their place in it."""
    _full: dict[Key, First] = field(default_factory=dict)
    """By gateway: the one that tries first, whose time has come when others of the group had filled the limit."""
    _called: dict[Key, float] = field(default_factory=dict)
    """By job: when it was called, by the monotonic clock."""

    def tries_first(self, gateway: Key) -> First | None:
        """Give the batch that tries first after a refusal; None: there was none, or it is over."""
        first = self._first.get(gateway)
        if first is None:
            return None
        account = self.ledger.accounts.get(first.job)
        held = account.ids.get(first.place) if account is not None else None
        stays = account is not None and (held == first.refused_id if held else first.place in account.reserved)
        if not stays:
            del self._first[gateway]
        return first if stays else None

    def is_behind(self, gateway: Key, tokens: int) -> bool:
        """Tell whether a batch of so many tokens waits for one that tries first."""
        first = self.tries_first(gateway)
        return first is not None and first.holds_up(tokens)

    def held(self, gateway: Key) -> int:
        """Give the tokens of a gateway's uploaded files that go before further ones; not of what may never fit."""
        first = self.tries_first(gateway)
        if first is None or not first.alone:
            return self.ledger.tallies.of(gateway).held
        return sum(item.tokens for item in self._alive(gateway) if not first.holds_up(item.tokens))

    def behind(self, job: Key, place: int, tokens: int, gateway: Key) -> int | None:
        """Tell whether a batch whose file is uploaded waits since the provider has refused one, and remember it.

        Answers the tokens of the one that tries first; 0: what was learnt leaves no room. None: it needn't wait.
        """
        group = self.ledger.group(gateway)
        if not group.limit or self.ledger.goes(job, place):
            return None
        self._called.pop(job, None)
        asking = waiting_of(job, place, tokens, gateway, self.ledger.cache.get(job) or {})
        first = self.tries_first(gateway)
        if first is None or (first.job, first.place) != (job, place):
            self._behind.setdefault(gateway, {})[job, place] = asking
            if first is not None and first.holds_up(tokens):
                return self.ledger.tokens_of(first.job, first.place)
            if asking not in self._may_go(group.name):
                return 0
        else:
            self._full.pop(gateway, None)
            if not fits(self.ledger.enqueued(group.name), tokens, group.limit):
                # What was learnt may be too little, but what a person says is the most.
                self._full[gateway] = first
                return 0
        self._behind.get(gateway, {}).pop((job, place), None)
        self.ledger.go(job, place, tokens)
        return None

    def refused(self, job: Key, place: int, tokens: int, gateway: Key) -> None:
        """Have the gateway learn from a refusal, and the batch try first, if no other does."""
        group, account = self.ledger.group(gateway), self.ledger.accounts.get(job)
        self.ledger.stay(job, place)
        counted = account.enqueued.get(place, 0) if account is not None else 0
        beside = self.ledger.enqueued(group.name) - counted
        self.lessons.learn(gateway, group.limit, beside + (counted or tokens))
        first = self.tries_first(gateway)
        again = first is not None and (first.job, first.place) == (job, place)
        if first is None or again or not first.holds_up(tokens):
            known = account.ids.get(place) if account is not None else None
            alone = beside == 0 or (again and first is not None and first.alone)
            self._first[gateway] = First(job, place, known, tokens, beside, alone)
            self._called.pop(job, None)

    def may_try(self, job: Key, place: int, gateway: Key) -> bool:
        """Tell whether the batch that tries first needn't wait for its next time: others have ended since, and there is room."""
        first = self.tries_first(gateway)
        if first is None or (first.job, first.place) != (job, place):
            return False
        return any(item.job == job and item.batch == place for item in self._may_go(self.ledger.group(gateway).name))

    def rises_in(self, gateway: Key, tokens: int) -> float | None:
        """Give the seconds until what was learnt has risen so far that so many tokens more fit; None: it takes something else."""
        group = self.ledger.group(gateway)
        return self.lessons.rises_in(gateway, group.limit, self.ledger.enqueued(group.name) + tokens)

    def let_go(self, group: str) -> list[Key]:
        """Name those of a group with an uploaded file whose turn it is, if they haven't been called already."""
        if not self._first and not any(self._behind.values()):
            return []
        called = [item.job for item in self._may_go(group) if item.job not in self._called]
        self._called |= dict.fromkeys(called, time.monotonic())
        return called

    def _may_go(self, group: str) -> list[Waiting]:
        """Give those that wait for no other one to try first, and for whom there is room, in the order of the line."""
        members = self.ledger.members(group)
        enqueued = self.ledger.enqueued_by_namespace(group)
        reserved = sum(enqueued.values())
        found = []
        for gateway in members:
            item = self._waits_for_room(gateway)
            if item is not None and fits(reserved, item.tokens, self.ledger.group(gateway).limit):
                found.append(item)
                reserved += item.tokens
        waiting = [item for gateway in members for item in self._next_of(gateway, reserved) if item not in found]
        if not waiting:
            return found
        limits = {gateway: self.lessons.limit(gateway, self.ledger.group(gateway).limit) for gateway in members}
        return [*found, *admitted(in_order(waiting, enqueued), reserved, limits.__getitem__, max(limits.values()))]

    def _waits_for_room(self, gateway: Key) -> Waiting | None:
        """Give the batch that tries first, if its time has come and there was no room."""
        first = self.tries_first(gateway)
        return (
            _waiting_first(self.ledger, first, gateway)
            if first is not None and self._full.get(gateway) == first
            else None
        )

    def _next_of(self, gateway: Key, enqueued: int) -> list[Waiting]:
        """Give those of a gateway that go when there is room; while one tries first, that one, and none that waits for it.

        It is asked for no sooner than its time while all is enqueued that was when the provider refused it.
        """
        first, waiting = self.tries_first(gateway), self._alive(gateway)
        if first is None:
            return waiting
        others = [item for item in waiting if not first.holds_up(item.tokens)]
        late = time.monotonic() - self._called.get(first.job, math.inf) > CALLED_SECONDS
        item = _waiting_first(self.ledger, first, gateway) if enqueued < first.beside and not late else None
        return [item, *others] if item is not None else others

    def _alive(self, gateway: Key) -> list[Waiting]:
        """Give those that wait; one that has been ordered, has gone or doesn't come when it is called is dropped."""
        behind, now = self._behind.get(gateway, {}), time.monotonic()
        late = {job for job, _ in behind if now - self._called.get(job, now) > CALLED_SECONDS}
        for job, place in list(behind):
            account = self.ledger.accounts.get(job)
            waits = account is not None and place in account.reserved and place not in account.enqueued
            if not waits or job in late:
                del behind[job, place]
                self._called.pop(job, None)
        return list(behind.values())


def _waiting_first(ledger: Ledger, first: First, gateway: Key) -> Waiting | None:
    """Give the batch that tries first, if it waits for that."""
    if ledger.goes(first.job, first.place):
        return None
    account = ledger.accounts.get(first.job)
    if account is None or first.place not in account.behind:
        # It lacks something else by now, a place say, and is called for that.
        return None
    found = ledger.cache.get(first.job) or {}
    return waiting_of(first.job, first.place, account.behind[first.place], gateway, found)


@dataclass
class Places:
    """Says where each stands in line: those whose files are uploaded are before all others."""

    orders: Orders

    def in_line(self, group: str, asking: Waiting | None = None) -> list[Waiting]:
        """Give those of a group with an uploaded file that wait, as statuses tell, in the order in which they are to go.

        Of one that asks no status need tell yet. Those that try first are before all others.
        """
        waiting = {} if asking is None else {asking.job: asking}
        first: dict[Key, Waiting] = {}
        for gateway in self.orders.ledger.members(group):
            trying = self.orders.tries_first(gateway)
            for job, behind in self.orders.ledger.tallies.of(gateway).behind.items():
                place = next(iter(behind))
                found = waiting_of(job, place, behind[place], gateway, self.orders.ledger.cache.get(job) or {})
                is_first = trying is not None and (trying.job, trying.place) == (job, place)
                (first if is_first else waiting).setdefault(job, found)
        others = [item for job, item in waiting.items() if job not in first]
        return [*first.values(), *in_order(others, self.orders.ledger.enqueued_by_namespace(group))]

    def behind(self, job: Key, place: int, tokens: int, gateway: Key) -> Place:
        """Say where a job stands with a batch whose file is uploaded."""
        ledger = self.orders.ledger
        asking = waiting_of(job, place, tokens, gateway, ledger.cache.get(job) or {})
        return place_of(job, self.in_line(ledger.group(gateway).name, asking))

    def after_those_behind(self, group: str, place: Place) -> Place:
        """Put those before a place whose files are uploaded."""
        ledger = self.orders.ledger
        count, tokens = ledger.tallies.behind(ledger.members(group))
        return Place(place.position + count, place.ahead_tokens + tokens)

    def untrue(self, group: str, ordered: list[Waiting], *, many: bool) -> list[Key]:
        """Name those whose status tells a place that has halved, or has more than doubled since others have come before it.

        A write for each step of each would be one for each pair of them. Among many a place isn't told so exactly that one that
        has become larger could be held against it.
        """
        ledger = self.orders.ledger
        behind, _ = ledger.tallies.behind(ledger.members(group))
        positions: dict[Key, int] = {}
        for position, item in (*enumerate(self.in_line(group), 1), *enumerate(ordered, behind + 1)):
            positions.setdefault(item.job, position)
        told = {job: account.told for job in positions if (account := ledger.accounts.get(job)) is not None}
        halved = [job for job, known in told.items() if 2 * positions[job] <= known]
        return halved if many else halved + [job for job, known in told.items() if 0 < 2 * known < positions[job]]


def place_of(job: Key, ordered: Iterable[Waiting]) -> Place:
    """Find a job's place; it is the last one where it isn't among them."""
    position, ahead = 0, 0
    for position, item in enumerate(ordered, 1):
        if item.job == job:
            return Place(position, ahead)
        ahead += item.tokens
    return Place(position + 1, ahead)
