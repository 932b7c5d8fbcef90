"""Reads an input once and checks every line of it; cuts it into parts when it is too large for one file."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from llmbatch.api.batchjob_status import InputStatus
from llmbatch.api.reasons import Reason
from llmbatch.jsonl import sending, split
from llmbatch.jsonl.cut import MOST_PARTS, Cut, Cutter, packed
from llmbatch.jsonl.lines import LineChecker, LineError, clean, why_no_text
from llmbatch.jsonl.rewrite import Rewriter
from llmbatch.provider.edge.files import Progress
from llmbatch.transfer.pure.plan import UploadPlan
from llmbatch.transfer.volumes import sources
from llmbatch.transfer.volumes.problem import ProblemError
from llmbatch.transfer.volumes.sources import Source


@dataclass(frozen=True)
class Checked:
    """A valid input. All sizes in bytes."""

    status: InputStatus
    length: int  # of what is sent
    checksum: int  # CRC-32 of the input: tells a change during the upload, at a fraction of SHA-256's time
    as_it_is: bool  # the input is sent byte for byte
    parts: int = 1  # more than one when it is too large for one file
    cuts: str | None = None  # the parts, if there are several or they are asked for


@dataclass(frozen=True)
class _Taking:
    """What each line of an input goes through."""

    checker: LineChecker
    rewriter: Rewriter
    sent: sending.Sent
    cutter: Cutter | None
    most: int  # bytes of a file

    def take_all(self, lines: list[bytes]) -> None:
        """Check lines that are sent as they are, and count them, many at once."""
        needed = self.checker.check_all(lines)
        self.sent.add_all(lines)
        if self.cutter is None or self.checker.error_count or self.cutter.add_all(lines, sum(needed)):
            return
        for index, (line, tokens) in enumerate(zip(lines, needed, strict=True), 1):
            if len(line) + 1 > self.most:
                self.checker.too_large(len(line) + 1, self.most, back=len(lines) - index)
            self.cutter.add(line, len(line) + 1, tokens)

    def take(self, line: bytes | split.Overlong) -> None:
        """Check a line, and count what is sent of it."""
        checker, cutter = self.checker, self.cutter
        if isinstance(line, split.Overlong):
            checker.too_long()
            return
        kept, before = clean(line), checker.tokens
        checker.check(kept)
        if checker.error_count:
            return
        made = self.rewriter.rewrite(kept) if kept else kept
        self.sent.add(line, kept, made)
        if cutter is not None:
            if len(made) + 1 > self.most:
                checker.too_large(len(made) + 1, self.most)
            cutter.add(line, len(made) + 1 if made else 0, checker.tokens - before)


def validate(source: Source, checker: LineChecker, plan: UploadPlan, progress: Progress | None = None) -> Checked:
    """Read the whole input once and check every line.

    Raises:
        ProblemError: It is invalid or too large.
    """
    if (found := _as_it_was_cut(source, plan, progress)) is not None:
        return found
    size = checksum = 0
    parts = MOST_PARTS if plan.split else 1
    cutter = Cutter(plan.max_bytes, plan.max_requests, plan.max_tokens) if plan.split else None

    _look_at_whole(source, checker, plan, parts)
    if cutter is not None:
        checker.allow(parts)
    source.seek(0)

    def read() -> Iterator[bytes]:
        nonlocal size, checksum
        for chunk in sources.chunks(source):
            checksum = crc32(chunk, checksum)
            size += len(chunk)
            if progress is not None:
                progress("validate", size, None)
            yield chunk

    sent = sending.Sent(rewritten=plan.model is not None)
    taking = _Taking(checker, Rewriter(plan.model), sent, cutter, plan.max_bytes)
    for sheaf in sending.sheaves(sent.watched(read()), plan.max_line_bytes):
        if plan.model is None and sending.are_plain(sheaf):
            taking.take_all(sheaf)
            continue
        for line in sheaf:
            taking.take(line)
    checker.finish()
    sent.finish()
    if progress is not None:
        progress("validate", size, size)
    # Before its lines are judged: they are not those that were found valid.
    if plan.crc32 is not None and checksum != plan.crc32:
        message = (
            "the input was changed after it was cut into parts; put it back as it was, or delete the BatchJob and apply it"
            " again, which pays for every request anew"
        )
        raise ProblemError(Reason.INPUT_CHANGED, message)
    if checker.error_count:
        raise _invalid(checker)
    if checker.requests < (plan.min_requests or 0):
        raise _too_few(checker.requests, plan.min_requests or 0)
    status = InputStatus(
        bytes=sent.length,
        requests=checker.requests,
        sha256=sent.sha256,
        cleaned=sent.cleaned or None,
        estimated_tokens=checker.tokens,
    )
    cuts = _cuts(cutter, plan, status, ended=sent.ended) if cutter is not None else None
    if cuts is None and sent.length > plan.max_bytes:
        raise _too_large(sent.length, plan.max_bytes, parts)
    if cuts is None and plan.cut_always:
        cuts = [Cut(status.requests, status.bytes, size, checksum, checker.tokens)]
    _check_tokens(checker.tokens, cuts or [], plan)
    told = (len(cuts), packed(cuts)) if cuts is not None else (1, None)
    return Checked(status, sent.length, checksum, sent.as_it_is, *told)


def _check_tokens(tokens: int, cuts: list[Cut], plan: UploadPlan) -> None:
    """See that the input is within the job's ceiling, and each part within the gateway's limit."""
    if plan.token_ceiling is not None and tokens > plan.token_ceiling:
        raise _too_dear(tokens, plan.token_ceiling)
    most = max((cut.tokens for cut in cuts), default=0)
    if plan.max_tokens is not None and most > plan.max_tokens:
        raise _impossible(most, plan.max_tokens, split=plan.split is True)


def _look_at_whole(source: Source, checker: LineChecker, plan: UploadPlan, parts: int) -> None:
    # What can't be made to fit by another model's name or by cleaning need not be read at all.
    if (whole := source.seek(0, io.SEEK_END)) > 4 * plan.max_bytes * parts:
        raise _too_large(whole, plan.max_bytes, parts)
    source.seek(0)
    if plan.crc32 is None and (why := why_no_text(source.read(8))) is not None:
        checker.no_text(why)
        raise _invalid(checker)


def _as_it_was_cut(source: Source, plan: UploadPlan, progress: Progress | None) -> Checked | None:
    """Add up a part by its bytes alone: its lines were checked when it was cut, if it still is what it was then.

    None: its lines are to be looked at, since it isn't, or since not all of it is sent.
    """
    if plan.crc32 is None or plan.model is not None:
        return None

    def read() -> Iterator[bytes]:
        size = 0
        for chunk in sources.from_start(source):
            yield chunk
            size += len(chunk)
            if progress is not None:
                progress("validate", size, None)

    found = sending.plain(read())
    if found is None or found.crc32 != plan.crc32:
        return None
    if found.bytes > plan.max_bytes or found.requests > plan.max_requests:
        return None
    if progress is not None:
        progress("validate", found.bytes, found.bytes)
    status = InputStatus(bytes=found.bytes, requests=found.requests, sha256=found.sha256)
    return Checked(status, found.bytes, found.crc32, as_it_is=True)


def _cuts(cutter: Cutter, plan: UploadPlan, status: InputStatus, *, ended: bool) -> list[Cut] | None:
    """Give the parts of an input that is too large for one file.

    Raises:
        ProblemError: There are too many.
    """
    fits = plan.max_tokens is None or (status.estimated_tokens or 0) <= plan.max_tokens
    if status.bytes <= plan.max_bytes and status.requests <= plan.max_requests and fits:
        return None
    cuts = cutter.finish(ended=ended)
    if len(cuts) > MOST_PARTS:
        raise ProblemError(
            Reason.INVALID_INPUT,
            f"the input has {status.requests} requests in {status.bytes} bytes{_and_tokens(status, plan)}, which makes"
            f" {len(cuts)} parts within the gateway's maxRequestsPerFile ({plan.max_requests}) and maxFileBytes"
            f" ({plan.max_bytes}){_and_limit(plan)}; {MOST_PARTS} is the most; split the input into several BatchJobs",
            final=True,
        )
    return cuts


def _and_tokens(status: InputStatus, plan: UploadPlan) -> str:
    return "" if plan.max_tokens is None else f" of about {status.estimated_tokens} tokens"


def _and_limit(plan: UploadPlan) -> str:
    return "" if plan.max_tokens is None else f" and maxEnqueuedTokens ({plan.max_tokens})"


def _too_dear(tokens: int, ceiling: int) -> ProblemError:
    return ProblemError(
        Reason.ESTIMATE_TOO_HIGH,
        f"the input is estimated at {tokens} tokens, and spec.maxEstimatedTokens is {ceiling}; nothing was sent. Make the"
        " BatchJob anew with a smaller input or a higher ceiling",
        final=True,
    )


def _impossible(tokens: int, most: int, *, split: bool) -> ProblemError:
    what = "a single request" if split else "the input (spec.splitPolicy is Never)"
    return ProblemError(
        Reason.QUOTA_IMPOSSIBLE,
        f"{what} is estimated at {tokens} tokens, and the gateway's maxEnqueuedTokens is {most}, so that it could never be"
        " enqueued; raise limits.maxEnqueuedTokens of the BatchGateway, if the deployment's quota is larger, or make the"
        " request smaller (also its max_tokens)",
    )


def _too_few(requests: int, least: int) -> ProblemError:
    return ProblemError(
        Reason.INVALID_INPUT,
        f"the input has {requests} requests, of which {least} must succeed (spec.successPolicy.minSucceeded): that can't be;"
        " make the BatchJob anew with a smaller number or a percentage",
        final=True,
    )


def _too_large(size: int, most: int, parts: int) -> ProblemError:
    remedy = "make a BatchJob with splitPolicy: Auto, which makes several batches of it"
    if parts > 1:
        remedy = f"{parts} files are the most, so split the input into several BatchJobs"
    return ProblemError(
        Reason.INVALID_INPUT,
        f"the input has {size} bytes, the gateway's maxFileBytes is {most}; {remedy}",
        final=True,
    )


def _invalid(checker: LineChecker) -> ProblemError:
    return ProblemError(Reason.INVALID_INPUT, _summary(checker.errors, checker.error_count), final=True)


def _summary(errors: list[LineError], count: int) -> str:
    told = "; ".join(item.told for item in errors[:3])
    more = f"; and {count - 3} more" if count > 3 else ""
    return f"the input can't be sent: {told}{more}"
