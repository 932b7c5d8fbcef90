"""Cutting an input into parts: whole lines, one after the other, as many in each as the limits allow."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import crc32

MOST_PARTS = 100
"""Parts of one input."""
_BLOCK_BYTES = 64 * 1024
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Cut(NamedTuple):
    """One part."""

    requests: int
    bytes: int
    """Size of what is sent of it."""
    source_bytes: int
    """Size of what it is made of: the part of the input from its first byte up to that of the next one."""
    crc32: int
    """CRC-32 of what it is made of."""
    tokens: int = 0
    """What its requests are estimated to take; 0: it was cut by a release that didn't say."""


OLD_FIELDS = 4
"""Numbers of a part in what a release wrote that knew of no tokens."""


@dataclass
class Cutter:
    """Takes the lines of an input in turn. Memory does not grow with them."""

    max_bytes: int
    max_requests: int
    max_tokens: int | None = None
    """None: no limit. A request that alone takes more makes a part of its own."""
    done: list[Cut] = field(default_factory=list)
    _requests: int = 0
    _bytes: int = 0
    _tokens: int = 0
    _source_bytes: int = 0
    _crc32: int = 0
    _held: list[bytes] = field(default_factory=list)
    """Lines whose source has not been counted yet: many at once take a fraction of the time."""
    _held_bytes: int = 0

    def add(self, line: bytes, sent_bytes: int, tokens: int = 0) -> None:
        """Take a line.

        Args:
            line: The line as it is in the input, without its line feed.
            sent_bytes: Size of what is sent of it, line feed included; 0: nothing is, it holds no request.
            tokens: What it is estimated to take.
        """
        full = self._bytes + sent_bytes > self.max_bytes or self._requests == self.max_requests
        full = full or self._takes_too_many(tokens)
        if sent_bytes and self._requests and full:
            self._close(ended=True)
        elif self._held_bytes > _BLOCK_BYTES:
            self._count(ended=True)
        self._requests += sent_bytes > 0
        self._bytes += sent_bytes
        self._tokens += tokens
        self._held.append(line)
        self._held_bytes += len(line)

    def add_all(self, lines: list[bytes], tokens: int = 0) -> bool:
        """Take lines that are sent as they are, many at once, if the part has room for all of them; tell whether it had."""
        size = sum(map(len, lines)) + len(lines)
        if self._bytes + size > self.max_bytes or self._requests + len(lines) > self.max_requests:
            return False
        if self._takes_too_many(tokens):
            return False
        if self._held:
            self._count(ended=True)
        self._requests += len(lines)
        self._bytes += size
        self._tokens += tokens
        self._held += lines
        self._held_bytes += size
        return True

    def finish(self, *, ended: bool) -> list[Cut]:
        """Give the parts, when all lines were taken; what holds no request belongs to the part before it, or the first.

        Args:
            ended: The last line has a line feed.
        """
        if self._requests:
            self._close(ended=ended)
        return self.done

    def _takes_too_many(self, tokens: int) -> bool:
        return self.max_tokens is not None and self._tokens + tokens > self.max_tokens

    def _count(self, *, ended: bool) -> None:
        """Count the lines held; the last one has a line feed if another came after it."""
        source = b"\n".join([*self._held, b""] if ended else self._held)
        self._source_bytes += len(source)
        self._crc32 = crc32(source, self._crc32)
        self._held.clear()
        self._held_bytes = 0

    def _close(self, *, ended: bool) -> None:
        self._count(ended=ended)
        self.done.append(Cut(self._requests, self._bytes, self._source_bytes, self._crc32, self._tokens))
        self._requests = self._bytes = self._source_bytes = self._crc32 = self._tokens = 0


def packed(cuts: Iterable[Cut]) -> str:
    """Write cuts into so few characters that a hundred fit into a transfer's report."""
    return ",".join(".".join(map(_short, cut)) for cut in cuts)


def unpacked(text: str) -> list[Cut]:
    """Read what `packed` has written.

    Raises:
        ValueError: It is something else.
    """
    cuts = []
    for item in text.split(",") if text else []:
        numbers = [int(number, 36) for number in item.split(".")]
        if len(numbers) not in (OLD_FIELDS, len(Cut._fields)):
            raise ValueError(f"{item!r} is no part")
        cuts.append(Cut(*numbers))
    return cuts


def _short(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
