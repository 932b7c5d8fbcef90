"""A job whose input was cut into parts: what is true of all its batches together."""

import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from llmbatch.api.batch_status import Batch, Source
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus, Phase
from llmbatch.api.counts import RequestCounts, Usage
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import lifecycle, part_view
from llmbatch.batch.pure.decision import Ending, Finish, Stalled, Wait
from llmbatch.batch.pure.part_view import PartView
from llmbatch.batch.pure.stage import is_full
from llmbatch.common import backoff
from llmbatch.job.pure.success import shortfall
from llmbatch.jsonl.cut import Cut
from llmbatch.transfer.pure.plan import MergePlan, StoredPart, parts_folder
from llmbatch.transfer.pure.report import CollectReport, MergeReport, UploadReport

SECOND = 2


def with_cuts(status: BatchJobStatus, report: UploadReport, cuts: Iterable[Cut]) -> BatchJobStatus:
    """Record where the input was cut: it stays so, though limits may change."""
    batches: list[Batch] = []
    offset = first = 0
    for part, cut in enumerate(cuts):
        source = Source(offset=offset, bytes=cut.source_bytes, crc32=f"{cut.crc32:08x}")
        batches.append(
            Batch(
                part=part,
                attempt=1,
                first_request=first,
                requests=cut.requests,
                bytes=cut.bytes,
                estimated_tokens=cut.tokens or None,
                source=source,
            )
        )
        offset, first = offset + cut.source_bytes, first + cut.requests
    update: dict[str, Any] = {"parts": len(batches), "batches": batches, "input": report.input}
    return status.model_copy(update={**update, "request_counts": RequestCounts(total=first, completed=0, failed=0)})


def is_split(status: BatchJobStatus) -> bool:
    """Tell whether a job has parts: several, or one that is judged by its requests and may have several batches."""
    return status.parts is not None


def to_look_at(status: BatchJobStatus, at_once: int = 1) -> list[PartView]:
    """Give a view of each batch that is to be looked at: all that have begun and not ended, and the next that are to begin.

    Args:
        status: The job's.
        at_once: How many may be uploaded at the same time.
    """
    live = [view for view in views(status) if not has_ended(status.batches[view.index])]
    waiting = [view for view in live if not _has_begun(status.batches[view.index])]
    # A file is uploaded when its batch is about to be made, and not before the one before it has its batch.
    held = sum(
        _has_begun(batch) and batch.id is None and batch.refusal is None and not has_ended(batch)
        for batch in status.batches
    )
    return [view for view in live if view not in waiting[max(0, at_once - held) :]]


def others_may_begin(before: BatchJobStatus, after: BatchJobStatus, at_once: int, parallelism: int) -> bool:
    """Tell whether a pass has made way for batches that it did not look at."""
    return not is_full(after, parallelism) and not set(to_look_at(after, at_once)) <= set(to_look_at(before, at_once))


def _has_begun(batch: Batch) -> bool:
    return bool(batch.input_file_id or batch.id or batch.submission or batch.refusal)


def name(status: BatchJobStatus, batch: Batch) -> str:
    """Name a batch to a person, where its job has others."""
    told = [f"part {batch.part or 0}"] if (status.parts or 0) > 1 else []
    if (batch.attempt or 1) > 1:
        told = [f"parts {batch.parts[0]} to {batch.parts[-1]}"] if len(batch.parts) > 1 else told
        told.append(f"attempt {batch.attempt}")
    text = ", ".join(told)
    return text[:1].upper() + text[1:]


def follower(status: BatchJobStatus, batch: Batch) -> Batch | None:
    """Give the batch that sends another one's unfinished requests again."""
    attempt, part = (batch.attempt or 1) + 1, batch.part or 0
    return next((item for item in status.batches if item.attempt == attempt and part in item.parts), None)


def with_reports(status: BatchJobStatus, reports: list[CollectReport], now: datetime) -> BatchJobStatus:
    """Record what each batch's results came to; one report for each that has lines of its own, in their order."""
    made = status
    told = [view for view in views(status) if not is_void(status.batches[view.index])]
    for view, report in zip(told, reports, strict=True):
        later = follower(status, status.batches[view.index])
        again = later is not None and not is_void(later)
        found = part_view.with_part_results(view.of(made), report, now, may_retry=again)
        made = view.put(made, found)
    return made


