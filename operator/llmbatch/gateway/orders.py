"""Batches whose file is uploaded, since the provider has refused one: which tries first, and how many may follow it."""

from dataclasses import dataclass, field

from llmbatch.gateway.ledger import Ledger
from llmbatch.gateway.lessons import Lessons
from llmbatch.runtime.queue import Key


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
    _behind: dict[Key, dict[Key, int]] = field(default_factory=dict)
    """By gateway: the jobs that wait, and the tokens of their batch; the first to wait first."""

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
        first = self.tries_first(gateway)
        if first is not None and (first.job, first.place) != (job, place):
            self._behind.setdefault(gateway, {}).setdefault(job, tokens)
            return self.ledger.tokens_of(first.job, first.place)
        if first is None and not self._fits(gateway, self.ledger.enqueued(group.name), tokens):
            self._behind.setdefault(gateway, {}).setdefault(job, tokens)
            return 0
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
        """Name those with an uploaded file for which there is room again, if nobody tries first."""
        group, behind = self.ledger.group(gateway), self._behind.get(gateway, {})
        if not behind or self.tries_first(gateway) is not None:
            return []
        enqueued, found = self.ledger.enqueued(group.name), []
        for job, tokens in list(behind.items()):
            if not self._fits(gateway, enqueued, tokens):
                break
            enqueued += tokens
            found.append(job)
            del behind[job]
        return found

    def _fits(self, gateway: Key, enqueued: int, tokens: int) -> bool:
        """Tell whether there is room beside what the provider has; with nothing there, it alone can say that it is too much."""
        return not enqueued or enqueued + tokens <= self.lessons.limit(gateway, self.ledger.group(gateway).limit)
