"""Reading the gateway's list of batches for those of one job."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from llmbatch.core.observation import Observation
from llmbatch.core.submission import is_newest_first, matches
from llmbatch.core.wire import RemoteBatch
from llmbatch.edges import crash
from llmbatch.edges.gateway import Gateway
from llmbatch.edges.outcome import Answered, Failure

MOST_PAGES = 500


@dataclass(frozen=True)
class Found:
    """A job's batches, as far as they are listed."""

    batches: tuple[RemoteBatch, ...]
    whole: bool
    """The list was read as far back as need be."""
    unusable: bool = False
    """One of the job's is listed under an id that no path can hold: it is there, and nothing can be done with it."""


async def list_ours(gateway: Gateway, seen: Observation, oldest: datetime) -> Found | Failure:
    """Find a job's batches; `oldest` is the moment, by the provider's clock, before which none can have been made."""
    uid, input_file_id = seen.status_uid, seen.batch.input_file_id
    found: dict[str, RemoteBatch] = {}
    moments: list[datetime] = []
    after: str | None = None
    unusable = False
    for _ in range(MOST_PAGES):
        with crash.around(crash.Effect.LOOK_UP):
            answer = await gateway.list_batches(after)
        if not isinstance(answer, Answered):
            return answer
        page = answer.value
        found |= {batch.id: batch for batch in page.batches if matches(batch, input_file_id, uid, oldest)}
        moments += [batch.created_at for batch in page.batches if batch.created_at is not None]
        unusable = unusable or any(matches(batch, input_file_id, uid, oldest) for batch in page.unusable)
        if not page.has_more or not (page.batches or page.unusable):
            return Found(tuple(found.values()), whole=True, unusable=unusable)
        if moments and moments[-1] < oldest - timedelta(seconds=1) and is_newest_first(moments):
            return Found(tuple(found.values()), whole=True, unusable=unusable)
        if page.last_id is None or page.last_id == after:
            break
        after = page.last_id
    return Found(tuple(found.values()), whole=False, unusable=unusable)
