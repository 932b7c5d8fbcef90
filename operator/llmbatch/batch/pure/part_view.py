"""One batch of a job with several, seen as the only one of a job: so the rules for one hold for each."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from llmbatch.api.batch_status import Batch, PartResults, Refusal, State, Unfinished, entries
from llmbatch.api.batchjob_status import BatchJobStatus, Failure, InputStatus, OutputStatus, Phase, Stopped
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
from llmbatch.api.counts import RequestCounts
from llmbatch.batch.pure import facts, late, lifecycle
from llmbatch.batch.pure.facts import bare, batch_of, with_batch
from llmbatch.common.text import cut
from llmbatch.common.turns import in_turns
from llmbatch.jsonl.results import MAX_FAILURES
from llmbatch.transfer.pure.report import CollectReport


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
            output=_of_part(whole, batch),
            failures=whole.failures,
            stopped=whole.stopped,
            trouble=whole.trouble,
            parts_location=whole.parts_location,
            input=InputStatus(bytes=batch.bytes or 0, requests=batch.requests or 0, sha256=batch.sha256 or "")
            if known
            else None,
            batches=[batch],
            conditions=_conditions(batch),
        )

    def others_are_as_in(self, found: dict[str, Any], whole: BatchJobStatus) -> bool:
        """Tell whether the other batches stand in a stored status as they do in this one."""
        there = [entry for index, entry in enumerate(entries(found)) if index != self.index]
        return there == [batch.dump() for index, batch in enumerate(whole.batches) if index != self.index]

    def put(self, whole: BatchJobStatus, seen: BatchJobStatus) -> BatchJobStatus:
        """Give the job's status with what has been found out of this batch; what is told of the job stays."""
        batch = seen.batches[0] if seen.batches else bare(whole.batches[self.index])
        if seen.input is not None and seen.input.sha256:
            batch = batch.model_copy(update={"sha256": seen.input.sha256})
        batch = batch.model_copy(update={"state": _state(seen) or batch.state})
        if seen.has_ended:
            batch = _thinned(batch)
        batches = [*whole.batches[: self.index], batch, *whole.batches[self.index + 1 :]]
        failures = _examples(whole.failures, seen.failures)
        stopped = whole.stopped or seen.stopped
        where = whole.parts_location or seen.parts_location
        update = {"batches": batches, "failures": failures, "stopped": stopped, "parts_location": where}
        return whole.model_copy(update=update)


def _examples(known: list[Failure], further: list[Failure]) -> list[Failure]:
    """Choose among failed requests: one of each code first, so that those of one part leave room for what others have met."""
    by_code: dict[str, list[Failure]] = {}
    for item in (*known, *(item for item in further if item not in known)):
        by_code.setdefault(item.code, []).append(item)
    return list(islice(in_turns(by_code.values()), MAX_FAILURES))


def _thinned(batch: Batch) -> Batch:
    """Leave of a batch that has ended what is still needed: there may be hundreds in one status."""
    spent = ("source", "recorded_time", "uploaded_time", "in_progress_at", "finalizing_at", "expires_at", "sha256")
    return batch.model_copy(update={**dict.fromkeys(spent), "refused_ids": []})


def _of_part(whole: BatchJobStatus, batch: Batch) -> OutputStatus | None:
    """Say what is stored of this batch: by itself, or in the results of all; with what is in doubt of this one."""
    doubt = {"missing_requests": batch.missing_requests, "foreign_requests": batch.foreign_requests}
    if whole.output is not None:
        return whole.output.model_copy(update=doubt)
    stored = batch.results
    if stored is None:
        return None
    return OutputStatus(
        location="",
        bytes=stored.bytes,
        requests=stored.requests,
        sha256=stored.sha256,
        stored_time=stored.stored_time,
        **doubt,
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
        message=cut(ready.message, late.MOST_SAID),
        since_time=ready.last_transition_time,
        # The job's own tells of each generation as soon as it is seen: what was said of a batch before isn't said of it.
        observed_generation=ready.observed_generation if _needs_a_person(seen) else None,
    )


def _needs_a_person(seen: BatchJobStatus) -> bool:
    return seen.holds(STALLED) and not seen.has_ended


