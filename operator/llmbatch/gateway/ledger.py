"""Tokens that the gateways of each quota group have reserved, and who waits for some: added up from the cache as it changes."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from llmbatch.gateway.accounts import Account, Group, Share, Tallies, Tally, account_of, group_of, share_of
from llmbatch.gateway.line import Waiting
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB, Cache, Json
from llmbatch.runtime.queue import Key

NOBODY = Group("")


@dataclass
class Steps:
    """What jobs are about to do, of which no status tells yet."""

    claims: dict[Key, dict[int, int]] = field(default_factory=dict)
    """By job: the tokens of batches whose upload may begin, by their place in the job."""
    going: dict[Key, dict[int, int]] = field(default_factory=dict)
    """By job: the tokens of batches that are about to be ordered, by their place."""
    stuck: dict[Key, Account] = field(default_factory=dict)
    """Jobs that get nothing done, as they were then: nothing is reserved for what they would do next."""

    def share(self, job: Key, account: Account | None) -> Share | None:
        """Give what a job adds to its gateway's tally; None: nothing any more."""
        if account is None:
            return None
        known = account.at_rest() if job in self.stuck else account
        return share_of(known, self.claims.get(job, {}), self.going.get(job, {}))

    def changed(self, job: Key, before: Account | None, account: Account | None) -> None:
        """Take it that a job has something else by now; None: nothing."""
        if account is None or account.leaving or (before is not None and before.uid != account.uid):
            self.claims.pop(job, None)
        for place in self.claims.get(job, {}).keys() & (account.reserved.keys() if account is not None else set()):
            del self.claims[job][place]
        if account is None or (before is not None and before != account):
            # It is ordered by now, or has met something else.
            self.going.pop(job, None)
        if self.stuck.get(job) != account:
            self.stuck.pop(job, None)

    def give_up(self, job: Key, account: Account) -> bool:
        """Drop what a job was about to do; answers whether that leaves anything to others."""
        given = [self.claims.pop(job, None), self.going.pop(job, None), self.stuck.get(job) != account]
        self.stuck[job] = account
        return any(given)


