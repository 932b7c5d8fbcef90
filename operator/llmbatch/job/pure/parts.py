"""A job whose input was cut into parts: what is true of all its batches together."""

from collections.abc import Iterable
from typing import Any

from llmbatch.api.batch_status import Batch, RequestCounts, Source, Usage
from llmbatch.api.batchjob_status import BatchJobStatus, Phase
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import lifecycle
from llmbatch.batch.pure.decision import Ending, Finish, Stalled, Wait
from llmbatch.batch.pure.part_view import PartView, with_part_counts
from llmbatch.jsonl.cut import Cut
from llmbatch.transfer.pure.plan import MergePlan, StoredPart, parts_folder
from llmbatch.transfer.pure.report import CollectReport, MergeReport, UploadReport


def with_cuts(status: BatchJobStatus, report: UploadReport, cuts: Iterable[Cut]) -> BatchJobStatus:
    """Record where the input was cut: it stays so, though limits may change."""
    batches: list[Batch] = []
    offset = first = 0
    for part, cut in enumerate(cuts):
        source = Source(offset=offset, bytes=cut.source_bytes, crc32=f"{cut.crc32:08x}")
        batches.append(
            Batch(part=part, attempt=1, first_request=first, requests=cut.requests, bytes=cut.bytes, source=source)
        )
        offset, first = offset + cut.source_bytes, first + cut.requests
    update: dict[str, Any] = {"parts": len(batches), "batches": batches, "input": report.input}
    return status.model_copy(update={**update, "request_counts": RequestCounts(total=first, completed=0, failed=0)})


def is_split(status: BatchJobStatus) -> bool:
    """Tell whether a job has several parts."""
    return (status.parts or 0) > 1


def to_look_at(status: BatchJobStatus) -> list[PartView]:
    """Give a view of each batch that is to be looked at: all that have begun and not ended, and the next that is to begin."""
    live = [view for view in views(status) if not has_ended(status.batches[view.index])]
    waiting = [view for view in live if not _has_begun(status.batches[view.index])]
    # A file is uploaded when its batch is about to be made, and not before the one before it has its batch.
    held = any(
        _has_begun(batch) and batch.id is None and batch.refusal is None and not has_ended(batch)
        for batch in status.batches
    )
    return [view for view in live if view not in (waiting if held else waiting[1:])]


def _has_begun(batch: Batch) -> bool:
    return bool(batch.input_file_id or batch.id or batch.submission or batch.refusal)


def with_counts(status: BatchJobStatus, reports: list[CollectReport]) -> BatchJobStatus:
    """Record of each batch what its own lines came to; one report for each, in their order."""
    counted = [with_part_counts(batch, report) for batch, report in zip(status.batches, reports, strict=True)]
    return status.model_copy(update={"batches": [_cleaning_up(batch) for batch in counted]})


def _cleaning_up(batch: Batch) -> Batch:
    """Have a batch go on from where its results are stored, which is said of all of them at once."""
    state = batch.state
    if state is None or has_ended(batch):
        return batch
    return batch.model_copy(update={"state": state.model_copy(update={"phase": str(Phase.CLEANING_UP)})})


def merge_plan(status: BatchJobStatus, uid: str, path: str, root: str, *, by_completion: bool) -> MergePlan:
    """Plan how the results of all parts, each stored by itself, are put together."""
    order = status.batches
    if by_completion:
        order = sorted(order, key=lambda batch: (batch.completed_at is None, batch.completed_at, batch.part))
    stored = [
        StoredPart(part=batch.part or 0, **batch.results.model_dump(include=StoredPart.model_fields.keys() - {"part"}))
        for batch in order
        if batch.results is not None
    ]
    return MergePlan(root=root, path=path, folder=parts_folder(uid), parts=stored)


