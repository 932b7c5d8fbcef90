"""The merge transfer: puts the results of several batches together, which were stored by themselves as each ended.

The destination is either whole or not there, and the parts stay until the operator has stored what came of it: repeating a
merge that was killed at any moment ends the same way.
"""

from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

from llmbatch import crash
from llmbatch.api.batchjob_status import Failure
from llmbatch.jsonl.results import Tally, judge
from llmbatch.provider.pure import quotes
from llmbatch.transfer.edge.fold import changed, fold
from llmbatch.transfer.pure.plan import MergePlan, errors_path, foreign_path, part_name, rest_path
from llmbatch.transfer.pure.report import MergeReport
from llmbatch.transfer.volumes import publishing, sources, spool, walking
from llmbatch.transfer.volumes.problem import ProblemError, of_os_error
from llmbatch.transfer.volumes.publishing import Sheet
from llmbatch.transfer.volumes.spool import Spool
from llmbatch.transfer.volumes.volume import Folder

_Copies = list[tuple[str, int, str]]
"""Files to be put together: name, size in bytes, SHA-256."""


def merge(plan: MergePlan) -> MergeReport:
    """Put the parts together, or remove their folder. Blocks; foreseen ends are reports with a problem."""
    try:
        parts, name = walking.split_path(plan.path, "output")
        if plan.sweep:
            return _sweep(plan, parts)
        with ExitStack() as stack:
            folder = stack.enter_context(walking.folder(plan.root, parts, "output"))
            stored = stack.enter_context(walking.folder(plan.root, [*parts, plan.folder], "output"))
            held = stack.enter_context(spool.spool(folder, sha256(plan.folder.encode()).hexdigest()[:16]))
            return _merge(plan, name, folder, stored, held)
    except ProblemError as error:
        problem = error.problem
    except OSError as error:
        problem = of_os_error(error, "output", plan.path).problem
    return MergeReport(problem=problem)


def _merge(plan: MergePlan, name: str, folder: Folder, stored: Folder, held: Spool) -> MergeReport:
    if plan.judged:
        return _fold(plan, name, folder, stored, held)
    made: list[tuple[Sheet, str]] = []
    tally = Tally()
    identities: list[tuple[int | None, str | None]] = []
    for target, kind, copies in _sheets(plan, name):
        if not copies and target != name:
            identities.append((None, None))
            continue
        sheet = Sheet(held, kind)
        for copy in copies:
            _copy(stored, copy, sheet)
            if kind == "errors":
                _count(stored, copy[0], tally)
        made.append((sheet, target))
        identities.append(sheet.identity)
    # The results last: where they are, everything is.
    publishing.publish(folder, held, [*made[1:], made[0]])
    (size, digest), errors, foreign = identities
    return MergeReport(
        bytes=size or 0,
        sha256=digest or "",
        errors_bytes=errors[0],
        errors_sha256=errors[1],
        foreign_bytes=foreign[0],
        foreign_sha256=foreign[1],
        failures=_examples(tally),
    )


def _fold(plan: MergePlan, name: str, folder: Folder, stored: Folder, held: Spool) -> MergeReport:
    good, bad, tally = Sheet(held, "results"), Sheet(held, "errors"), Tally()
    fold(plan, stored, good, bad, tally)
    beside = [(bad, errors_path(name))] if bad.lines else []
    foreign = None
    if copies := _foreign(plan):
        foreign = Sheet(held, "foreign")
        for copy in copies:
            _copy(stored, copy, foreign)
        beside.append((foreign, foreign_path(name)))
    publishing.publish(folder, held, [*beside, (good, name)])
    size, digest = good.identity
    errors_bytes, errors_sha256 = bad.identity if bad.lines else (None, None)
    foreign_bytes, foreign_sha256 = foreign.identity if foreign is not None else (None, None)
    return MergeReport(
        bytes=size,
        sha256=digest,
        errors_bytes=errors_bytes,
        errors_sha256=errors_sha256,
        foreign_bytes=foreign_bytes,
        foreign_sha256=foreign_sha256,
        succeeded=good.lines,
        failed=bad.lines,
        failures=_examples(tally),
    )


def _count(stored: Folder, name: str, tally: Tally) -> None:
    """Count the failed requests of a part by their codes."""
    with stored.open(name) as lines:
        for line in lines:
            result = judge(line)
            tally.add_failure(result.custom_id or "", result.code, result.message)


def _examples(tally: Tally) -> list[Failure]:
    # The requests, with which a message could be compared, aren't at hand.
    return [quotes.unchecked(failure) for _, failure in tally.failures()]


def _sheets(plan: MergePlan, name: str) -> list[tuple[str, str, _Copies]]:
    """Give what is to be made: its name, what it is, and of which files."""
    results: _Copies = [(part_name(part.part), part.bytes, part.sha256) for part in plan.parts]
    errors: _Copies = [
        (errors_path(part_name(part.part)), part.errors_bytes, part.errors_sha256 or "")
        for part in plan.parts
        if part.errors_bytes is not None
    ]
    return [
        (name, "results", results),
        (errors_path(name), "errors", errors),
        (foreign_path(name), "foreign", _foreign(plan)),
    ]


def _foreign(plan: MergePlan) -> _Copies:
    return [
        (foreign_path(part_name(part.part, part.attempt)), part.foreign_bytes, part.foreign_sha256 or "")
        for part in plan.parts
        if part.foreign_bytes is not None
    ]


def _copy(stored: Folder, copy: tuple[str, int, str], sheet: Sheet) -> None:
    """Copy a part's file, if it is what was stored.

    Raises:
        ProblemError: It is gone, or something else.
    """
    file, *identity = copy
    digest, size = sha256(), 0
    with stored.open(file) as source:
        for chunk in sources.chunks(source):
            digest.update(chunk)
            size += len(chunk)
            sheet.write(chunk)
    if [size, digest.hexdigest()] != identity:
        raise changed(stored, file)


def _sweep(plan: MergePlan, parts: list[str]) -> MergeReport:
    if not Path(plan.root, *parts, plan.folder).exists():
        return MergeReport()
    with walking.folder(plan.root, [*parts, plan.folder], "output") as stored:
        for part in plan.parts:
            name = part_name(part.part, part.attempt)
            for file in (name, errors_path(name), foreign_path(name), rest_path(name)):
                with crash.around(crash.Effect.DISCARD_FILE):
                    if stored.has(file):
                        stored.remove(file)
        stored.sync()
    with walking.folder(plan.root, parts, "output") as folder:
        folder.remove_folder(plan.folder)
    return MergeReport()
