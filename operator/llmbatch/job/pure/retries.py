"""Requests that failed in a way that may pass: which batches send them again, and when.

What is unfinished of a batch goes into the next attempt's file as a whole; small rests of several parts go together. While
other batches of the same attempt are under way, only what fills a file is sent: a job with a few failures in each of a
hundred parts has one batch more, not a hundred.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchgateway import GatewayLimits
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.decision import Wait
from llmbatch.job.pure.parts import follower, has_ended
from llmbatch.transfer.pure.plan import Rests, StoredRest, part_name, parts_folder, rest_path
from llmbatch.transfer.pure.report import Problem

LONGEST_SECONDS = 3600.0
FULL = 0.9
"""A rest that takes this share of what a file may hold doesn't wait for others."""
MOST_HERE_BYTES = 16 * 1024 * 1024
"""So much is sent again from the operator's own memory, where the results go into a Secret or ConfigMap: it serves all jobs."""


@dataclass(frozen=True)
class Terms:
    """What decides about another attempt."""

    most_attempts: int
    delay_seconds: float
    """Before the second attempt; it doubles with each."""
    most_requests: int
    most_bytes: int
    extra_bytes: int
    """What a line may grow by when it is sent, since spec.model replaces the one it names."""
    most_tokens: int = 0
    """Of one batch, estimated, as when an input is cut; 0: there is no limit."""

    @classmethod
    def of(cls, spec: BatchJobSpec, limits: GatewayLimits, delay_seconds: float) -> "Terms":
        """Read them from a job's spec and its gateway's limits."""
        is_far = spec.output.persistent_volume_claim is not None
        return cls(
            most_attempts=1 + spec.backoff_limit_per_request,
            delay_seconds=delay_seconds,
            most_requests=limits.max_requests_per_file,
            most_bytes=limits.max_file_bytes if is_far else min(limits.max_file_bytes, MOST_HERE_BYTES),
            extra_bytes=0 if spec.model is None else 6 * len(spec.model) + 16,
            most_tokens=limits.max_enqueued_tokens,
        )

    def size(self, batch: Batch) -> int:
        """Give what a batch's unfinished requests take in a file, at the most."""
        rest = batch.unfinished
        return rest.bytes + self.extra_bytes * rest.requests if rest is not None else 0


def may_be_retried(status: BatchJobStatus, batch: Batch, most_attempts: int) -> bool:
    """Tell whether what fails of a batch in a way that may pass is sent again.

    Not after the last attempt, not once the job is stopped, and not what was refused as a whole or what a person has
    cancelled at the provider.
    """
    over = (batch.attempt or 1) >= most_attempts or status.stopped is not None
    return not over and batch.refusal is None and batch.status != "cancelled"


def is_open(status: BatchJobStatus, batch: Batch, spec: BatchJobSpec) -> bool:
    """Tell the same by a job's spec."""
    return may_be_retried(status, batch, 1 + spec.backoff_limit_per_request)


def followed(status: BatchJobStatus, batch: Batch) -> list[Batch]:
    """Give the batches whose unfinished requests another one sends again, in the order in which it does."""
    attempt = (batch.attempt or 1) - 1
    return [item for item in status.batches if item.attempt == attempt and item.part in batch.parts]


def rests(status: BatchJobStatus, batch: Batch, uid: str) -> Rests | None:
    """Say which stored files a later attempt sends; None: it is the first."""
    if not batch.parts:
        return None
    files = [
        StoredRest(
            name=rest_path(part_name(item.part or 0, item.attempt)),
            bytes=item.unfinished.bytes,
            crc32=int(item.unfinished.crc32 or "0", 16),
        )
        for item in followed(status, batch)
        if item.unfinished is not None and item.unfinished.requests
    ]
    return Rests(folder=parts_folder(uid), files=files)


def too_much(status: BatchJobStatus, batch: Batch) -> Problem | None:
    """Say why the operator can't itself send what a later attempt sends; None: it can."""
    size = sum(item.unfinished.bytes for item in followed(status, batch) if item.unfinished is not None)
    if size <= MOST_HERE_BYTES:
        return None
    message = (
        f"the requests that are to be sent again have {size} bytes, more than the {MOST_HERE_BYTES} that the operator sends"
        " itself; name a PersistentVolumeClaim in spec.output, and they are sent by a pod"
    )
    return Problem(reason=Reason.OUTPUT_TOO_LARGE, message=message)


def owing(status: BatchJobStatus, most_attempts: int) -> list[Batch]:
    """Give the batches whose unfinished requests are to be sent again and are not yet, in the order of the parts."""
    found = [
        batch
        for batch in status.batches
        if batch.unfinished is not None
        and batch.unfinished.requests
        and may_be_retried(status, batch, most_attempts)
        and follower(status, batch) is None
    ]
    return sorted(found, key=lambda batch: (batch.attempt or 1, batch.part or 0))


