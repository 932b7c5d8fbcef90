"""The batches that are followed at one gateway, and how often each is asked for itself."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime

from llmbatch.batch.directory.told import Told
from llmbatch.provider.pure.wire import RemoteBatch
from llmbatch.runtime.queue import Key

REST_SECONDS, LONGEST_REST_SECONDS = 600.0, 3600.0
"""So rarely, at least and at most, is a job looked at of whose batch there is no news; see rest_seconds."""

CHECKED = 250
"""One batch a round, and one more for so many, is asked for itself, so that a list that stands still is found out."""


def checked(count: int) -> int:
    """Say how many of so many batches are asked for themselves in a round."""
    return 1 + count // CHECKED


def rest_seconds(count: int, interval: float) -> float:
    """Say after how many seconds a batch is asked for itself of which there was no news, for whatever else may be due.

    Where its turn to be checked comes by then, as it does among few and among many, it is not asked for twice.

    Args:
        count: How many batches are followed at its gateway.
        interval: Seconds from round to round.
    """
    turn = interval * count / checked(count)
    return min(LONGEST_REST_SECONDS, max(REST_SECONDS, 1.5 * turn))


@dataclass
class Followed:
    """A batch under way."""

    job: Key
    batch_id: str
    created: datetime | None
    known: Told
    known_from: float = -1.0
    """When a look at the batch itself that told so was over, by the monotonic clock."""
    news: RemoteBatch | None = None
    """What a list has told that no pass has taken in yet."""
    due: bool = False
    """It is to be asked for itself."""
    rests: bool = False
    """Nobody polls it by its own clock."""
    since: float = field(default_factory=time.monotonic)
    """Since when nobody has asked for it."""


@dataclass
class Lap:
    """A gateway's batches, by memory (Observation.memory), and what was learnt of its list."""

    followed: dict[str, Followed] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    distrusted: int = 0
    """Rounds for which the list is not read."""
    failures: int = 0
    """Readings that failed, in a row."""
