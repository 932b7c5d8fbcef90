"""Which result line belongs to which request, by custom_id; and in what order they are written.

A custom_id is compared as it is: one that came back trimmed, or in another case, is nobody's. Of several lines for one request
the first that succeeded wins, else the first. Holds a digest and a few numbers for each
request, never a line.
"""

from array import array
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import NamedTuple

from llmbatch.jsonl.lines import digest
from llmbatch.jsonl.results import ResultLine, Tally

_MISSING, _FAILED, _SUCCEEDED = 0, 1, 2


class Place(NamedTuple):
    """The line for one request. length -1: there is none."""

    slot: int
    succeeded: bool
    file: int
    offset: int
    length: int


class Fit(Enum):
    """What a result line is to the requests."""

    OURS = auto()
    """The line of a request, for now."""
    REPEATED = auto()
    """Another line of a request that has one."""
    ANOTHER_ANSWER = auto()
    """The same, and both succeeded: each was paid for."""
    STRANGER = auto()
    """Its custom_id is none of the input's."""
    UNREADABLE = auto()
    """Its custom_id can't be read."""


class Join:
    """Takes first the input's custom_ids, if they are known, then result lines; gives the places to write from."""

    def __init__(self, tally: Tally) -> None:
        """Begin without expectations; usage of succeeded requests goes into `tally`."""
        self._tally = tally
        self._slots: dict[bytes, int] = {}
        self._state = array("b")
        self._file = array("b")
        self._offset = array("q")
        self._length = array("q")
        self._closed = False
        self.malformed = 0
        self.foreign = 0

    def __len__(self) -> int:
        """Count the requests known of."""
        return len(self._state)

    @property
    def missing(self) -> int:
        """Requests known of that have no result line."""
        return self._state.count(_MISSING)

    def expect(self, custom_ids: Iterable[str]) -> None:
        """Lay down the requests, in order; afterwards a line for any other custom_id is foreign."""
        slots = self._slots
        for custom_id in custom_ids:
            slots.setdefault(digest(custom_id), len(slots))
        self._make(len(slots) - len(self._state))
        self._closed = True

    def of(self, custom_id: str) -> Place:
        """Give the place of the line for one request that has one."""
        return self._place(self._slots[digest(custom_id)])

    def place(self, result: ResultLine, file: int, offset: int, length: int) -> Fit:
        """Take a result line that stands at `offset` of file number `file`."""
        if result.custom_id is None:
            self.malformed += 1
            return Fit.UNREADABLE
        key = digest(result.custom_id)
        slot = self._slots.get(key)
        if slot is None:
            if self._closed:
                self.foreign += 1
                return Fit.STRANGER
            slot = self._slot(key)
        state = self._state[slot]
        if state == _SUCCEEDED or (state == _FAILED and not result.succeeded):
            self.foreign += 1
            return Fit.ANOTHER_ANSWER if result.succeeded else Fit.REPEATED
        if state == _FAILED:
            self.foreign += 1  # the failed line that gives way
        self._state[slot] = _SUCCEEDED if result.succeeded else _FAILED
        self._file[slot], self._offset[slot], self._length[slot] = file, offset, length
        if result.succeeded:
            self._tally.add_success(result.usage)
        return Fit.OURS

    def unanswered(self, custom_ids: Iterable[str]) -> Iterator[tuple[int, str]]:
        """Name the requests without a result line, from the input's custom_ids: (slot, custom_id).

        The slot is -1 for a request that was never expected.
        """
        for custom_id in custom_ids:
            slot = self._slots.get(digest(custom_id), -1)
            if slot < 0 or self._state[slot] == _MISSING:
                yield slot, custom_id

    def places(self, *, by_completion: bool) -> Iterator[Place]:
        """Give the places in the order of the slots, or in that of the result files with the missing ones last."""
        order: Iterable[int] = range(len(self._state))
        if by_completion:
            order = sorted(
                order, key=lambda slot: (self._state[slot] == _MISSING, self._file[slot], self._offset[slot])
            )
        for slot in order:
            yield self._place(slot)

    def _place(self, slot: int) -> Place:
        return Place(slot, self._state[slot] == _SUCCEEDED, self._file[slot], self._offset[slot], self._length[slot])

    def _slot(self, key: bytes) -> int:
        new = len(self._state)
        slot = self._slots.setdefault(key, new)
        if slot == new:
            self._make(1)
        return slot

    def _make(self, count: int) -> None:
        """Make so many slots more, for requests without a line."""
        self._state.extend(array("b", [_MISSING]) * count)
        self._file.extend(array("b", [0]) * count)
        self._offset.extend(array("q", [0]) * count)
        self._length.extend(array("q", [-1]) * count)
