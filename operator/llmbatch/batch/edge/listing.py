"""Reading the gateway's list of batches for those of one job."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from llmbatch import crash
from llmbatch.api.reasons import Reason
from llmbatch.batch.directory.readings import Reading
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure.submission import is_unclear, matches, was_refused
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound, Refused
from llmbatch.provider.pure.pages import Following
from llmbatch.provider.pure.wire import RemoteBatch

MOST_PAGES = 500


@dataclass(frozen=True)
class Found:
    """A job's batches, as far as they are listed."""

    batches: tuple[RemoteBatch, ...]
    whole: bool
    """The list was followed to an end that it states, or as far back as need be, and could be read: there are no others."""
    unusable: bool = False
    """One of the job's is listed under an id that no path can hold: it is there, and nothing can be done with it."""
    failed: Failure | None = None
    """What kept a later page from being read."""


async def list_ours(reading: Reading, seen: Seen, oldest: datetime) -> Found | Failure:
    """Find a job's batches; `oldest` is the moment, by the provider's clock, before which none can have been made.

    A list that breaks off after some of them were found still tells of these.
    """
    refused = seen.observation.batch.refused_ids
    is_ours = _recognising(seen, oldest)
    found: dict[str, RemoteBatch] = {}
    following = Following(oldest, MOST_PAGES)
    unusable, goes_on = False, True
    while goes_on:
        with crash.around(crash.Effect.LOOK_UP):
            answer = await reading.page(following.after)
        if not isinstance(answer, Answered):
            # A later page that isn't there says nothing about whether there is a list.
            told = found or (following.after is not None and _is_missing(answer))
            return Found(tuple(found.values()), whole=False, unusable=unusable, failed=answer) if told else answer
        page = answer.value
        found |= {batch.id: batch for batch in page.batches if not was_refused(batch, refused) and is_ours(batch)}
        unusable = unusable or any(map(is_ours, page.unusable))
        goes_on = following.take(
            page,
            sum(
                is_unclear(batch, oldest)
                for batch in (*page.batches, *page.unusable)
                if batch.id not in found and not was_refused(batch, refused)
            ),
        )
    return Found(tuple(found.values()), whole=following.whole, unusable=unusable)


def _recognising(seen: Seen, oldest: datetime) -> Callable[[RemoteBatch], bool]:
    uid, batch, others = seen.observation.status_uid, seen.observation.batch, seen.files_of_others
    # Whether a job that has lost its status had several is not known.
    part = batch.label if batch.is_one_of_several else None

    def is_ours(found: RemoteBatch) -> bool:
        # A gateway may have left the job's uid in the metadata, and nothing of which part it is.
        return found.input_file_id not in others and matches(found, batch.input_file_id, uid, part, oldest)

    return is_ours


def _is_missing(answer: Failure) -> bool:
    """Tell whether a page isn't there, which no second look changes, from a gateway that can't answer just now."""
    return isinstance(answer, NotFound) or (
        isinstance(answer, Refused) and answer.reason in (Reason.REQUEST_REFUSED, Reason.ROUTE_NOT_FOUND)
    )
