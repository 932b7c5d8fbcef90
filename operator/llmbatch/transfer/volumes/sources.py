"""What an input is read from: a file, a stretch of one, or bytes in memory, in pieces of constant size."""

import io
from collections.abc import Iterator
from typing import BinaryIO, Protocol

CHUNK_BYTES = 1024 * 1024


class Source(Protocol):
    """What an input is read from."""

    def read(self, size: int, /) -> bytes:
        """Read at most so many bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go on from elsewhere; answers where that is."""


def chunks(file: Source) -> Iterator[bytes]:
    """Read a file to its end, about 1 MiB at a time."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def from_start(file: Source) -> Iterator[bytes]:
    """Read a whole file, wherever it was read last."""
    file.seek(0)
    return chunks(file)


class Window:
    """A stretch of a file, read as if it were a file of its own; a shorter file ends earlier."""

    def __init__(self, file: BinaryIO, offset: int, length: int) -> None:
        """Take an open file, which the caller closes."""
        self._file, self._offset = file, offset
        self._length = max(0, min(length, file.seek(0, io.SEEK_END) - offset))
        self.seek(0)

    def read(self, size: int, /) -> bytes:
        """Read at most so many bytes."""
        return self._file.read(min(size, max(0, self._offset + self._length - self._file.tell())))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go on from elsewhere, counted from the beginning or the end of the stretch."""
        base = self._offset + (self._length if whence == io.SEEK_END else 0)
        return self._file.seek(base + offset) - self._offset


def window(file: BinaryIO, offset: int | None, length: int | None) -> Source:
    """Give a stretch of a file, or the whole of it without a length."""
    return file if length is None else Window(file, offset or 0, length)
