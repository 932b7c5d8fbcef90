"""The answers that a collect has downloaded: which line of the provider's files belongs to which request, and which to none."""

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from llmbatch.api.reasons import Reason
from llmbatch.jsonl import results, split
from llmbatch.jsonl.join import Fit, Join, Place
from llmbatch.jsonl.lines import BOM
from llmbatch.provider.edge.files import Files, Progress
from llmbatch.transfer.edge.fetch import LOST, fetch, too_large
from llmbatch.transfer.pure.plan import CollectPlan
from llmbatch.transfer.volumes import sources
from llmbatch.transfer.volumes.problem import ProblemError
from llmbatch.transfer.volumes.publishing import Sheet
from llmbatch.transfer.volumes.spool import Spool

MAX_RESULT_BYTES = 256 * 1024 * 1024
"""Longest result line that is read; one of embeddings may have tens of megabytes."""


LEAST_LINE_BYTES = len('{"custom_id":""}\n')
"""No line that is stored of a request is shorter."""


def _for_which_there_is_room(custom_ids: Iterable[str], most: int | None) -> Iterator[str]:
    """Give the requests, as long as a line for each could be stored: a file of others than were sent may name any number.

    Raises:
        ProblemError: There are more.
    """
    for number, custom_id in enumerate(custom_ids, 1):
        if most is not None and number * LEAST_LINE_BYTES > most:
            raise too_large(None, most)
        yield custom_id


class Answers:
    """The result lines in files of ours, and the requests whose they are."""

    def __init__(
        self, plan: CollectPlan, files: Files, held: Spool, tally: results.Tally, progress: Progress | None
    ) -> None:
        """Begin with none; usage of succeeded requests goes into `tally`."""
        self._plan = plan
        self._files = files
        self._held = held
        self._progress = progress
        self._sources: list[BinaryIO] = []
        self.join = Join(tally)
        """Which line belongs to whom."""
        self.foreign: Sheet | None = None
        """The lines that fit no request, as far as the destination may have room for them."""
        self.foreign_count = 0
        """How many there are, those that weren't kept too."""
        self.cut = False
        """A file ends within a line."""

    def take(self, custom_ids: Iterable[str] | None) -> None:
        """Download the provider's files and note which line belongs to whom; without custom_ids the lines name the requests.

        Raises:
            ProblemError: One can't be downloaded whole, is larger than the destination can hold, or holds something else
                than result lines.
        """
        if custom_ids is not None:
            self.join.expect(_for_which_there_is_room(custom_ids, self._plan.max_output_bytes))
        self._take_output()
        self._take_errors()
        beyond = len(self.join) - self._plan.input.requests
        if custom_ids is None and self._plan.input.requests and beyond > 0:
            # Nobody can say which; all are stored as results.
            self.foreign_count += beyond

    def line(self, place: Place) -> bytes:
        """Read the line at a place."""
        return os.pread(self._sources[place.file].fileno(), place.length, place.offset)

    def _take(self, file_id: str | None, kind: str) -> None:
        """Download one of the provider's files and note which line of it belongs to whom.

        An empty file is an answer: nothing came of the requests that it is for.

        Raises:
            ProblemError: It can't be downloaded whole, is larger than the destination can hold, or holds something else
                than result lines.
        """
        if file_id is None:
            return
        file = self._held.create(kind)
        number = len(self._sources)
        # A line that repeats another doesn't count, so only far more than fits is known to be too much already.
        most = None if self._plan.max_output_bytes is None else 4 * self._plan.max_output_bytes
        fetch(self._files, file_id, file, most=most, limit=self._plan.max_output_bytes, progress=self._progress)
        self._sources.append(file)
        offset, lines, unreadable, last = 0, 0, self.join.malformed, 0
        file.seek(0)
        for line in split.lines(sources.chunks(file), MAX_RESULT_BYTES):
            if isinstance(line, split.Overlong):
                self.join.malformed += 1
                self.foreign_count += 1  # too long to be kept
                lines += 1
                offset += line.length + 1
                continue
            clean, marks = bare(line)
            if clean and not clean.isspace():
                lines += 1
                last = self.join.malformed
                self._place(clean, number, offset + marks)
            offset += len(line) + 1
        if lines and self.join.malformed > last and offset > os.fstat(file.fileno()).st_size:
            self.cut = True
        if lines and self.join.malformed - unreadable == lines and not self._plan.accept_missing:
            # A page of a proxy, or a file that is not filled yet: to judge by it would be to throw the answers away.
            raise ProblemError(
                Reason.RESULTS_UNREADABLE,
                f"file {file_id} holds no result line that can be read; it is kept at the provider and read again",
            )

    def _take_output(self) -> None:
        try:
            self._take(self._plan.output_file_id, "output")
        except ProblemError as error:
            if not self._plan.accept_missing or error.problem.reason not in LOST:
                raise

    def _take_errors(self) -> None:
        try:
            self._take(self._plan.error_file_id, "failures")
        except ProblemError as error:
            # Azure may name an errors file that doesn't exist when no request failed.
            complete = len(self.join) >= self._plan.input.requests and not self.join.missing
            done_without = complete or self._plan.accept_missing
            if not done_without or error.problem.reason not in LOST:
                raise

    def _place(self, line: bytes | bytearray, number: int, offset: int) -> None:
        result = results.judge(line)
        fit = self.join.place(result, number, offset, len(line))
        if fit is Fit.OURS or fit is Fit.REPEATED:
            return
        if fit is Fit.ANOTHER_ANSWER and self.line(self.join.of(result.custom_id or "")) == line:
            return
        self.foreign_count += 1
        self.foreign = self.foreign or Sheet(self._held, "foreign")
        most = self._plan.max_output_bytes
        if most is None or self.foreign.bytes <= most:
            self.foreign.add(line)


def bare(line: bytes | bytearray) -> tuple[bytes | bytearray, int]:
    """Give a line without the byte-order marks before it, and their bytes.

    They are the file's, or those of files put together: in the middle of the results nobody could read the line behind them.
    """
    marks = 0
    while line.startswith(BOM, marks):
        marks += len(BOM)
    return (line[marks:] if marks else line), marks