def collected(status: BatchJobStatus) -> BatchJobStatus:
    """Have all batches go on from where their results are stored together."""
    batches = [_cleaning_up(batch.model_copy(update={"results": None})) for batch in status.batches]
    return status.model_copy(update={"batches": batches})


def _cleaning_up(batch: Batch) -> Batch:
    """Have a batch go on from where its results are stored, which is said of all of them at once."""
    state = batch.state
    if state is None or has_ended(batch):
        return batch
    return batch.model_copy(update={"state": state.model_copy(update={"phase": str(Phase.CLEANING_UP)})})


IDENTITY = StoredPart.model_fields.keys() - {"part", "attempt", "parts", "rest"}
"""What a plan takes of results as they were stored."""


def merge_plan(status: BatchJobStatus, spec: BatchJobSpec, uid: str, path: str, root: str) -> MergePlan:
    """Plan how the results of all batches, each stored by itself, are put together."""
    order = status.batches
    if spec.output.order == "Completion":
        order = sorted(
            order,
            key=lambda batch: (batch.completed_at is None, batch.completed_at, batch.attempt or 1, batch.part or 0),
        )
    stored = [
        StoredPart(
            part=batch.part or 0,
            attempt=batch.attempt if batch.parts else None,
            parts=batch.parts or None,
            rest=bool(batch.unfinished and batch.unfinished.requests) or None,
            **batch.results.model_dump(include=IDENTITY),
        )
        for batch in order
        if batch.results is not None
    ]
    judged = {"judged": True, "order": spec.output.order} if spec.judges_requests else {}
    return MergePlan(root=root, path=path, folder=parts_folder(uid), parts=stored, **judged)


def merged(status: BatchJobStatus, report: MergeReport) -> CollectReport:
    """Report on results that were put together as if they were one batch's."""
    found = [batch.results for batch in status.batches if batch.results is not None]
    total = counts(status)
    failures = status.failures
    if report.succeeded is not None:
        # Some requests of which nobody knows the names have no line at all.
        told = {"completed": report.succeeded, "failed": max(report.failed or 0, total.total - report.succeeded)}
        total = total.model_copy(update=told)
    if report.succeeded is not None or report.failures:
        known = {(item.custom_id, item.code): item for item in failures}
        failures = [known.get((item.custom_id, item.code), item) for item in report.failures]
    return CollectReport(
        bytes=report.bytes,
        requests=sum(item.requests for item in found) if report.succeeded is None else report.succeeded,
        sha256=report.sha256,
        errors_bytes=report.errors_bytes or 0,
        errors_requests=total.failed if report.failed is None else report.failed,
        errors_sha256=report.errors_sha256 or "",
        foreign_requests=sum(batch.foreign_requests or 0 for batch in status.batches),
        foreign_bytes=report.foreign_bytes,
        foreign_sha256=report.foreign_sha256,
        request_counts=total,
        usage=Usage.sum(item.usage for item in found),
        failures=failures,
        missing=sum(batch.missing_requests or 0 for batch in status.batches),
    )


def views(status: BatchJobStatus) -> list[PartView]:
    """Give a view of each batch."""
    return [PartView(index) for index in range(len(status.batches))]


def has_ended(batch: Batch) -> bool:
    """Tell whether nothing is left to do for a batch."""
    return batch.state is not None and batch.state.phase in lifecycle.TERMINAL


def is_void(batch: Batch) -> bool:
    """Tell whether a later attempt has come to nothing: its requests keep the lines that they have."""
    return bool(batch.parts) and batch.refusal is not None


def counts(status: BatchJobStatus) -> RequestCounts:
    """Add the requests of all parts up. One that is sent again has not failed for as long as it isn't answered anew."""
    told = [batch.request_counts for batch in status.batches if batch.request_counts and not is_void(batch)]
    again = [batch for batch in status.batches if batch.parts]
    second = [batch for batch in again if batch.attempt == SECOND and (batch.id is not None or not is_void(batch))]
    failed = sum(item.failed for item in told) - sum(batch.requests or 0 for batch in again if not is_void(batch))
    failed -= sum(_waiting(status, batch) for batch in status.batches)
    return RequestCounts(
        total=sum(batch.requests or 0 for batch in status.batches if not batch.parts),
        completed=sum(item.completed for item in told),
        failed=max(0, failed),
        retried=sum(batch.requests or 0 for batch in second) or None,
    )


