"""The lifecycle of a job whose input has parts: it is where its least advanced batch is, until all have ended.

Each of its batches, and a job with one batch only, goes through batch.pure.lifecycle.
"""

from llmbatch.api.batchjob_status import Phase
from llmbatch.batch.pure import lifecycle
from llmbatch.batch.pure.lifecycle import OF_A_BATCH

_OF_BATCHES = sorted(OF_A_BATCH, key=list(Phase).index)
_LATER: dict[Phase, str] = {Phase.CLEANING_UP: "the results of all are stored"}

TRANSITIONS: lifecycle.Table = {
    **{
        before: {
            **{after: "another batch is the least advanced" for after in _OF_BATCHES if after is not before},
            **(_LATER if before is Phase.COLLECTING else {}),
            Phase.DELETING: "deleted",
        }
        for before in _OF_BATCHES
    },
    Phase.CLEANING_UP: {
        Phase.COMPLETE: "enough requests succeeded",
        Phase.FAILED: "too few did, or one that fails the job",
        Phase.DELETING: "deleted",
    },
    Phase.COMPLETE: {Phase.DELETING: "deleted"},
    Phase.FAILED: {Phase.DELETING: "deleted"},
    Phase.DELETING: {},
}
"""From a phase to the phases that may follow, with what happens in between."""


def check_move(before: Phase | None, after: Phase) -> None:
    """Refuse a move that the table does not have; None: a status whose facts were lost or restored may start anywhere.

    Raises:
        IllegalMoveError: The table has no such move.
    """
    lifecycle.check_move(before, after, TRANSITIONS, "a BatchJob with parts")


def diagram() -> str:
    """Draw the table as a Mermaid state diagram, for the README; where the batches are is one state."""
    lines = ["stateDiagram-v2", "    [*] --> Batches: input checked and cut"]
    lines += ["    state Batches {", *(f"        {phase}" for phase in _OF_BATCHES), "    }"]
    lines += ["    Batches --> Batches: another part begins, or requests are sent again"]
    lines += [f"    Batches --> {after}: {label}" for after, label in _LATER.items()]
    for before in (Phase.CLEANING_UP,):
        moves = TRANSITIONS[before].items()
        lines += [f"    {before} --> {after}: {label}" for after, label in moves if after is not Phase.DELETING]
    lines += ["    Complete --> [*]", "    Failed --> [*]"]
    lines += ["    note right of Batches", "        As far as the least advanced batch is.", "    end note"]
    return "\n".join(lines)
