"""Batches whose file is uploaded, since the provider has refused one: which tries first, and which may follow it."""

import time
from dataclasses import dataclass, field

from llmbatch.gateway.accounts import waiting_of
from llmbatch.gateway.ledger import Ledger
from llmbatch.gateway.lessons import Lessons
from llmbatch.gateway.line import Waiting, admitted, in_order
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


@dataclass
class Orders:
    """Has them wait for each other."""

    ledger: Ledger
    lessons: Lessons
    _first: dict[Key, First] = field(default_factory=dict)
    """By gateway."""
    _behind: dict[Key, dict[Key, Waiting]] = field(default_factory=dict)
    """By gateway: the batch that waits, of each job."""
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
            self._behind.setdefault(gateway, {})[job] = asking
            if first is not None:
                return self.ledger.tokens_of(first.job, first.place)
            if asking not in self._may_go(group.name):
                return 0
        self._behind.get(gateway, {}).pop(job, None)
        self.ledger.go(job, place, tokens)
        return None

    def refused(self, job: Key, place: int, tokens: int, gateway: Key) -> None:
        """Have the gateway learn from a refusal, and the batch try first, if no other does."""
        group, account = self.ledger.group(gateway), self.ledger.accounts.get(job)
        self.ledger.stay(job, place)
        counted = account is not None and place in account.enqueued
        self.lessons.learn(gateway, group.limit, self.ledger.enqueued(group.name) + (0 if counted else tokens))
        if self.tries_first(gateway) is None:
            self._first[gateway] = First(job, place, account.ids.get(place) if account is not None else None)

    def rises_in(self, gateway: Key, tokens: int) -> float | None:
        """Give the seconds until what was learnt has risen so far that so many tokens more fit; None: it takes something else."""
        group = self.ledger.group(gateway)
        return self.lessons.rises_in(gateway, group.limit, self.ledger.enqueued(group.name) + tokens)

    def let_go(self, gateway: Key) -> list[Key]:
        """Name those of a gateway's group with an uploaded file whose turn it is, if they haven't been called already."""
        if not any(self._behind.values()):
            return []
        called = [item.job for item in self._may_go(self.ledger.group(gateway).name) if item.job not in self._called]
        self._called |= dict.fromkeys(called, time.monotonic())
        return called

    def _may_go(self, group: str) -> list[Waiting]:
        """Give those that wait for no other one to try first, and for whom there is room, in the order of the line."""
        members = [gateway for gateway in self.ledger.members(group) if self.tries_first(gateway) is None]
        waiting = [item for gateway in members for item in self._alive(gateway)]
        if not waiting:
            return []
        limits = {gateway: self.lessons.limit(gateway, self.ledger.group(gateway).limit) for gateway in members}
        enqueued = self.ledger.enqueued_by_namespace(group)
        ordered = in_order(waiting, enqueued)
        return admitted(ordered, sum(enqueued.values()), limits.__getitem__, max(limits.values()))

    def _alive(self, gateway: Key) -> list[Waiting]:
        """Give those that wait; one that has been ordered, has gone or doesn't come when it is called is dropped."""
        behind, now = self._behind.get(gateway, {}), time.monotonic()
        for job, item in list(behind.items()):
            account = self.ledger.accounts.get(job)
            waits = account is not None and item.batch in account.reserved and item.batch not in account.enqueued
            if not waits or now - self._called.get(job, now) > CALLED_SECONDS:
                del behind[job]
                self._called.pop(job, None)
        return list(behind.values())