def phase(status: BatchJobStatus) -> Phase:
    """Give the phase of the least advanced batch."""
    found = [Phase(batch.state.phase) for batch in status.batches if batch.state is not None]
    least = min(found, key=lifecycle.ORDER.index, default=Phase.PENDING)
    # What is done for one batch, be it all, is a step on the way to the results of all.
    return least if least in lifecycle.OF_A_BATCH else Phase.COLLECTING


def ending(status: BatchJobStatus, endings: list[tuple[Batch, Ending]]) -> Wait | Stalled:
    """Say how a pass ends, by how it ends for each batch that has not ended: what needs a person first, then the least advanced."""
    said = [(batch, item) for batch, item in endings if isinstance(item, Wait | Stalled)]
    if not said:
        return Wait(Reason.COLLECTING, "All batches have ended; their results are next.", after=0.0)
    batch, first = min(said, key=lambda item: (not isinstance(item[1], Stalled), _rank(item[0])))
    alike = sum(item.reason == first.reason for _, item in said)
    more = f" (and {alike - 1} more)" if alike > 1 else ""
    named = f"{name(status, batch) or ('Attempt 1' if more else '')}{more}"
    message = f"{named}: {first.message}" if named else first.message
    after = _soonest([item.after for _, item in said])
    return type(first)(first.reason, message, after=after, aspect=first.aspect, since=first.since)


def sooner(ending: Ending, owed: Wait | Stalled | None, *, alone: bool) -> Ending:
    """Say how a pass ends when requests are to be sent again later: that is all there is to say, or it ends sooner for it."""
    if owed is None or not isinstance(ending, Wait | Stalled):
        return ending
    if alone:
        return owed
    return ending if owed.after is None else replace(ending, after=_soonest((ending.after, owed.after)))


def _waiting(status: BatchJobStatus, batch: Batch) -> int:
    """Count the requests of a batch that are to be sent again, and are in no other batch yet."""
    rest = batch.unfinished
    waits = rest is not None and rest.again and status.stopped is None and follower(status, batch) is None
    return rest.requests if rest is not None and waits else 0


def _rank(batch: Batch) -> int:
    return lifecycle.ORDER.index(Phase(batch.state.phase)) if batch.state is not None else 0


def _soonest(waits: Collection[float | None]) -> float | None:
    """Give the shortest wait; growing delays, if one asks for them, unless the others are over before those are at their longest."""
    soonest = min((wait for wait in waits if wait is not None), default=math.inf)
    # Batches that have ended wait for the others, without an end of their own.
    return None if None in waits and soonest > backoff.LONGEST_SECONDS else soonest


def verdict(status: BatchJobStatus, spec: BatchJobSpec) -> Finish:
    """Judge a job whose batches have all ended, and whose results are stored if there are any; one alone as without parts."""
    total = status.request_counts if status.output is not None and status.request_counts is not None else counts(status)
    in_parts = f", in {status.parts} parts" if (status.parts or 0) > 1 else ""
    again = f"; {total.retried} were tried again" if total.retried else ""
    told = f"{total.completed} of {total.total} requests succeeded{in_parts}{again}"
    output = status.output
    if output is not None and output.errors_location is not None:
        told += f"; the failed ones are in {output.errors_location}"
    failed = [batch for batch in status.batches if batch.state is not None and batch.state.phase == Phase.FAILED]
    if failed and failed[0].state is not None:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        named = f"{name(status, failed[0]) or 'the batch'}{more}"
        told += f"; {named[:1].lower()}{named[1:]}: {failed[0].state.reason}: {failed[0].state.message}"
    told = told.rstrip(".")
    if status.stopped is not None:
        why = f"request {status.stopped.custom_id} failed with {status.stopped.code}, for which a rule says FailJob"
        return Finish(Reason.REQUEST_FAILURE_POLICY, f"Stopped, since {why}: {told}.", complete=False)
    if (short := shortfall(spec, total)) is not None:
        return Finish(Reason.SUCCESS_POLICY_NOT_MET, f"{short}: {told}.", complete=False)
    if spec.success_policy is None and len(status.batches) == 1 and failed and failed[0].state is not None:
        return Finish(Reason(failed[0].state.reason), f"{told}.", complete=False)
    if total.completed == 0:
        return Finish(Reason.ALL_REQUESTS_FAILED, f"No request succeeded: {told}.", complete=False)
    if total.completed < total.total:
        return Finish(Reason.COMPLETED_WITH_FAILURES, f"{told}.", complete=output is not None)
    return Finish(
        Reason.SUCCEEDED, f"All {total.total} requests succeeded{in_parts}{again}.", complete=output is not None
    )
