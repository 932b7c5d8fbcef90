"""One batch of a job with several, seen as the only one of a job: so the rules for one hold for each."""

from dataclasses import dataclass
from datetime import datetime

from llmbatch.api.batch_status import Batch, RequestCounts, State
from llmbatch.api.batchjob_status import BatchJobStatus, InputStatus, OutputStatus, Phase
from llmbatch.api.conditions import (
    COMPLETE,
    FAILED,
    INPUT_READY,
    READY,
    RECONCILING,
    RESULTS_STORED,
    STALLED,
    SUBMITTED,
    Condition,
)
from llmbatch.batch.pure import lifecycle
from llmbatch.batch.pure.facts import bare

MOST_SAID = 512
"""Characters of a batch's message: there may be a hundred of them in a status."""


@dataclass(frozen=True)
class PartView:
    """Which of a job's batches is looked at."""

    index: int

    def of(self, whole: BatchJobStatus) -> BatchJobStatus:
        """Give the status that a job with this batch alone would have."""
        batch = whole.batches[self.index]
        known = batch.requests is not None and batch.bytes is not None and batch.input_file_id is not None
        return BatchJobStatus(
            observed_generation=whole.observed_generation,
            uid=whole.uid,
            phase=Phase(batch.state.phase) if batch.state is not None else None,
            start_time=whole.start_time,
            request_counts=batch.request_counts or _none_yet(batch),
            output=whole.output and _of_part(whole.output, batch),
            input=InputStatus(bytes=batch.bytes or 0, requests=batch.requests or 0, sha256=batch.sha256 or "")
            if known
            else None,
            batches=[batch],
            conditions=_conditions(batch, whole.observed_generation),
        )

    def put(self, whole: BatchJobStatus, seen: BatchJobStatus) -> BatchJobStatus:
        """Give the job's status with what has been found out of this batch; what is told of the job stays."""
        batch = seen.batches[0] if seen.batches else bare(whole.batches[self.index])
        if seen.input is not None and seen.input.sha256:
            batch = batch.model_copy(update={"sha256": seen.input.sha256})
        batch = batch.model_copy(update={"state": _state(seen) or batch.state})
        return whole.model_copy(
            update={"batches": [*whole.batches[: self.index], batch, *whole.batches[self.index + 1 :]]}
        )


def _of_part(output: OutputStatus, batch: Batch) -> OutputStatus:
    """Say of the results, which are stored for all parts together, what is in doubt of this one."""
    return output.model_copy(
        update={"missing_requests": batch.missing_requests, "foreign_requests": batch.foreign_requests}
    )


def _none_yet(batch: Batch) -> RequestCounts | None:
    return RequestCounts(total=batch.requests, completed=0, failed=0) if batch.requests is not None else None


def _state(seen: BatchJobStatus) -> State | None:
    ready = seen.condition(READY)
    if ready is None or seen.phase is None:
        return None
    return State(
        phase=seen.phase,
        status=ready.status,
        reason=ready.reason,
        message=ready.message if len(ready.message) <= MOST_SAID else ready.message[: MOST_SAID - 1] + "…",
        since_time=ready.last_transition_time,
    )


def _conditions(batch: Batch, generation: int | None) -> list[Condition]:
    """Make the conditions again that the batch's state was made of."""
    state = batch.state
    if state is None:
        return []

    def condition(kind: str, status: str, reason: str, message: str, moment: datetime) -> Condition:
        return Condition.model_validate(
            {
                "type": kind,
                "status": status,
                "observedGeneration": generation,
                "lastTransitionTime": moment,
                "reason": reason,
                "message": message,
            }
        )

    said = (state.reason, state.message, state.since_time)
    made = [condition(READY, state.status, *said)]
    if state.phase in (Phase.COMPLETE, Phase.FAILED):
        made.append(condition(COMPLETE if state.phase == Phase.COMPLETE else FAILED, "True", *said))
    if state.status != "True":
        made.append(condition(STALLED if state.status == "False" else RECONCILING, "True", *said))
    uploaded, ordered = batch.input_file_id is not None, batch.id is not None
    if uploaded or ordered:
        made.append(condition(INPUT_READY, "True", "InputValid", "", state.since_time))
    if ordered:
        moment = batch.recorded_time or batch.submission_time or state.since_time
        made.append(condition(SUBMITTED, "True", "Submitted", "", moment))
    kind = RESULTS_STORED if batch.status in lifecycle.ENDED else SUBMITTED if uploaded else INPUT_READY
    if kind not in {item.type for item in made}:
        made.append(condition(kind, "False", *said))
    return made
