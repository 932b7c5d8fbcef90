"""Reading the gateway's list of batches for those of one job."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from llmbatch import crash
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.directory.reading import Reading
from llmbatch.batch.directory.readings import Readings
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure.submission import is_unclear, matches, was_refused
from llmbatch.gateway.clients import Client
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound, Refused
from llmbatch.provider.pure.pages import Following
from llmbatch.provider.pure.wire import Page, RemoteBatch
from llmbatch.transfer.pure.report import Problem

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


@dataclass
class Looks:
    """Asks for readings of the list in the name of jobs, and remembers what the last look met."""

    readings: Readings[Page]
    _met: dict[str, Problem]
    """By batch (Observation.memory)."""

    def ask(self, seen: Seen, client: Client) -> Reading[Page] | float:
        """Give a reading that began after the question came up, or the seconds until there may be one."""
        return self.readings.ask(client, seen.observation.memory, _question(seen))

    def due_in(self, seen: Seen, client: Client) -> float:
        """Give the seconds until a job may ask; 0: now."""
        return self.readings.due_in(client, seen.observation.memory, _question(seen))

    def met(self, seen: Seen, outcome: Outcome) -> Outcome:
        """Note what a look has met, which holds until the next one."""
        if outcome.problem is None:
            self._met.pop(seen.observation.memory, None)
        else:
            self._met[seen.observation.memory] = outcome.problem
        return outcome

    def not_yet(self, seen: Seen, status: BatchJobStatus, wait: float) -> Outcome:
        """Look again when the list may be read; what the last look met still holds."""
        met = self._met.get(seen.observation.memory)
        if met is None:
            return Outcome(status, after=wait)
        return Outcome(status, met.model_copy(update={"retry_after_seconds": wait}), after=wait)


def _question(seen: Seen) -> tuple[object, ...]:
    """Tell questions apart: it is another one when there is another call or batch, it has ended, or its job is deleted."""
    observation = seen.observation
    return observation.stage, observation.deleted_at is not None, observation.batch.submission, observation.batch.id


async def list_ours(reading: Reading[Page], seen: Seen, oldest: datetime) -> Found | Failure:
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
