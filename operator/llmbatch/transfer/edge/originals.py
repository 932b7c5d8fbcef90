"""The custom_ids of the input as it was sent, for the order of the results and the names of what is missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

from pydantic_core import from_json

from llmbatch.api.reasons import Reason
from llmbatch.jsonl import scan, sending, split
from llmbatch.jsonl.ids import FirstLines
from llmbatch.jsonl.lines import MAX_LINE_BYTES, MOST_LINE_BYTES, clean, digest
from llmbatch.provider.edge.files import Files, Progress
from llmbatch.transfer.edge.fetch import BrokenOffError, fetch
from llmbatch.transfer.edge.rests import opened
from llmbatch.transfer.pure.plan import CollectPlan, Rests
from llmbatch.transfer.volumes import sources, walking
from llmbatch.transfer.volumes.problem import ProblemError
from llmbatch.transfer.volumes.sources import Source
from llmbatch.transfer.volumes.spool import Spool

Json = dict[str, Any]

MOST_INPUT_BYTES = 2_000_000_000
"""No gateway's limits.maxFileBytes is larger."""


class Originals:
    """The lines of the input in a file of ours or, while it is unchanged, the user's."""

    def __init__(self, file: Source) -> None:
        """Hold an open file."""
        self._file = file

    def custom_ids(self) -> Iterator[str]:
        """Read the custom_ids in the order of the lines, anew each time."""
        return (custom_id for _, custom_id in self._read())

    def requests(self, wanted: set[bytes]) -> Iterator[tuple[bytes, Json]]:
        """Read the requests with these digests of their custom_ids, one after the other.

        Those not found are left out, and those whose size makes them cost too much memory.
        """
        left = set(wanted)
        if not left:
            return
        for line, custom_id in self._read():
            if (name := digest(custom_id)) in left:
                if len(line) <= MAX_LINE_BYTES and not scan.is_costly(line):
                    yield name, from_json(line, cache_strings="keys")
                left.remove(name)
                if not left:
                    return

    def lines(self, wanted: set[bytes]) -> Iterator[bytes]:
        """Read the lines, without line feeds, of the requests with these digests of their custom_ids, in their order."""
        for line, custom_id in self._read():
            if digest(custom_id) in wanted:
                yield line

    def _read(self) -> Iterator[tuple[bytes, str]]:
        for line in sending.lines(sources.from_start(self._file), MOST_LINE_BYTES):
            if isinstance(line, split.Overlong) or not (kept := clean(line)):
                continue
            try:
                custom_id = _named(kept)
            except (ValueError, TypeError, KeyError, RecursionError):
                continue  # no line of an input that was validated
            if isinstance(custom_id, str):
                yield kept, custom_id


def _named(line: bytes) -> object:
    """Read the custom_id alone of a line that isn't short: a tree of it would take several times as much."""
    if len(line) <= scan.SMALL_BYTES:
        return from_json(line, cache_strings="keys")["custom_id"]
    named = [member for member in scan.members(line) if from_json(member.key) == "custom_id"]
    return from_json(line[named[-1].start : named[-1].end]) if named else None


def originals(plan: CollectPlan, files: Files, held: Spool, progress: Progress | None = None) -> Originals | None:
    """Find the input: in its volume if it still is what was sent, else at the provider; None: nowhere.

    Raises:
        ProblemError: The gateway can't be asked just now, or doesn't have the input, where it is waited for.
        OSError: The downloaded input can't be written.
    """
    file = _mounted(plan, held) if plan.rests is None else _of_rests(plan, plan.rests, held)
    if file is not None:
        return Originals(file)
    if plan.input_file_id is None:
        return None
    copy = held.create("input")
    try:
        fetch(files, plan.input_file_id, copy, most=_most(plan), progress=progress)
    except ProblemError as error:
        if (plan.patient and isinstance(error, BrokenOffError)) or _is_needed(plan):
            # Without it nobody could tell a stranger's line from one that is missing, nor send anything again.
            raise
        # Gone, far more than was sent, or the provider gives inputs to nobody: the results are stored all the same, in
        # the order they have.
        if error.problem.reason in {Reason.RESULTS_UNREADABLE, Reason.REQUEST_REFUSED, Reason.OUTPUT_TOO_LARGE}:
            return None
        raise
    found = Originals(copy)
    if _is_whole(found, plan):
        return found
    if plan.patient or _is_needed(plan):
        message = (
            f"file {plan.input_file_id} is served with other requests than were sent as the input; it is read again"
        )
        raise ProblemError(Reason.RESULTS_UNREADABLE, message)
    return None


def _is_needed(plan: CollectPlan) -> bool:
    """Tell whether it is for a while, or always, waited for an input that the provider doesn't show."""
    return plan.judging is not None and (plan.patient or plan.judging.again) and not plan.accept_missing


def _is_whole(found: Originals, plan: CollectPlan) -> bool:
    """Tell whether a copy has as many requests as were sent, each once.

    A gateway may rewrite what it stores. But by one that is cut off, paid answers would be strangers'; and of one in which
    requests are repeated, nothing could be sent again.
    """
    known, count = FirstLines(), 0
    for custom_id in found.custom_ids():
        count += 1
        if known.first(custom_id, count) != count:
            return False
    # Of a status that was lost only the provider's own count is known.
    return count == plan.input.requests or not plan.input.bytes


def _most(plan: CollectPlan) -> int:
    """Give what the input can have at the most: with a longer model on each line it may be larger than it was."""
    return 4 * plan.input.bytes + 1024 * plan.input.requests + 65536 if plan.input.bytes else MOST_INPUT_BYTES


def _of_rests(plan: CollectPlan, rests: Rests, held: Spool) -> Source | None:
    """Open what a later attempt has sent, if all of it still is what was stored."""
    try:
        file = held.within(opened(plan.output_root, _results_of(plan), rests))
        found = sending.identity(lambda: sources.from_start(file), plan.model, MOST_LINE_BYTES)
    except (ProblemError, OSError):
        return None
    return file if found == (plan.input.bytes, plan.input.sha256) else None


def _results_of(plan: CollectPlan) -> str:
    """Say where the results of all are to go, beside which the folder is that these go into."""
    folder, _, name = plan.output_path.rpartition("/")
    beside, _, _ = folder.rpartition("/")
    return "/".join(filter(None, (beside, name)))


def _checksum(file: Source) -> int:
    checksum = 0
    for chunk in sources.chunks(file):
        checksum = crc32(chunk, checksum)
    return checksum


def _opened(root: str, path: str, *, linked: bool) -> BinaryIO:
    if linked:
        return Path(root, path).open("rb")
    parts, name = walking.split_path(path, "input")
    with walking.folder(root, parts, "input") as folder:
        return folder.open(name)


def _mounted(plan: CollectPlan, held: Spool) -> Source | None:
    if plan.input_root is None or plan.input_path is None:
        return None
    try:
        whole = _opened(plan.input_root, plan.input_path, linked=plan.input_linked is True)
        held.keep(whole)
        file = sources.window(whole, plan.offset, plan.length)
        if plan.crc32 is not None:
            return file if _checksum(file) == plan.crc32 else None
        found = sending.identity(lambda: sources.from_start(file), plan.model, MOST_LINE_BYTES)
    except (ProblemError, OSError):
        return None
    return file if found == (plan.input.bytes, plan.input.sha256) else None
