"""What can be decided about a BatchJob: at most one effect, and how the pass ends."""

from dataclasses import dataclass, field
from datetime import datetime

from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure.report import Problem

# --- effects: what `act` may do ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AddFinalizer:
    """Put our finalizer on the object, before any remote write."""


@dataclass(frozen=True)
class RemoveFinalizer:
    """Let the object go."""

    left_behind: str = ""
    """What stays at the provider, for an event; empty: nothing."""
    as_asked: bool = False
    """It stays because spec.deletionPolicy says so."""
    kept_output: str = ""
    """Results that were to be deleted and stay, for a Warning event; empty: none."""


@dataclass(frozen=True)
class Upload:
    """Validate and upload the input, here or in a transfer Job."""

    attempt: int


@dataclass(frozen=True)
class Submit:
    """Write the intent, create the batch, write its id."""

    attempt: int


@dataclass(frozen=True)
class LookUp:
    """Ask the gateway for the batch of an intent whose answer is owed."""


@dataclass(frozen=True)
class FindDuplicates:
    """Look whether somebody's retry on the way made further batches of this job; keep one, cancel the others."""


@dataclass(frozen=True)
class BeginAnew:
    """Forget what the status tells of another object."""


@dataclass(frozen=True)
class GiveUpAttempt:
    """Remove an intent of which it is known that it made no batch."""


@dataclass(frozen=True)
class SubmitAgain:
    """Give a batch up that the provider failed for a reason that passes, and make another of the same file, later."""

    problem: Problem


@dataclass(frozen=True)
class Collect:
    """Download, join and store the results, here or in a transfer Job."""


@dataclass(frozen=True)
class DeleteFiles:
    """Delete remote files."""

    file_ids: tuple[str, ...]


@dataclass(frozen=True)
class Discard:
    """Start the transfer Job that deletes stored results from their volume."""


@dataclass(frozen=True)
class Cancel:
    """Cancel the remote batch."""

    batch_id: str


@dataclass(frozen=True)
class Finish:
    """End the job: Complete or Failed, for good."""

    reason: Reason
    message: str
    complete: bool
    delete_file_ids: tuple[str, ...] = ()
    """Remote files to delete on the way, as far as that is possible at once."""


Effect = (
    AddFinalizer
    | BeginAnew
    | RemoveFinalizer
    | Upload
    | Submit
    | LookUp
    | FindDuplicates
    | GiveUpAttempt
    | SubmitAgain
    | Collect
    | Discard
    | DeleteFiles
    | Cancel
    | Finish
)

# --- endings: what happens next --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """Nothing more to do until the object changes."""


@dataclass(frozen=True)
class Wait:
    """Under way, or waiting for something that comes by itself."""

    reason: Reason
    message: str
    after: float | None = 0.0
    """Seconds until the next look; 0: at once; None: with growing delays."""
    aspect: str = ""
    """Condition that this is about, besides Ready: InputReady, Submitted or ResultsStored."""
    since: datetime | None = field(default=None, compare=False)
    """Since when that is in the way which often passes by itself, and is Stalled if it doesn't; None: nothing is."""


@dataclass(frozen=True)
class Stalled:
    """A person must act. Looked at again now and then, so that the job goes on by itself once it is mended."""

    reason: Reason
    message: str
    after: float | None = None
    """Seconds until the next look; None: only when something changes."""
    aspect: str = ""
    since: datetime | None = field(default=None, compare=False)
    """As for Wait."""


Ending = Done | Wait | Stalled


def waits_for(transfer: Problem, aspect: str) -> Wait:
    """Wait for a transfer Job that is at work; `aspect` as in Wait."""
    return Wait(transfer.reason, transfer.message, after=transfer.retry_after_seconds or 1.0, aspect=aspect)


@dataclass(frozen=True)
class Decision:
    """At most one effect, and the ending that holds if the effect has nothing to add."""

    ending: Ending
    effect: Effect | None = None