@dataclass
class Ledger:
    """Follows the cache. What jobs are about to do comes before it."""

    cache: Cache
    groups: dict[Key, Group] = field(default_factory=dict)
    """By gateway."""
    accounts: dict[Key, Account] = field(default_factory=dict)
    """By job; of those that have not ended."""
    moved: set[str] = field(default_factory=set)
    """Groups in which something has changed since somebody has looked."""
    tallies: Tallies = field(default_factory=Tallies)
    _steps: Steps = field(default_factory=Steps)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # a scrape reads from a thread of its own

    def __post_init__(self) -> None:
        """Follow the cache."""
        self.cache.listen(self._changed)

    def group(self, gateway: Key) -> Group:
        """Say which quota a gateway shares."""
        return self.groups.get(gateway, NOBODY)

    def members(self, group: str) -> list[Key]:
        """Name the gateways of a group."""
        return [gateway for gateway, found in list(self.groups.items()) if found.name == group]

    def by_namespace(self, group: str) -> dict[str, int]:
        """Give the tokens that each namespace has reserved of a group's quota."""
        return self._sums(group, lambda tally: tally.tokens)

    def enqueued(self, group: str) -> int:
        """Give the tokens of a group's batches that the provider has, or is about to be given."""
        return sum(self.enqueued_by_namespace(group).values())

    def enqueued_by_namespace(self, group: str) -> dict[str, int]:
        """Give them for each namespace."""
        return self._sums(group, lambda tally: tally.enqueued)

    def _sums(self, group: str, of: Callable[[Tally], int]) -> dict[str, int]:
        found: dict[str, int] = {}
        with self._lock:
            for gateway in self.members(group):
                found[gateway.namespace] = found.get(gateway.namespace, 0) + of(self.tallies.of(gateway))
        return found

    def goes(self, job: Key, place: int) -> bool:
        """Tell whether a batch is about to be ordered."""
        return place in self._steps.going.get(job, {})

    def go(self, job: Key, place: int, tokens: int) -> None:
        """Count a batch as enqueued that is about to be ordered: the cache shows it only afterwards."""
        with self._lock:
            self._steps.going.setdefault(job, {})[place] = tokens
            self._count(job)

    def stay(self, job: Key, place: int) -> None:
        """Take that back: it was refused, or lacks something else."""
        if not self.goes(job, place):
            return
        with self._lock:
            del self._steps.going[job][place]
            self._count(job)
        if (account := self.accounts.get(job)) is not None:
            self.moved.add(self.group(account.gateway).name)

    def waiting(self, gateways: Iterable[Key]) -> list[Waiting]:
        """Give who waits, of the jobs of some gateways: of each job the next batch. What can never fit waits for a person."""
        with self._lock:
            return [
                item
                for gateway in gateways
                for item in self.tallies.of(gateway).waiting.values()
                if item.tokens <= self.group(gateway).limit
            ]

    def tokens_of(self, job: Key, place: int) -> int:
        """Give the tokens of a batch that is at the provider or about to be; 0: it isn't."""
        account = self.accounts.get(job)
        return account.reserved.get(place, 0) if account is not None else 0

    # --- claims ------------------------------------------------------------------------------------------------------

    def has_claimed(self, job: Key, place: int) -> bool:
        """Tell whether a batch's tokens are reserved already, though its status doesn't tell of it."""
        return place in self._steps.claims.get(job, {})

    def claim(self, job: Key, place: int, tokens: int) -> None:
        """Reserve a batch's tokens, unless its job goes or has gone by now: whoever has its name later has claimed nothing."""
        if (account := self.accounts.get(job)) is None or account.leaving:
            return
        with self._lock:
            self._steps.claims.setdefault(job, {})[place] = tokens
            self._count(job)

    def release(self, job: Key, place: int) -> None:
        """Give a claim back."""
        with self._lock:
            given = self._steps.claims.get(job, {}).pop(place, None)
            self._count(job)
        account = self.accounts.get(job)
        if given is not None and account is not None:
            self.moved.add(self.group(account.gateway).name)

    def give_up(self, job: Key) -> None:
        """Give back all that is reserved for a job's next steps, which fail again and again; what is at the provider stays."""
        account = self.accounts.get(job)
        if account is None:
            return
        with self._lock:
            given = self._steps.give_up(job, account)
            self._count(job)
        if given:
            self.moved.add(self.group(account.gateway).name)

    def goes_well(self, job: Key) -> None:
        """Have a job stand in line as any other, whatever failed before."""
        if (account := self._steps.stuck.pop(job, None)) is not None:
            with self._lock:
                self._count(job)
            self.moved.add(self.group(account.gateway).name)

    # --- the cache ---------------------------------------------------------------------------------------------------

    def _changed(self, key: Key, _: Json | None, found: Json | None) -> None:
        if key.kind == BATCHGATEWAY:
            before = self.group(key)
            with self._lock:
                if found is None:
                    self.groups.pop(key, None)
                else:
                    self.groups[key] = group_of(found)
            if self.group(key) != before:
                self.moved |= {before.name, self.group(key).name}
        elif key.kind == BATCHJOB:
            with self._lock:
                self._job_changed(key, found)

    def _job_changed(self, key: Key, found: Json | None) -> None:
        before = self.accounts.pop(key, None)
        account = None if found is None else account_of(key, self.cache.gateway_of(key), found)
        if account is not None:
            self.accounts[key] = account
        self._steps.changed(key, before, account)
        self._count(key)
        if account != before:
            self.moved |= {self.group(item.gateway).name for item in (before, account) if item is not None}

    def _count(self, job: Key) -> None:
        """Have a job in its gateway's tally as it is now."""
        self.tallies.put(job, self._steps.share(job, self.accounts.get(job)))
