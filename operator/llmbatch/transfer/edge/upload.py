"""The upload transfer: validate the whole input, then stream it. Nothing is sent of an input that isn't valid."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from zlib import crc32

from llmbatch.api.reasons import Reason
from llmbatch.jsonl import sending
from llmbatch.jsonl.lines import LineChecker
from llmbatch.jsonl.rewrite import Rewriter
from llmbatch.provider.edge.files import Files, Progress
from llmbatch.provider.edge.outcome import Answered, Failure, Refused, Unreachable, may_be_done
from llmbatch.provider.edge.pace import Bounds
from llmbatch.provider.edge.route import resolve
from llmbatch.provider.edge.tls import ConnectionInvalidError, Material
from llmbatch.provider.edge.uploaded import Search, search
from llmbatch.transfer.edge.rests import opened
from llmbatch.transfer.edge.validate import Checked, validate
from llmbatch.transfer.pure.plan import UploadPlan, errors_path, foreign_path
from llmbatch.transfer.pure.report import Problem, UploadReport
from llmbatch.transfer.volumes import sources, walking
from llmbatch.transfer.volumes.problem import ProblemError, of_failure, of_os_error
from llmbatch.transfer.volumes.publishing import exists
from llmbatch.transfer.volumes.sources import Source
from llmbatch.transfer.volumes.volume import Folder

_BLOCK_BYTES = 512 * 1024
"""Size of what is given to the socket at once."""


class ChangedError(Exception):
    """The input is not what it was when it was validated."""


def upload(
    plan: UploadPlan,
    data: bytes | None,
    environ: Mapping[str, str],
    *,
    material: Material | None = None,
    progress: Progress | None = None,
    bounds: Bounds | None = None,
) -> UploadReport:
    """Validate the input and upload it; `data` is the input when the plan has no root. Blocks; foreseen ends are reports."""
    checker = LineChecker(
        plan.endpoint, plan.model, plan.max_requests, plan.max_line_bytes, bytes_per_token=plan.bytes_per_token
    )
    checked = None
    try:
        if (problem := look_out(plan)) is not None:
            # Before the input is read: results that can't be stored are not ordered.
            return UploadReport(problem=problem)
        route = resolve(plan.connection, environ, material)
        with _source(plan, data) as source, Files(route, bounds) as files:
            checked = validate(source, checker, plan, progress)
            if checked.parts > 1 or (checked.cuts is not None and plan.max_tokens is not None):
                # What is sent of it waits for its turn.
                return UploadReport(input=checked.status, cuts=checked.cuts)
            report = _Sending(plan, files, source, checked, progress).run()
            return report.model_copy(update={"cuts": checked.cuts if report.file_id is not None else None})
    except ProblemError as error:
        problem = error.problem
    except ConnectionInvalidError as error:
        problem = ProblemError(error.reason, str(error)).problem
    except ChangedError:
        problem = ProblemError(
            Reason.INPUT_CHANGED, "the input was changed while it was read; it is read again, so let it be until then"
        ).problem
    except OSError as error:
        problem = of_os_error(error, "input", plan.path or "the input").problem
    return UploadReport(
        input=checked.status if checked is not None else None,
        line_errors=checker.errors,
        line_error_count=checker.error_count,
        problem=problem,
    )


@dataclass(frozen=True)
class _Sending:
    """A valid input on its way to the provider: once, however often it is tried."""

    plan: UploadPlan
    files: Files
    source: Source
    checked: Checked
    progress: Progress | None

    def run(self) -> UploadReport:
        listed = False
        if self.plan.look:
            found = self._search()
            if not isinstance(found, Search):
                # Nothing is sent before it is known what is there.
                return self._failed(found)
            if found.file is not None or found.unusable:
                return self._taken(found)
            listed = found.whole
        body = _counted(self._content(), self.checked.length, self.progress)
        result = self.files.upload(self.plan.filename, body, self.checked.length)
        if isinstance(result, Answered):
            processed = result.value.status == "processed"
            return UploadReport(file_id=result.value.id, processed=processed, input=self.checked.status)
        if not _may_be_stored(result):
            return self._failed(result)
        found = self._search()
        useless = isinstance(result, Unreachable) and result.reason is Reason.UNUSABLE_ID
        if isinstance(found, Search) and (found.file is not None or found.unusable):
            return self._taken(found, useless=useless)
        report = self._failed(result)
        if useless and report.problem is not None:
            return self._useless(report.problem.message)
        # A list that fails now has told before that no earlier try left a copy, and will tell of this one before the next.
        listed = found.whole if isinstance(found, Search) else listed
        return report.model_copy(update={"unanswered": True, "listed": listed})

    def _content(self) -> Iterator[bytes]:
        self.source.seek(0)
        return content(self.source, self.checked, self.plan)

    def _digest(self) -> str:
        digest = sha256()
        for block in self._content():
            digest.update(block)
        return digest.hexdigest()

    def _search(self) -> Search | Failure:
        return search(self.files, self.plan.filename, self.checked.length, self._digest)

    def _taken(self, found: Search, *, useless: bool = False) -> UploadReport:
        """Take a file that is there; `useless`: the answer to its upload has named it by an id that can't be used, too."""
        if found.file is not None:
            return UploadReport(file_id=found.file.id, input=self.checked.status)
        told = "upload file: the gateway's list shows the file under an id that can't be used"
        return self._useless(told, final=useless)

    def _useless(self, message: str, *, final: bool = True) -> UploadReport:
        """Say that the file is there for nothing; sent again, it would get another such id. A list may be mended, if not final."""
        told = f"{message}; the file {self.plan.filename} is left at the provider: delete it there, then make the BatchJob anew"
        again = "" if final else "; it is not sent again, and looked for ever more rarely"
        problem = ProblemError(Reason.UNUSABLE_ID, f"{told}{again}", final=final).problem
        return UploadReport(input=self.checked.status, problem=problem)

    def _failed(self, failure: Failure) -> UploadReport:
        problem = of_failure(failure, Reason.ROUTE_NOT_FOUND).problem
        return UploadReport(input=self.checked.status, problem=problem)


