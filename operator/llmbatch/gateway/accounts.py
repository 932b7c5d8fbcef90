"""What a stored BatchJob has of its gateway's quota: what is reserved for it, and which of its batches waits in line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from llmbatch.api.batch_status import entries
from llmbatch.api.conditions import READY
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import lifecycle, remote_state
from llmbatch.gateway.line import Waiting
from llmbatch.runtime.cache import Json
from llmbatch.runtime.queue import Key

IN_LINE = frozenset({Reason.ACCEPTED, Reason.UPLOADING, Reason.QUOTA_EXCEEDED, Reason.SUBMITTING})
"""Reasons of a batch that lacks nothing but its turn. What waits for anything else holds nobody up."""

ABOUT_TO_GO = frozenset({Reason.ACCEPTED, Reason.UPLOADING, Reason.SUBMITTING, Reason.FILE_PENDING})
"""Reasons of a batch whose file is uploaded and whose order is next. For one that waits for anything else no tokens are
reserved: all of the group would wait for what nobody uses."""
NEXT_OF_ITS_GATEWAY = frozenset({
    Reason.BILLING_LIMIT,
    Reason.QUOTA_EXCEEDED,
    Reason.RATE_LIMITED,
    Reason.WAITING_FOR_SLOT,
})  # fmt: skip
"""Reasons of one that waits for what its own gateway lacks, which uploads no further file in its place."""


@dataclass(frozen=True)
class Group:
    """What shares one quota, as a gateway says."""

    name: str
    limit: int = 0
    """maxEnqueuedTokens of the gateway; 0: it admits without."""


@dataclass
class Account:
    """What a BatchJob has of a quota."""

    gateway: Key
    uid: str
    reserved: dict[int, int] = field(default_factory=dict)
    """Tokens of each batch that is at the provider or has its file there, by its place in the job."""
    idle: dict[int, int] = field(default_factory=dict)
    """Of these, what has its file there and isn't about to be ordered."""
    held: dict[int, int] = field(default_factory=dict)
    """Of those, what goes before further ones of its gateway."""
    behind: dict[int, int] = field(default_factory=dict)
    """Of those, what waits for tokens."""
    enqueued: dict[int, int] = field(default_factory=dict)
    """Of these, what the provider has, or may have by now."""
    ids: dict[int, str] = field(default_factory=dict)
    """Of the batches that have one, by their place."""
    waiting: Waiting | None = None
    told: int = 0
    """The position that its status tells; 0: none."""
    leaving: bool = False
    """It is being deleted, and begins nothing more."""

    @property
    def tokens(self) -> int:
        """What is reserved of the group's quota."""
        return sum(self.reserved.values()) - sum(self.idle.values())

    def at_rest(self) -> "Account":
        """Give it with nothing about to be ordered, and nothing kept from others for that."""
        idle = {place: tokens for place, tokens in self.reserved.items() if place not in self.enqueued}
        return replace(self, idle=idle, held={}, behind={}, waiting=None)


@dataclass(frozen=True)
class Share:
    """What a job adds to its gateway's tally."""

    gateway: Key
    tokens: int
    enqueued: int
    held: int
    behind: dict[int, int]
    waiting: Waiting | None


@dataclass
class Tally:
    """What the jobs of a gateway come to, kept as they change: to add them up would make each pass as long as there are some."""

    tokens: int = 0
    """Reserved, with what is claimed."""
    enqueued: int = 0
    """Of these, what the provider has, or is about to be given."""
    held: int = 0
    """Not reserved: of uploaded files that go before further ones of this gateway."""
    behind: dict[Key, dict[int, int]] = field(default_factory=dict)
    """By job: the tokens of batches that wait for some though their file is uploaded, by their place in the job."""
    behind_count: int = 0
    behind_tokens: int = 0
    waiting: dict[Key, Waiting] = field(default_factory=dict)
    """By job: its batch in line."""

    def take(self, job: Key, share: Share) -> None:
        """Add what a job has."""
        self.tokens += share.tokens
        self.enqueued += share.enqueued
        self.held += share.held
        self.behind_count += len(share.behind)
        self.behind_tokens += sum(share.behind.values())
        if share.behind:
            self.behind[job] = share.behind
        if share.waiting is not None:
            self.waiting[job] = share.waiting

    def drop(self, job: Key, share: Share) -> None:
        """Take away what a job had."""
        self.tokens -= share.tokens
        self.enqueued -= share.enqueued
        self.held -= share.held
        self.behind_count -= len(share.behind)
        self.behind_tokens -= sum(share.behind.values())
        self.behind.pop(job, None)
        self.waiting.pop(job, None)


@dataclass
class Tallies:
    """Those of all gateways."""

    _tallies: dict[Key, Tally] = field(default_factory=dict)
    _shares: dict[Key, Share] = field(default_factory=dict)
    """By job: what it has in its gateway's tally."""

    def of(self, gateway: Key) -> Tally:
        """Give a gateway's."""
        return self._tallies.get(gateway) or Tally()

    def behind(self, gateways: Iterable[Key]) -> tuple[int, int]:
        """Count the batches of some gateways that wait for tokens though their file is uploaded; answers their tokens too."""
        found = [self.of(gateway) for gateway in gateways]
        return sum(tally.behind_count for tally in found), sum(tally.behind_tokens for tally in found)

    def put(self, job: Key, share: Share | None) -> None:
        """Have a job in its gateway's tally as it is now; None: it has nothing any more."""
        if (before := self._shares.pop(job, None)) is not None:
            self._tallies[before.gateway].drop(job, before)
        if share is not None:
            self._tallies.setdefault(share.gateway, Tally()).take(job, share)
            self._shares[job] = share


