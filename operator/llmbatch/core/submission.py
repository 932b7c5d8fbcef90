"""Recognising our own batch among all those that a gateway lists."""

from datetime import datetime, timedelta

from llmbatch.core.wire import Page, RemoteBatch

CLOCK_MARGIN = timedelta(minutes=10)
"""How far the provider's clock may be off ours."""


def horizon(intent_time: datetime) -> datetime:
    """Give the moment before which no batch of an intent can have been made."""
    return intent_time - CLOCK_MARGIN


def matches(batch: RemoteBatch, input_file_id: str | None, uid: str, oldest: datetime) -> bool:
    """Tell whether a batch is ours: made of our file, which nobody else knows, or with our uid in its metadata.

    A gateway may lose the metadata, so that either is enough. The file's id is unique to us, whatever the clocks say; our
    uid counts only in batches that are not older than the intent.
    """
    if input_file_id is not None and batch.input_file_id == input_file_id:
        return True
    if batch.created_at is not None and batch.created_at < oldest:
        return False
    return batch.metadata.get("llmbatch_uid") == uid


def is_newest_first(page: Page) -> bool:
    """Tell whether a page is sorted from new to old; the order of Azure's list is documented nowhere."""
    moments = [batch.created_at for batch in page.batches if batch.created_at is not None]
    return len(moments) > 1 and moments[0] > moments[-1] and moments == sorted(moments, reverse=True)