def _may_be_stored(failure: Failure) -> bool:
    """Tell whether the file may be at the provider all the same."""
    match failure:
        case Unreachable():
            return failure.sent
        case Refused():
            return may_be_done(failure.status) and failure.reason is Reason.REQUEST_REFUSED
        case _:
            return False


def content(source: Source, checked: Checked, plan: UploadPlan) -> Iterator[bytes]:
    """Yield what is sent. The last block is held back until the input has proved to be the one that was validated.

    Raises:
        ChangedError: It is not; the server then has a body that is too short, and drops it.
    """
    checksum = 0

    def summed() -> Iterator[bytes]:
        nonlocal checksum
        while block := source.read(_BLOCK_BYTES):
            checksum = crc32(block, checksum)
            yield block

    read = summed()
    blocks = read if checked.as_it_is else _made(read, Rewriter(plan.model), plan.max_line_bytes)
    held = b""
    sent = 0
    for block in blocks:
        sent += len(block)
        if sent > checked.length:
            raise ChangedError
        if held:
            yield held
        held = block
    if sent != checked.length or checksum != checked.checksum:
        raise ChangedError
    yield held


def _made(read: Iterator[bytes], rewriter: Rewriter, limit: int) -> Iterator[bytes]:
    block = bytearray()
    try:
        for line in sending.made(sending.lines(read, limit), rewriter):
            block += line
            block += b"\n"
            if len(block) >= _BLOCK_BYTES:
                yield bytes(block)
                block.clear()
    except ValueError:
        raise ChangedError from None  # it was valid before
    if block:
        yield bytes(block)


def _counted(blocks: Iterator[bytes], length: int, progress: Progress | None) -> Iterator[bytes]:
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        if progress is not None:
            progress("upload", done, length)


@contextmanager
def _source(plan: UploadPlan, data: bytes | None) -> Iterator[Source]:
    if plan.rests is not None and plan.output_root is not None and plan.output_path is not None:
        with opened(plan.output_root, plan.output_path, plan.rests) as rest:
            yield rest
        return
    if plan.root is None or plan.path is None:
        yield sources.window(io.BytesIO(data or b""), plan.offset, plan.length)
        return
    parts, name = walking.split_path(plan.path, "input")
    with walking.folder(plan.root, parts, "input") as folder, folder.open(name) as file:
        if plan.crc32 is None:
            folder.check_whole(name, file)
        yield sources.window(file, plan.offset, plan.length)


# --- the place for the results, which the upload's pod mounts already ---------------------------------------------------


def look_out(plan: UploadPlan) -> Problem | None:
    """Say what keeps results from being stored where they are to go, as far as it shows; None: nothing, or it isn't mounted."""
    if plan.output_root is None or plan.output_path is None:
        return None
    try:
        _look(plan.output_root, plan.output_path)
    except ProblemError as error:
        problem = error.problem
    except OSError as error:
        problem = of_os_error(error, "output", plan.output_path).problem
    else:
        return None
    return problem.model_copy(update={"side": "output"})


def _look(root: str, path: str) -> None:
    parts, name = walking.split_path(path, "output")
    there = next(n for n in range(len(parts), -1, -1) if n == 0 or os.path.lexists(os.path.join(root, *parts[:n])))  # noqa: PTH118 - as the volume is walked
    with walking.folder(root, parts[:there], "output") as folder:
        if there == len(parts):
            for wanted in (name, errors_path(name), foreign_path(name)):
                folder.check(wanted)
                if folder.has(wanted):
                    raise exists(folder.shown(wanted))
        _writable(folder, path)


def _writable(folder: Folder, path: str) -> None:
    code = folder.why_unwritable()
    if code:
        raise of_os_error(OSError(code, os.strerror(code)), "output", path)
