"""The status at the end of a pass: facts, phase, progress and conditions put together."""

import json
from datetime import datetime

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob_status import BatchJobStatus, Trouble
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import facts, lifecycle
from llmbatch.batch.pure.decision import Done, Ending, Finish, Wait
from llmbatch.common.text import cut
from llmbatch.job.pure import conditions, parts
from llmbatch.job.pure import lifecycle as of_parts
from llmbatch.jsonl.cut import MOST_PARTS

MOST_BYTES = 1_000_000
"""Of a status with more batches than an input can have parts: etcd takes no object of more than 1.5 MiB."""
LEAST_SAID = 80
"""Characters of what is said then of a batch that has ended."""
AT_UPLOAD = frozenset({Reason.UPLOADING, Reason.TRANSFER_PENDING})


def close(
    before: BatchJobStatus,
    found: BatchJobStatus,
    *,
    uid: str,
    ending: Ending,
    finish: Finish | None,
    generation: int,
    deleting: bool,
    ready_early: bool = False,
    now: datetime,
) -> BatchJobStatus:
    """Give the status to be stored after a pass.

    Args:
        before: The stored status.
        found: The same with the facts of this pass.
        uid: The object's; a status that tells of no object yet is its own.
        ending: How the pass ended.
        finish: The verdict, in the pass that ends the job.
        generation: Generation of the spec that the pass looked at.
        deleting: The object is being deleted.
        ready_early: It counts as ready though it has not ended; see conditions.is_ready_early.
        now: The moment of the pass.

    Raises:
        lifecycle.IllegalMoveError: The lifecycle has no such move.
    """
    if found.uid is None and before.uid is not None:
        # The job begins anew, and nothing that was holds any more.
        before = BatchJobStatus()
    if parts.is_split(found) and found.output is None:
        found = found.model_copy(update={"request_counts": parts.counts(found)})
    derived = conditions.derive(
        before,
        found,
        ending=ending,
        finish=finish,
        generation=generation,
        ready_early=ready_early,
        now=now,
    )
    status = found.model_copy(
        update={
            "observed_generation": generation,
            "uid": found.uid or uid,
            "start_time": found.start_time or now,
            "progress": facts.progress(found),
            "conditions": derived,
            "trouble": _trouble(ending),
            "queue": found.queue if parts.is_split(found) and finish is None else None,
        }
    )
    uploading = isinstance(ending, Wait) and ending.reason in AT_UPLOAD
    phase = lifecycle.phase_of(status, deleting=deleting, uploading=uploading)
    if parts.is_split(status):
        # A further batch begins at the beginning, so that the least advanced one may be further back than before.
        phase = parts.phase(status) if phase in lifecycle.OF_A_BATCH else phase
        of_parts.check_move(before.phase, phase)
    else:
        lifecycle.check_move(before.phase, phase)
    return _fitted(status.model_copy(update={"phase": phase}))


def _fitted(status: BatchJobStatus) -> BatchJobStatus:
    """Leave out of a status that is too large what only people read of batches that have ended."""
    if len(status.batches) <= MOST_PARTS or len(json.dumps(status.dump(), ensure_ascii=False)) <= MOST_BYTES:
        return status
    return status.model_copy(update={"batches": [_shortest(batch) for batch in status.batches]})


def _shortest(batch: Batch) -> Batch:
    state = batch.state
    if state is None or not parts.has_ended(batch):
        return batch
    said = state.model_copy(update={"message": cut(state.message, LEAST_SAID)})
    return batch.model_copy(update={"state": said, "output_file_id": None, "error_file_id": None})


def _trouble(ending: Ending) -> Trouble | None:
    """Remember since when that is in the way which may pass by itself: an operator that begins anew goes on counting."""
    if isinstance(ending, Done) or ending.since is None:
        return None
    return Trouble(reason=ending.reason, since_time=ending.since)
