"""Which custom_ids an input has had so far, in 12 bytes each: there may be ten million of them.

A table with open addressing in two arrays. Python's own hash of eight bytes stands for a custom_id; that two of ten million
differ and have the same is less likely than one in 300,000, and then the input is refused with both lines named. The hash is
keyed anew in each process, so that nobody can choose custom_ids that collide, and trying again helps.
"""

from array import array

_LEAST_SLOTS = 1 << 12
_MOST_KEY = (1 << 64) - 1
_FULL = 0.6
"""Share of the slots in use from which on looking for a free one takes too long."""


class FirstLines:
    """Remembers on which line each custom_id was first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._count = 0
        self._make(_LEAST_SLOTS)

    def first(self, custom_id: str, line: int) -> int:
        """Give the line on which a custom_id was first; that given, from 1, when it is new."""
        # As in _slot: a call more would take as long as all the rest.
        keys, lines, mask = self._keys, self._lines, self._mask
        key = hash(custom_id) & _MOST_KEY
        slot = key & mask
        while known := lines[slot]:
            if keys[slot] == key:
                return known
            slot = (slot + 1) & mask
        keys[slot], lines[slot] = key, line
        self._count += 1
        if self._count > _FULL * len(keys):
            self._grow()
        return line

    def find(self, custom_id: str) -> int:
        """Give the line on which a custom_id was first; 0 when it is new."""
        return self._lines[self._slot(hash(custom_id) & _MOST_KEY)]

    def _slot(self, key: int) -> int:
        """Find the slot of a key, or the free one that it is to have."""
        keys, lines, mask = self._keys, self._lines, self._mask
        slot = key & mask
        while lines[slot] and keys[slot] != key:
            slot = (slot + 1) & mask
        return slot

    def _make(self, slots: int) -> None:
        self._mask = slots - 1
        self._keys = array("Q", bytes(8 * slots))
        self._lines = array("I", bytes(4 * slots))

    def _grow(self) -> None:
        keys, lines = self._keys, self._lines
        self._make(2 * len(keys))
        for key, line in zip(keys, lines, strict=True):
            if line:
                slot = self._slot(key)
                self._keys[slot], self._lines[slot] = key, line
