"""The outcomes of a batch's requests where single requests are judged: one file, and what becomes of it with later attempts.

Each line is a request's result line behind one character that says what it is. The first attempt at a part has one line for
each of its requests, in their order; a later one has one for each request that was sent again. Of each request the first
success counts, else the last failure.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from llmbatch.jsonl.ids import FirstLines
from llmbatch.jsonl.results import judge


class Kind(StrEnum):
    """What an outcome is."""

    SUCCEEDED = "+"
    FAILED = "!"
    UNFINISHED = "?"
    """It failed in a way that may pass: a later attempt, if there is one, has the last word."""


class Outcome(NamedTuple):
    """One request's outcome."""

    kind: Kind
    line: bytes
    """The result line, without its line feed."""

    @property
    def custom_id(self) -> str:
        """The request's custom_id."""
        return judge(self.line).custom_id or ""


def written(kind: Kind, line: bytes | bytearray) -> bytes:
    """Give the line of an outcome, without its line feed."""
    return kind.encode() + line


def read(line: bytes) -> Outcome:
    """Read the line of an outcome, with or without its line feed.

    Raises:
        ValueError: It is none.
    """
    return Outcome(Kind(line[:1].decode("ascii", "replace")), line[1:].removesuffix(b"\n"))


class Places:
    """Where in a file each request's outcome stands, in some 40 bytes a request."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        """Read a file of outcomes once, line by line."""
        self._ids = FirstLines()
        self._offsets: list[int] = []
        offset = 0
        for line in lines:
            custom_id = read(line).custom_id
            self._offsets.append(offset)
            self._ids.first(custom_id, len(self._offsets))
            offset += len(line)

    def find(self, custom_id: str) -> int | None:
        """Give the offset of a request's outcome."""
        line = self._ids.find(custom_id)
        return self._offsets[line - 1] if line else None


def unfinished(lines: Iterable[bytes]) -> Iterator[Outcome]:
    """Give the outcomes that a later attempt may change."""
    mark = Kind.UNFINISHED.encode()
    return (read(line) for line in lines if line.startswith(mark))
