"""Temporary files of a collect: hidden, beside the results, gone at any end, and never another process' own."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from hashlib import sha256
from typing import BinaryIO

from llmbatch import crash
from llmbatch.api.reasons import Reason
from llmbatch.transfer.volumes import placement
from llmbatch.transfer.volumes.problem import ProblemError
from llmbatch.transfer.volumes.volume import Folder, Source

_CLAIM = ".claim"
_BLOCK_BYTES = 256 * 1024


class Spool:
    """Hands out temporary files in a folder. Their names tell whose they are, so that a killed try's are found again."""

    def __init__(self, folder: Folder, key: str) -> None:
        """Take `key`, the same for every try of one collect, as the mark of ownership."""
        self._folder = folder
        self._prefix = f".llmbatch-{key}-"
        # Each try has names of its own: were a second one to run at the same time, it could only remove what the first
        # has, so that the first fails, but never have its own half-written file published by it.
        self._own = f"{self._prefix}{os.urandom(4).hex()}"
        self._open: list[BinaryIO] = []
        self._within = ExitStack()
        self.claimed: set[str] = set()
        """Names under which an earlier try may have left something half-made."""
        self.settled: set[str] = set()
        """Names under which there is nothing half-made of ours any more."""

    def name(self, kind: str) -> str:
        """Give the name of a temporary file."""
        return f"{self._own}.{kind}.part"

    def create(self, kind: str) -> BinaryIO:
        """Make a temporary file, to write and read."""
        file = self._folder.create(self.name(kind))
        self._open.append(file)
        return file

    def keep(self, file: BinaryIO) -> None:
        """Close somebody else's file together with our own."""
        self._open.append(file)

    def within(self, opened: AbstractContextManager[Source]) -> Source:
        """Open something that is closed together with our own files."""
        return self._within.enter_context(opened)

    def recover(self) -> None:
        """Find out what an earlier try has left, then remove it."""
        self.claimed = set(self._folder.claimed(self._prefix, _CLAIM).values())
        self._remove()

    def claim(self, sheet: "Sheet") -> str:
        """Give the name of the claim that is laid while a sheet gets its name."""
        return f"{sheet.temporary}{_CLAIM}"

    def clear(self) -> None:
        """Close and remove every temporary file of this collect, those of earlier tries too."""
        with suppress(OSError):
            self._within.close()
        for file in self._open:
            with suppress(OSError):  # what could not be flushed is not wanted any more
                file.close()
        with suppress(OSError):  # they are ours and do no harm; the next try removes them
            self._remove()

    def _remove(self) -> None:
        """Remove temporary files; a claim stays for as long as something half-made may have its name."""
        claims = self._folder.claimed(self._prefix, _CLAIM)
        kept = {claim for claim, name in claims.items() if name not in self.settled and self._is_there(name)}
        self._folder.remove_all(self._prefix, but=kept)

    def _is_there(self, name: str) -> bool:
        try:
            return self._folder.has(name)
        except (OSError, ValueError):
            return False  # no name that we gave


@contextmanager
def spool(folder: Folder, key: str) -> Iterator[Spool]:
    """Hold temporary files for as long as they are needed."""
    held = Spool(folder, key)
    held.recover()
    try:
        yield held
    finally:
        held.clear()


class Sheet:
    """One of the files that are the answer: lines go in, size and SHA-256 come out."""

    def __init__(self, held: Spool, kind: str) -> None:
        """Begin an empty file."""
        self.temporary = held.name(kind)
        self._file = held.create(kind)
        self._digest = sha256()
        self._held = bytearray()  # many lines at once take a fraction of the time
        self.bytes = 0
        self.lines = 0

    def add(self, line: bytes | bytearray) -> None:
        """Write a line as it is, and a line feed."""
        held = self._held
        held += line
        held += b"\n"
        self.bytes += len(line) + 1
        self.lines += 1
        if len(held) > _BLOCK_BYTES:
            self._put()

    def write(self, chunk: bytes) -> None:
        """Write whole lines as they are."""
        self._put()
        self._digest.update(chunk)
        self._file.write(chunk)
        self.bytes += len(chunk)
        self.lines += chunk.count(b"\n")

    @property
    def identity(self) -> tuple[int, str]:
        """Size in bytes and SHA-256 in hexadecimal."""
        self._put()
        return self.bytes, self._digest.hexdigest()

    def is_begun_by(self, folder: Folder, name: str) -> bool:
        """Tell whether a file in the folder is the beginning of this one."""
        self._put()
        self._file.flush()
        return folder.begins(name, self.temporary)

    def finish(self) -> None:
        """Make the content durable."""
        self._put()
        self._file.flush()
        placement.sync(self._file.fileno())
        self._file.close()

    def _put(self) -> None:
        if self._held:
            self._digest.update(self._held)
            self._file.write(self._held)
            self._held.clear()


def publish(folder: Folder, held: Spool, sheets: list[tuple[Sheet, str]]) -> None:
    """Give the finished sheets their names, in this order. What is there already and is the same stays.

    Raises:
        ProblemError: There is something else under one of the names; then none is given.
        OSError: It can't be done.
    """
    due = []
    for sheet, name in sheets:
        found = folder.digest(name)
        if found is None:
            due.append((sheet, name))
        elif found == sheet.identity:
            held.settled.add(name)
        elif name in held.claimed and sheet.is_begun_by(folder, name):
            folder.remove(name)
            due.append((sheet, name))
        else:
            held.settled.add(name)
            raise exists(folder.shown(name))
    for sheet, _ in due:
        sheet.finish()
    for sheet, name in due:
        try:
            with crash.around(crash.Effect.PUBLISH_FILE):
                folder.publish(sheet.temporary, name, held.claim(sheet))
        except FileExistsError:
            raise exists(folder.shown(name)) from None
    held.settled |= {*held.claimed, *(name for _, name in sheets)}
    with crash.around(crash.Effect.SYNC_FOLDER):
        folder.sync()


def exists(shown: str) -> ProblemError:
    """Say that there is something in the place of the results."""
    return ProblemError(
        Reason.OUTPUT_EXISTS,
        f"{shown}: exists and is not this job's; it is not overwritten: move it away or change the path in spec.output",
    )