def due(batch: Batch, delay_seconds: float) -> datetime:
    """Give the moment from which on a batch's unfinished requests may be sent again.

    Raises:
        ValueError: It is not known to have any.
    """
    if batch.unfinished is None:
        raise ValueError("nothing is known to be unfinished")
    delay = delay_seconds * 2.0 ** ((batch.attempt or 1) - 1)
    return batch.unfinished.since_time + timedelta(seconds=min(delay, LONGEST_SECONDS))


def with_followers(status: BatchJobStatus, terms: Terms, now: datetime) -> BatchJobStatus | None:
    """Put in the batches that are to send unfinished requests again; None: there are none now."""
    made: list[Batch] = []
    found = owing(status, terms.most_attempts)
    for attempt in sorted({batch.attempt or 1 for batch in found}):
        ready = [batch for batch in found if (batch.attempt or 1) == attempt]
        under_way = _under_way(status, attempt)
        late = [batch for batch in ready if due(batch, terms.delay_seconds) > now]
        if late and not under_way:
            # A moment more, and they go together.
            continue
        groups = _groups([batch for batch in ready if batch not in late], terms)
        made += [_follower(group, attempt + 1, terms) for group in groups if not under_way or _is_full(group, terms)]
    return status.model_copy(update={"batches": [*status.batches, *made]}) if made else None


def _under_way(status: BatchJobStatus, attempt: int) -> bool:
    """Tell whether a batch of an attempt may still leave requests unfinished; or one of an earlier attempt, by way of it."""
    return any(
        (batch.attempt or 1) <= attempt and batch.unfinished is None and batch.refusal is None and not has_ended(batch)
        for batch in status.batches
    )


def _groups(batches: list[Batch], terms: Terms) -> Iterator[list[Batch]]:
    """Put rests together, in their order, as far as one file takes them, and the gateway's quota."""
    group: list[Batch] = []
    for batch in batches:
        if group and not _fits([*group, batch], terms):
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def _fits(group: list[Batch], terms: Terms) -> bool:
    return _share(group, terms) <= 1


def _is_full(group: list[Batch], terms: Terms) -> bool:
    return _share(group, terms) >= FULL


def _share(group: list[Batch], terms: Terms) -> float:
    """Give how much of what a batch may hold these rests take, by what they take the most of."""
    tokens = sum(map(_tokens, group)) / terms.most_tokens if terms.most_tokens else 0.0
    return max(_requests(group) / terms.most_requests, sum(map(terms.size, group)) / terms.most_bytes, tokens)


def _requests(group: list[Batch]) -> int:
    return sum(batch.unfinished.requests for batch in group if batch.unfinished is not None)


def _follower(group: list[Batch], attempt: int, terms: Terms) -> Batch:
    parts = sorted({part for batch in group for part in (batch.parts or [batch.part or 0])})
    return Batch(
        part=group[0].part or 0,
        attempt=attempt,
        parts=parts,
        requests=_requests(group),
        bytes=sum(map(terms.size, group)),
        estimated_tokens=sum(map(_tokens, group)) or None,
    )


def _tokens(batch: Batch) -> int:
    """Estimate what a batch's unfinished requests take: their share of what all of it did."""
    rest = batch.unfinished
    if rest is None or not batch.requests:
        return 0
    return -(-(batch.estimated_tokens or 0) * rest.requests // batch.requests)


def wait(status: BatchJobStatus, terms: Terms, now: datetime) -> Wait | None:
    """Say what is waited for before requests are sent again; None: nothing is to be."""
    found = owing(status, terms.most_attempts)
    if not found:
        return None
    attempt = min(batch.attempt or 1 for batch in found)
    of_it = [batch for batch in found if (batch.attempt or 1) == attempt]
    moment = max(due(batch, terms.delay_seconds) for batch in of_it)
    parts = sorted({part for batch in of_it for part in (batch.parts or [batch.part or 0])})
    where = f"part {parts[0]}" if len(parts) == 1 else f"{len(parts)} parts"
    told = (
        f"{_requests(of_it)} requests of {where} failed in a way that may pass; they are sent again"
        f" (attempt {attempt + 1} of {terms.most_attempts})"
    )
    left = (moment - now).total_seconds()
    if _under_way(status, attempt):
        told += ", together with those of the batches that are under way, unless they are many."
        return Wait(Reason.WAITING_TO_RETRY, told, after=left if left > 0 else None)
    return Wait(Reason.WAITING_TO_RETRY, f"{told} at {moment:%H:%M:%S} UTC.", after=max(0.05, left))