def share_of(account: Account, claims: Mapping[int, int], going: Mapping[int, int]) -> Share:
    """Give what a job adds to its gateway's tally.

    Args:
        account: What its status tells.
        claims: Tokens of batches whose upload may begin, of which no status tells yet, by their place in the job.
        going: Those of batches that are about to be ordered.
    """
    held, behind = (
        {place: tokens for place, tokens in of.items() if place not in going} for of in (account.held, account.behind)
    )
    tokens = account.tokens + sum(claims.values()) + sum(account.idle.get(place, 0) for place in going)
    enqueued = sum({**going, **account.enqueued}.values())
    waiting = None if claims else account.waiting
    return Share(account.gateway, tokens, enqueued, sum(held.values()), behind, waiting)


def group_of(gateway: Json) -> Group:
    """Read from a stored BatchGateway which quota it shares."""
    spec = gateway.get("spec") or {}
    limits = spec.get("limits") or {}
    most = limits.get("maxEnqueuedTokens")
    default = f"{str(spec.get('url', '')).rstrip('/')}{spec.get('batchesPath') or '/batches'}"
    return Group(str(limits.get("quotaGroup") or default), most if isinstance(most, int) else 0)


def account_of(key: Key, gateway: Key, found: Json) -> Account | None:
    """Read from a stored BatchJob what it has; None: nothing, any more."""
    if remote_state.is_ended(found):
        return None
    metadata, status = found.get("metadata") or {}, found.get("status") or {}
    batches = entries(status)
    alone = (status.get("input") or {}).get("estimatedTokens") if not status.get("parts") else None
    told, leaving = (status.get("queue") or {}).get("position"), "deletionTimestamp" in metadata
    account = Account(gateway, str(metadata.get("uid", "")), told=int(told or 0), leaving=leaving)
    for place, batch in enumerate(batches):
        tokens = int(batch.get("estimatedTokens") or alone or 0)
        made = batch.get("id")
        if made:
            account.ids[place] = str(made)
        if batch.get("status") not in lifecycle.ENDED if made else batch.get("submission"):
            account.enqueued[place] = account.reserved[place] = tokens
        elif not made and batch.get("inputFileID") and not _is_over(batch) and not leaving:
            account.reserved[place] = tokens
            why = _reason(found, batch)
            if why not in ABOUT_TO_GO:
                account.idle[place] = tokens
            if why in NEXT_OF_ITS_GATEWAY:
                account.held[place] = tokens
            if why == Reason.QUOTA_EXCEEDED:
                account.behind[place] = tokens
    first = next((place for place, batch in enumerate(batches) if _has_not_begun(batch)), None)
    if any(_waits_for_its_batch(batch) for batch in batches):
        # The job sends no further file before that one has its batch (parts.to_look_at), whatever is free.
        first = None
    if first is not None and status.get("parts") and not leaving and _lacks_tokens_alone(found, account, first):
        tokens = int(batches[first].get("estimatedTokens") or 0)
        account.waiting = waiting_of(key, first, tokens, gateway, found)
    return account


def _reason(found: Json, batch: Json) -> str:
    """Say for what a batch waits; of a job with a single one, which has no words of its own, the job tells."""
    told = batch.get("state")
    if told is None and not remote_state.has_parts(found):
        conditions = (found.get("status") or {}).get("conditions") or []
        told = next((item for item in conditions if item.get("type") == READY), None)
    return str((told or {}).get("reason") or Reason.ACCEPTED)


def waiting_of(key: Key, place: int, tokens: int, gateway: Key, found: Json) -> Waiting:
    """Put a batch of a stored BatchJob in line."""
    made = str((found.get("metadata") or {}).get("creationTimestamp", ""))
    return Waiting(key, place, tokens, (found.get("spec") or {}).get("priority") or 0, made, gateway)


def _lacks_tokens_alone(found: Json, account: Account, place: int) -> bool:
    """Tell whether neither the job (spec.parallelism, FailJob) nor any trouble keeps the batch from beginning."""
    most, status = (found.get("spec") or {}).get("parallelism") or 0, found.get("status") or {}
    if status.get("stopped") or (most and len(account.reserved) >= most):
        return False
    # Without one it has not been said to lack anything.
    state = entries(status)[place].get("state") or {}
    return state.get("reason", Reason.ACCEPTED) in IN_LINE


def _has_not_begun(batch: Json) -> bool:
    begun = any(batch.get(name) for name in ("inputFileID", "id", "submission", "refusal"))
    return not begun and not _is_over(batch)


def _waits_for_its_batch(batch: Json) -> bool:
    begun = batch.get("inputFileID") or batch.get("submission")
    return bool(begun) and not batch.get("id") and not _is_over(batch)


def _is_over(batch: Json) -> bool:
    return bool(batch.get("refusal")) or (batch.get("state") or {}).get("phase") in lifecycle.TERMINAL
