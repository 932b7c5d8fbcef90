"""Reading the gateway's list of batches for those of one job."""

from dataclasses import dataclass
from datetime import datetime

from llmbatch import crash
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.observation import Observation
from llmbatch.batch.pure.submission import is_unclear, matches, was_refused
from llmbatch.provider.edge.client import Gateway
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


async def list_ours(gateway: Gateway, seen: Observation, oldest: datetime) -> Found | Failure:
    """Find a job's batches; `oldest` is the moment, by the provider's clock, before which none can have been made.

    A list that breaks off after some of them were found still tells of these.
    """
    uid, input_file_id, refused = seen.status_uid, seen.batch.input_file_id, seen.batch.refused_ids
    # Whether a job that has lost its status had several is not known.
    part = seen.batch.label if seen.batch.is_one_of_several else None
    found: dict[str, RemoteBatch] = {}
    following = Following(oldest, MOST_PAGES)
    unusable, goes_on = False, True
    while goes_on:
        with crash.around(crash.Effect.LOOK_UP):
            answer = await gateway.list_batches(following.after)
        if not isinstance(answer, Answered):
            # A later page that isn't there says nothing about whether there is a list.
            told = found or (following.after is not None and _is_missing(answer))
            return Found(tuple(found.values()), whole=False, unusable=unusable, failed=answer) if told else answer
        page = answer.value
        found |= {
            batch.id: batch
            for batch in page.batches
            if not was_refused(batch, refused) and matches(batch, input_file_id, uid, part, oldest)
        }
        unusable = unusable or any(matches(batch, input_file_id, uid, part, oldest) for batch in page.unusable)
        goes_on = following.take(
            page,
            sum(
                is_unclear(batch, oldest)
                for batch in (*page.batches, *page.unusable)
                if batch.id not in found and not was_refused(batch, refused)
            ),
        )
    return Found(tuple(found.values()), whole=following.whole, unusable=unusable)


def _is_missing(answer: Failure) -> bool:
    """Tell whether a page isn't there, which no second look changes, from a gateway that can't answer just now."""
    return isinstance(answer, NotFound) or (
        isinstance(answer, Refused) and answer.reason in (Reason.REQUEST_REFUSED, Reason.ROUTE_NOT_FOUND)
    )
