"""What the world around a BatchJob says in one pass."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from llmbatch.provider.pure.wire import Counts, RemoteBatch
from llmbatch.transfer.pure.report import Problem
from tests.support import build

Create = Literal["made", "made twice", "lost after", "lost before", "not made", "refused"]
Crash = Literal["", "before the intent", "after the intent", "after the call", "before the status"]


class CrashError(Exception):
    """The operator dies here."""


@dataclass
class Answers:
    """What the world says in one pass."""

    trouble: Problem | None = None
    """In the way while observing."""
    create: Create = "made"
    upload: Problem | None = None
    collect: Problem | None = None
    completed: int = 5
    """Requests that turn out to have succeeded."""
    listing: Problem | None = None
    delete_files: Problem | None = None
    cancel: Problem | None = None
    crash: Crash = ""


QUIET = Answers()


def remote_batch(batch_id: str, status: str, created_at: datetime) -> RemoteBatch:
    """What the provider tells of a batch of five requests."""
    output = "file-out" if status in ("completed", "expired", "cancelled") else None
    return RemoteBatch(
        id=batch_id,
        status=status,
        input_file_id="file-in",
        output_file_id=output,
        counts=Counts(total=5, completed=5 if output else 2, failed=0),
        created_at=created_at.replace(tzinfo=UTC),
        metadata={"llmbatch_uid": build.UID},
    )
