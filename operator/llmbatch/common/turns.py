"""What waits in line, taken in turns by whose it is: how much one has waiting makes nobody else wait longer."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def in_turns(lines: Iterable[Sequence[V]]) -> Iterator[V]:
    """Give the first of each line, then the second of each, and so on."""
    given = list(lines)
    for turn in range(max(map(len, given), default=0)):
        yield from (line[turn] for line in given if turn < len(line))


class Turns(Generic[K, V]):
    """Lines of what waits, each item under a key of its own."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lines: OrderedDict[str, OrderedDict[K, V]] = OrderedDict()  # by whose it is, the next one first
        self._count = 0

    def __len__(self) -> int:
        """Count all that waits."""
        return self._count

    def has(self, whose: str, key: K) -> bool:
        """Tell whether something waits."""
        return key in self._lines.get(whose, ())

    def waiting(self, whose: str) -> int:
        """Count what waits of somebody's."""
        return len(self._lines.get(whose, ()))

    def put(self, whose: str, key: K, value: V) -> None:
        """Put something at the end of somebody's line; what is in it already keeps its place."""
        line = self._lines.setdefault(whose, OrderedDict())
        self._count += key not in line
        line[key] = value

    def take(self) -> tuple[K, V]:
        """Take the first of whoever's turn it is.

        Raises:
            KeyError: Nothing waits.
        """
        whose, line = self._lines.popitem(last=False)
        taken = line.popitem(last=False)
        if line:
            self._lines[whose] = line
        self._count -= 1
        return taken

    def drop(self) -> str:
        """Drop the last of the longest line; answers whose it was.

        Raises:
            ValueError: Nothing waits.
        """
        whose = max(self._lines, key=self.waiting)
        self._lines[whose].popitem()
        if not self._lines[whose]:
            del self._lines[whose]
        self._count -= 1
        return whose