def merged(status: BatchJobStatus, report: MergeReport) -> CollectReport:
    """Report on results that were put together as if they were one batch's."""
    found = [batch.results for batch in status.batches if batch.results is not None]
    total = counts(status)
    return CollectReport(
        bytes=report.bytes,
        requests=sum(item.requests for item in found),
        sha256=report.sha256,
        errors_bytes=report.errors_bytes or 0,
        errors_requests=total.failed,
        errors_sha256=report.errors_sha256 or "",
        foreign_requests=sum(batch.foreign_requests or 0 for batch in status.batches),
        foreign_bytes=report.foreign_bytes,
        foreign_sha256=report.foreign_sha256,
        request_counts=total,
        usage=Usage.sum(item.usage for item in found),
        failures=status.failures,
        missing=sum(batch.missing_requests or 0 for batch in status.batches),
    )


def views(status: BatchJobStatus) -> list[PartView]:
    """Give a view of each batch."""
    return [PartView(index) for index in range(len(status.batches))]


def has_ended(batch: Batch) -> bool:
    """Tell whether nothing is left to do for a batch."""
    return batch.state is not None and batch.state.phase in lifecycle.TERMINAL


def counts(status: BatchJobStatus) -> RequestCounts:
    """Add the requests of all parts up."""
    told = [batch.request_counts for batch in status.batches]
    return RequestCounts(
        total=sum(batch.requests or 0 for batch in status.batches),
        completed=sum(item.completed for item in told if item is not None),
        failed=sum(item.failed for item in told if item is not None),
    )


def phase(status: BatchJobStatus) -> Phase:
    """Give the phase of the least advanced batch."""
    found = [Phase(batch.state.phase) for batch in status.batches if batch.state is not None]
    least = min(found, key=lifecycle.ORDER.index, default=Phase.PENDING)
    return Phase.COLLECTING if least in lifecycle.TERMINAL else least


def ending(endings: list[tuple[Batch, Ending]]) -> Wait | Stalled:
    """Say how a pass ends, by how it ends for each batch that has not ended: what needs a person first, then the least advanced."""
    said = [(batch, item) for batch, item in endings if isinstance(item, Wait | Stalled)]
    if not said:
        return Wait(Reason.COLLECTING, "All batches have ended; their results are next.", after=0.0)
    batch, first = min(said, key=lambda item: (not isinstance(item[1], Stalled), _rank(item[0])))
    alike = sum(item.reason == first.reason for _, item in said)
    more = f" (and {alike - 1} more)" if alike > 1 else ""
    message = f"Part {batch.part}{more}: {first.message}"
    after = _soonest(item.after for _, item in said)
    return type(first)(first.reason, message, after=after, aspect=first.aspect, since=first.since)


def _rank(batch: Batch) -> int:
    return lifecycle.ORDER.index(Phase(batch.state.phase)) if batch.state is not None else 0


def _soonest(waits: Iterable[float | None]) -> float | None:
    """Give the shortest wait; growing delays only when there is nothing else to wait for."""
    told = [wait for wait in waits if wait is not None]
    return min(told) if told else None


def verdict(status: BatchJobStatus) -> Finish:
    """Judge a job all of whose batches have ended, and whose results are stored if there are any."""
    total = counts(status)
    told = f"{total.completed} of {total.total} requests succeeded, in {status.parts} parts"
    output = status.output
    if output is not None and output.errors_location is not None:
        told += f"; the failed ones are in {output.errors_location}"
    failed = [batch for batch in status.batches if batch.state is not None and batch.state.phase == Phase.FAILED]
    if failed and failed[0].state is not None:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        told += f"; part {failed[0].part}{more}: {failed[0].state.reason}: {failed[0].state.message}"
    told = told.rstrip(".")
    if total.completed == 0:
        return Finish(Reason.ALL_REQUESTS_FAILED, f"No request succeeded: {told}.", complete=False)
    if total.completed < total.total:
        return Finish(Reason.COMPLETED_WITH_FAILURES, f"{told}.", complete=output is not None)
    return Finish(
        Reason.SUCCEEDED, f"All {total.total} requests succeeded, in {status.parts} parts.", complete=output is not None
    )
