"""How many passes, and how many transfers in threads, may go on at the same time for one gateway, one namespace, all.

A gateway's owner decides how long a call to it takes. So nothing that calls one holds a worker for longer than a moment,
and what goes on beside the workers has its bounds here. Whoever finds no place waits without a look at the clock: the end
of another one wakes him.
"""

from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

Groups = tuple[Hashable, ...]
"""What somebody counts for, the narrowest first: his gateway, his namespace, all."""


@dataclass
class Shares:
    """Places of which every group has a limited number."""

    limits: tuple[int, ...]
    """Most places of a group of each width, in the order of Groups."""
    _taken: Counter[Hashable] = field(default_factory=Counter)
    _waiting: OrderedDict[Hashable, OrderedDict[Hashable, Groups]] = field(default_factory=OrderedDict)
    """By the narrowest group: who waits, the longest first."""

    def take(self, who: Hashable, groups: Groups, *, at_once: bool = False) -> bool:
        """Take a place if there is one, or, `at_once`, whether there is one or not; else wait for it."""
        line = self._waiting.get(groups[0], OrderedDict())
        if not at_once and not self._has_room(groups):
            self._waiting.setdefault(groups[0], line).setdefault(who, groups)
            return False
        line.pop(who, None)
        if not line:
            self._waiting.pop(groups[0], None)
        self._taken.update(groups)
        return True

    def give(self, groups: Groups) -> Hashable | None:
        """Give a place back; answers who may now take one, and is waited for no longer."""
        for group in groups:
            self._taken[group] -= 1
            if self._taken[group] <= 0:
                del self._taken[group]
        return self.next()

    def next(self) -> Hashable | None:
        """Name who may take a place now: of the narrowest groups in turn, there the one that has waited longest."""
        for group, line in list(self._waiting.items()):
            who, groups = next(iter(line.items()))
            if self._has_room(groups):
                del line[who]
                del self._waiting[group]
                if line:
                    self._waiting[group] = line
                return who
        return None

    def forget(self, who: Hashable, groups: Groups) -> None:
        """Forget somebody who waits no longer."""
        line = self._waiting.get(groups[0], OrderedDict())
        line.pop(who, None)
        if not line:
            self._waiting.pop(groups[0], None)

    def _has_room(self, groups: Groups) -> bool:
        return all(self._taken[group] < most for group, most in zip(groups, self.limits, strict=True))
