"""Recognising our own batches among all those that a gateway lists, and choosing the one to keep."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from llmbatch.api.batch_status import MOST_REFUSED, MOST_REFUSED_CHARACTERS
from llmbatch.provider.pure.ids import MAX_ID
from llmbatch.provider.pure.pages import is_newest_first
from llmbatch.provider.pure.wire import RemoteBatch

__all__ = [
    "by_use",
    "came_too_late",
    "horizon",
    "is_newest_first",
    "is_of_another_attempt",
    "is_of_several",
    "is_over",
    "is_unclear",
    "last_refused",
    "matches",
    "was_refused",
]

CLOCK_MARGIN = timedelta(minutes=15)
"""How far the provider's clock may be off ours."""
OF_NO_USE = frozenset({"failed", "cancelling", "cancelled"})
"""Statuses of a batch that isn't worth keeping while another one lives."""


def horizon(moment: datetime) -> datetime:
    """Give the moment, by the provider's clock, before which no batch can have been made that was ordered after this one."""
    return moment - CLOCK_MARGIN


def matches(batch: RemoteBatch, input_file_id: str | None, uid: str, part: str | None, oldest: datetime) -> bool:
    """Tell whether a batch is ours: made of our file, which nobody else knows, or with our uid in its metadata.

    A gateway may lose the metadata, so that either is enough. The file's id is unique to us, whatever the clocks say; our
    uid counts only in batches that are not older than the intent, and of the same part and attempt (Batch.label), of a job with
    several. What names somebody else's uid is
    theirs in any case.
    """
    named = batch.metadata.get("llmbatch_uid", "")
    if named not in ("", uid):
        return False
    if input_file_id is not None and batch.input_file_id == input_file_id:
        return True
    if batch.created_at is not None and batch.created_at < oldest:
        return False
    said = batch.metadata.get("llmbatch_part") or None
    return named == uid and (part is None or said is None or said == part)


def is_of_several(batch: RemoteBatch) -> bool:
    """Tell whether a batch says that its job has several."""
    return bool(batch.metadata.get("llmbatch_parts"))


def is_unclear(batch: RemoteBatch, oldest: datetime) -> bool:
    """Tell whether a listed batch says so little of itself that it may be ours.

    Azure leaves everything out in a batch that was just made; one from blob storage has no file, but says so.
    """
    return batch.is_nameless and (batch.created_at is None or batch.created_at >= oldest)


def was_refused(batch: RemoteBatch, refused: Collection[str]) -> bool:
    """Tell whether a batch is one of those that the provider refused for a reason that passes, and that are made good.

    When there were more of them than status holds, whichever has failed is taken for one: it cost nothing.
    """
    # Another one of any length would perhaps have taken the place of an earlier one.
    may_lack = len(refused) >= MOST_REFUSED or sum(map(len, refused)) > MOST_REFUSED_CHARACTERS - MAX_ID
    return batch.id in refused or (may_lack and batch.status == "failed")


def last_refused(ids: Sequence[str]) -> list[str]:
    """Give the last of them, as far as status holds them."""
    kept: list[str] = []
    room = MOST_REFUSED_CHARACTERS
    for batch_id in reversed(ids[-MOST_REFUSED:]):
        room -= len(batch_id)
        if room < 0:
            break
        kept.insert(0, batch_id)
    return kept


def came_too_late(batch: RemoteBatch, attempt: int) -> bool:
    """Tell whether a batch was cancelled as a duplicate when it came too late; it is not what this attempt has come to."""
    return is_of_another_attempt(batch, attempt) and is_over(batch)


def is_of_another_attempt(batch: RemoteBatch, attempt: int) -> bool:
    """Tell whether a batch says that it was made by another attempt than this."""
    return batch.metadata.get("llmbatch_attempt", str(attempt)) not in ("", str(attempt))


def is_over(batch: RemoteBatch) -> bool:
    """Tell whether a batch was cancelled, or is just being."""
    return batch.status in ("cancelling", "cancelled")


def by_use(found: Iterable[RemoteBatch], *, recorded: str | None, unknown: datetime) -> list[RemoteBatch]:
    """Sort batches of one submission, the one to keep first: the oldest that is of use.

    Args:
        found: The batches.
        recorded: Id of the one in status; it is kept if another one is only as old.
        unknown: Stands for a moment of creation that isn't told.
    """
    return sorted(
        found,
        key=lambda batch: (
            batch.status in OF_NO_USE,
            batch.created_at or unknown,
            batch.id != recorded,
            batch.id,
        ),
    )
