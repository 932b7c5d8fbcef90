"""Cutting a stream of bytes into lines. A line feed ends a line, and nothing else does."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overlong:
    """In place of a line that is longer than can be kept; `length` is its size in bytes."""

    length: int


def lines(chunks: Iterable[bytes], limit: int) -> Iterator[bytes | bytearray | Overlong]:
    """Yield the lines without their line feeds; the last one too when it has none, unless it is empty.

    A chunk is expected to be smaller than `limit`, the most bytes of a line that are kept.
    """
    for sheaf in sheaves(chunks, limit):
        yield from sheaf


def sheaves(chunks: Iterable[bytes], limit: int) -> Iterator[list[bytes | bytearray | Overlong]]:
    """Yield the same lines, those that end in a chunk together: it takes far less time to go over many at once.

    None is empty, and only the first line of each may be anything but bytes.
    """
    begun: bytes | bytearray = b""  # the beginning of a line whose end has not come yet
    dropped = 0  # of that line, bytes that were not kept
    for chunk in chunks:
        pieces = chunk.split(b"\n")
        rest = pieces.pop()
        if not pieces:
            # Growing a bytearray is linear over many chunks; adding to bytes is not.
            begun = bytearray(begun) if isinstance(begun, bytes) else begun
            begun += rest
            if dropped or len(begun) > limit:
                dropped += len(begun)
                begun = b""
            continue
        sheaf: list[bytes | bytearray | Overlong] = [*pieces]
        if dropped or len(begun) + len(pieces[0]) > limit:
            sheaf[0] = Overlong(dropped + len(begun) + len(pieces[0]))
            dropped = 0
        elif begun:
            sheaf[0] = begun + pieces[0]
        yield sheaf
        begun = rest
    if dropped:
        yield [Overlong(dropped + len(begun))]
    elif begun:
        yield [begun]
