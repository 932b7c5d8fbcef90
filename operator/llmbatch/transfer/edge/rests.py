"""The lines of unfinished requests, stored beside the results of their batches: what a later attempt sends."""

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from zlib import crc32

from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure.plan import Rests
from llmbatch.transfer.volumes import sources, walking
from llmbatch.transfer.volumes.problem import ProblemError
from llmbatch.transfer.volumes.sources import Source


class Pieces:
    """Several files, read as if they were one."""

    def __init__(self, files: Sequence[tuple[Source, int]]) -> None:
        """Take open files with their sizes in bytes; the caller closes them."""
        self._files = files
        self._at = 0
        self.seek(0)

    def read(self, size: int, /) -> bytes:
        """Read at most so many bytes."""
        while self._at < len(self._files):
            if found := self._files[self._at][0].read(size):
                return found
            self._at += 1
            if self._at < len(self._files):
                self._files[self._at][0].seek(0)
        return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go on from elsewhere, counted from the beginning or the end of all."""
        if whence == io.SEEK_END:
            offset += sum(size for _, size in self._files)
        left = offset
        for place, (file, size) in enumerate(self._files):
            if left < size or place + 1 == len(self._files):
                self._at = place
                file.seek(left)
                break
            left -= size
        return offset


@contextmanager
def opened(root: str, path: str, rests: Rests) -> Iterator[Source]:
    """Open what is sent again, if it is what was stored.

    Args:
        root: Folder where the volume of the results is mounted.
        path: The results below root.
        rests: The files.

    Raises:
        ProblemError: One of them is gone, or something else.
    """
    parts, _ = walking.split_path(path, "output")
    with walking.folder(root, [*parts, rests.folder], "output") as folder, ExitStack() as stack:
        files: list[tuple[Source, int]] = []
        for item in rests.files:
            file = stack.enter_context(folder.open(item.name))
            checksum = size = 0
            for chunk in sources.chunks(file):
                checksum, size = crc32(chunk, checksum), size + len(chunk)
            if (size, checksum) != (item.bytes, item.crc32):
                told = (
                    f"{folder.shown(item.name)}: is not what was stored there (the requests that are to be sent again);"
                    " bring it back, or delete the BatchJob and apply it again"
                )
                raise ProblemError(Reason.OUTPUT_INVALID, told)
            files.append((file, size))
        yield Pieces(files)