def _conditions(batch: Batch) -> list[Condition]:
    """Make the conditions again that the batch's state was made of."""
    state = batch.state
    if state is None:
        return []

    def condition(kind: str, status: str, reason: str, message: str, moment: datetime) -> Condition:
        return Condition.model_validate(
            {
                "type": kind,
                "status": status,
                "observedGeneration": state.observed_generation,
                "lastTransitionTime": moment,
                "reason": reason,
                "message": message,
            }
        )

    said = (state.reason, state.message, state.since_time)
    made = [condition(READY, state.status, *said)]
    if state.phase in lifecycle.TERMINAL:
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


def with_refusal(status: BatchJobStatus, reason: str, message: str) -> BatchJobStatus:
    """Record of one of several parts that it has come to nothing: its requests are named among the failed ones."""
    told = {"refusal": Refusal(reason=reason, message=cut(message, late.MOST_SAID)), "submission": None}
    return with_batch(status, batch_of(status).model_copy(update=told))


def with_part_results(
    status: BatchJobStatus,
    report: CollectReport,
    now: datetime,
    *,
    may_retry: bool = False,
    where: str | None = None,
) -> BatchJobStatus:
    """Record that the results of one of several parts are stored, by themselves.

    Args:
        status: That of a job with this batch alone.
        report: What was found in its files.
        now: The moment.
        may_retry: There may be another attempt.
        where: The folder in a volume in which they stay until all are put together; None: that is done at once.
    """
    results = PartResults(usage=report.usage, **facts.stored(report, now))
    judged = with_judgement(status, report, now, may_retry=may_retry)
    waited = {"late_since": None, "looked_at": None}
    stored = batch_of(judged).model_copy(update={"results": results, **waited})
    if where is not None and stored.unfinished is not None and report.unfinished is not None:
        # It may have been looked at before, when its results were to go elsewhere: what is sent again is what was stored now.
        stored = stored.model_copy(update={"unfinished": stored.unfinished.model_copy(update=_rest(report))})
    update = {"output": _of_part(status, stored), "parts_location": where or status.parts_location}
    return with_batch(judged, stored).model_copy(update=update)


def with_judgement(status: BatchJobStatus, report: CollectReport, now: datetime, *, may_retry: bool) -> BatchJobStatus:
    """Record what one batch's lines came to, and which of its requests may be tried again.

    Args:
        status: That of a job with this batch alone.
        report: What was found in its files.
        now: The moment.
        may_retry: There may be another attempt, so that what is missing may come yet.
    """
    counted = _judged(with_part_counts(batch_of(status), report), report, now, may_retry=may_retry)
    if may_retry and report.unfinished_missing and counted.missing_requests:
        counted = counted.model_copy(update={"missing_requests": report.missing - report.unfinished_missing or None})
    update: dict[str, Any] = {"failures": _examples(status.failures, report.failures)}
    if report.stopping is not None and status.stopped is None:
        first = report.stopping
        update["stopped"] = Stopped(custom_id=first.custom_id, code=first.code, part=counted.part or 0, time=now)
    return with_batch(status, counted).model_copy(update=update)


def _judged(batch: Batch, report: CollectReport, now: datetime, *, may_retry: bool) -> Batch:
    if report.unfinished is None or batch.unfinished is not None:
        return batch
    again = (may_retry and report.unfinished > 0) or None
    return batch.model_copy(update={"unfinished": Unfinished(**_rest(report), again=again, since_time=now)})


def _rest(report: CollectReport) -> dict[str, Any]:
    """Give what a report says of the requests that failed in a way that may pass."""
    return {
        "requests": report.unfinished or 0,
        "missing": report.unfinished_missing,
        "bytes": report.unfinished_bytes or 0,
        "crc32": f"{report.unfinished_crc32 or 0:08x}",
    }


def with_part_counts(batch: Batch, report: CollectReport) -> Batch:
    """Record of one of several parts what its own lines came to."""
    counts = report.request_counts or batch.request_counts
    # The provider's counts, which alone tell that nothing else is to be had, are replaced by those of the lines.
    whole = counts is not None and late.left_out(batch) == counts.total - report.missing
    return batch.model_copy(
        update={
            "request_counts": counts,
            "never_run": report.missing if whole and report.missing else None,
            "missing_requests": report.missing or None,
            "foreign_requests": report.foreign_requests or None,
        }
    )
