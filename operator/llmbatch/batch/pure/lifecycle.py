"""The lifecycle of a batch, and so of a BatchJob with one; job.pure.lifecycle has that of a job with several.

Rule 1: every phase of a batch, and every move between phases, is in this file.
Rule 2: this file knows nothing of Kubernetes or HTTP.
"""

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob_status import BatchJobStatus, Phase

Table = dict[Phase, dict[Phase, str]]
"""From a phase to the phases that may follow, with what happens in between."""

TERMINAL = frozenset({Phase.COMPLETE, Phase.FAILED})

# From a phase to the phases that may follow, with what happens in between. A poll sees the provider's states a minute
# apart, so that any of them may be missed.
TRANSITIONS: Table = {
    Phase.PENDING: {
        Phase.UPLOADING: "input found, gateway ready",
        Phase.SUBMITTING: "file uploaded after a pause",
        Phase.COLLECTING: "one of several parts refused",
        Phase.FAILED: "spec or input refused",
        Phase.DELETING: "deleted",
    },
    Phase.UPLOADING: {
        Phase.PENDING: "input or gateway gone again",
        Phase.SUBMITTING: "file uploaded",
        Phase.COLLECTING: "one of several parts refused",
        Phase.FAILED: "input refused",
        Phase.DELETING: "deleted",
    },
    Phase.SUBMITTING: {
        Phase.VALIDATING: "batch made or adopted",
        Phase.IN_PROGRESS: "adopted while running",
        Phase.FINALIZING: "adopted while finalizing",
        Phase.CANCELLING: "adopted while cancelling",
        Phase.COLLECTING: "adopted after its end",
        # Whoever has adopted it died before the status said so.
        Phase.CLEANING_UP: "adopted after its end, results stored",
        Phase.FAILED: "file or batch refused",
        Phase.DELETING: "deleted",
    },
    Phase.VALIDATING: {
        Phase.IN_PROGRESS: "validated",
        Phase.FINALIZING: "requests answered",
        Phase.CANCELLING: "cancelled at the provider",
        Phase.COLLECTING: "batch ended",
        Phase.CLEANING_UP: "batch ended, results stored",
        Phase.DELETING: "deleted",
    },
    Phase.IN_PROGRESS: {
        Phase.FINALIZING: "requests answered",
        Phase.CANCELLING: "cancelled at the provider",
        Phase.COLLECTING: "batch ended",
        Phase.CLEANING_UP: "batch ended, results stored",
        Phase.DELETING: "deleted",
    },
    Phase.FINALIZING: {
        Phase.CANCELLING: "cancelled at the provider",
        Phase.COLLECTING: "batch ended",
        Phase.CLEANING_UP: "batch ended, results stored",
        Phase.DELETING: "deleted",
    },
    Phase.CANCELLING: {
        Phase.COLLECTING: "batch ended",
        Phase.CLEANING_UP: "batch ended, results stored",
        Phase.DELETING: "deleted",
    },
    Phase.COLLECTING: {
        Phase.CLEANING_UP: "results stored",
        Phase.VALIDATING: "another batch of the job lives",
        Phase.IN_PROGRESS: "another batch of the job lives",
        Phase.FINALIZING: "another batch of the job lives",
        Phase.SUBMITTING: "batch refused for want of quota",
        Phase.FAILED: "batch refused",
        Phase.DELETING: "deleted",
    },
    Phase.CLEANING_UP: {
        Phase.COMPLETE: "something succeeded",
        Phase.FAILED: "nothing succeeded, or not run to its end",
        Phase.DELETING: "deleted",
    },
    Phase.COMPLETE: {Phase.DELETING: "deleted"},
    Phase.FAILED: {Phase.DELETING: "deleted"},
    Phase.DELETING: {},
}

# The provider has the last word on where its batch is, even when it takes a word back: a replica that lags behind, a
# status that nobody knows.
for _before in (Phase.VALIDATING, Phase.IN_PROGRESS, Phase.FINALIZING, Phase.CANCELLING):
    for _after in (Phase.VALIDATING, Phase.IN_PROGRESS, Phase.FINALIZING, Phase.CANCELLING):
        if _after is not _before:
            TRANSITIONS[_before].setdefault(_after, "the provider says so")

ORDER = (Phase.DELETING, *(phase for phase in TRANSITIONS if phase is not Phase.DELETING))
"""From the least advanced to the most."""
OF_A_BATCH = frozenset(TRANSITIONS) - TERMINAL - {Phase.CLEANING_UP, Phase.DELETING}
"""What a job with several batches goes through with each of them."""
RUNNING = {
    "validating": Phase.VALIDATING,
    "finalizing": Phase.FINALIZING,
    "cancelling": Phase.CANCELLING,
}
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


class IllegalMoveError(Exception):
    """A move that the table does not have; nothing was changed."""


def phase_of(status: BatchJobStatus, *, deleting: bool, uploading: bool) -> Phase:
    """Derive the phase from the facts in status.

    Args:
        status: The facts.
        deleting: The object is being deleted.
        uploading: An upload has begun whose answer is not in status yet.
    """
    if deleting:
        return Phase.DELETING
    if status.holds("Complete"):
        return Phase.COMPLETE
    if status.holds("Failed"):
        return Phase.FAILED
    if status.output is not None:
        return Phase.CLEANING_UP
    batch = status.batches[0] if status.batches else Batch()
    if batch.refusal is not None:
        return Phase.COLLECTING
    if batch.submission is not None:
        return Phase.SUBMITTING
    if batch.input_file_id is None and batch.id is None:
        return Phase.UPLOADING if uploading else Phase.PENDING
    if batch.id is None:
        return Phase.SUBMITTING
    remote = batch.status or "validating"
    if remote in ENDED:
        return Phase.COLLECTING
    # Any status we don't know means that the batch is still going.
    return RUNNING.get(remote, Phase.IN_PROGRESS)


def check_move(before: Phase | None, after: Phase, table: Table = TRANSITIONS, whose: str = "a BatchJob") -> None:
    """Refuse a move that the table does not have.

    A status whose facts were lost or restored may start anywhere, so that `before` None allows every phase.

    Raises:
        IllegalMoveError: The table has no such move.
    """
    if before is None or before == after or after in table[before]:
        return
    raise IllegalMoveError(f"{whose} can't go from {before} to {after}")


def diagram() -> str:
    """Draw the table as a Mermaid state diagram, for the README."""
    lines = ["stateDiagram-v2", "    [*] --> Pending"]
    for before, moves in TRANSITIONS.items():
        lines += [f"    {before} --> {after}: {label}" for after, label in moves.items() if after is not Phase.DELETING]
    lines += ["    Complete --> [*]", "    Failed --> [*]"]
    lines += [
        "    note right of Deleting",
        "        From every phase, when the object is deleted:",
        "        the batch is cancelled, its files are deleted.",
        "    end note",
    ]
    return "\n".join(lines)
