"""What a stored BatchJob has of its gateway's quota: what is reserved for it, and which of its batches waits in line."""

from dataclasses import dataclass, field

from llmbatch.api.batch_status import entries
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import lifecycle, remote_state
from llmbatch.gateway.line import Waiting
from llmbatch.runtime.cache import Json
from llmbatch.runtime.queue import Key

IN_LINE = frozenset({Reason.ACCEPTED, Reason.UPLOADING, Reason.QUOTA_EXCEEDED, Reason.SUBMITTING})
"""Reasons of a batch that lacks nothing but its turn. What waits for anything else holds nobody up."""


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
    """Tokens of each batch that is at the provider or about to be, by its place in the job."""
    enqueued: dict[int, int] = field(default_factory=dict)
    """Of these, what the provider has, or may have by now."""
    ids: dict[int, str] = field(default_factory=dict)
    """Of the batches that have one, by their place."""
    waiting: Waiting | None = None
    told: int = 0
    """The position that its status tells; 0: none."""

    @property
    def tokens(self) -> int:
        """All that is reserved."""
        return sum(self.reserved.values())


@dataclass(frozen=True)
class Share:
    """What a job adds to its gateway's tally."""

    gateway: Key
    tokens: int
    enqueued: int
    waiting: Waiting | None


@dataclass
class Tally:
    """What the jobs of a gateway come to, kept as they change: to add them up would make each pass as long as there are some."""

    tokens: int = 0
    """Reserved, with what is claimed."""
    enqueued: int = 0
    """Of these, what the provider has, or is about to be given."""
    waiting: dict[Key, Waiting] = field(default_factory=dict)
    """By job: its batch in line."""

    def take(self, job: Key, share: Share) -> None:
        """Add what a job has."""
        self.tokens += share.tokens
        self.enqueued += share.enqueued
        if share.waiting is not None:
            self.waiting[job] = share.waiting

    def drop(self, job: Key, share: Share) -> None:
        """Take away what a job had."""
        self.tokens -= share.tokens
        self.enqueued -= share.enqueued
        self.waiting.pop(job, None)


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
    account = Account(gateway, str(metadata.get("uid", "")), told=int((status.get("queue") or {}).get("position") or 0))
    leaving = "deletionTimestamp" in metadata
    for place, batch in enumerate(batches):
        tokens = int(batch.get("estimatedTokens") or alone or 0)
        made = batch.get("id")
        if made:
            account.ids[place] = str(made)
        if batch.get("status") not in lifecycle.ENDED if made else batch.get("submission"):
            account.enqueued[place] = account.reserved[place] = tokens
        elif not made and batch.get("inputFileID") and not _is_over(batch) and not leaving:
            account.reserved[place] = tokens
    first = next((place for place, batch in enumerate(batches) if _has_not_begun(batch)), None)
    if first is not None and status.get("parts") and not leaving and _lacks_tokens_alone(found, account, first):
        tokens = int(batches[first].get("estimatedTokens") or 0)
        account.waiting = waiting_of(key, first, tokens, gateway, found)
    return account


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


def _is_over(batch: Json) -> bool:
    return bool(batch.get("refusal")) or (batch.get("state") or {}).get("phase") in lifecycle.TERMINAL
