"""Temporary files of a collect: hidden, beside the results, gone at any end, and never another process' own."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import BinaryIO

from llmbatch.transfer.volumes.claims import CLAIM, OURS
from llmbatch.transfer.volumes.sources import Source
from llmbatch.transfer.volumes.volume import Folder


class Spool:
    """Hands out temporary files in a folder. Their names tell whose they are, so that a killed try's are found again."""

    def __init__(self, folder: Folder, key: str) -> None:
        """Take `key`, the same for every try of one collect, as the mark of ownership."""
        self._folder = folder
        self._prefix = f"{OURS}{key}-"
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
        self.claimed = set(self._folder.claimed(self._prefix).values())
        self._remove()

    def claim(self, temporary: str) -> str:
        """Give the name of the claim that is laid while a temporary file gets its own."""
        return f"{temporary}{CLAIM}"

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
        claims = self._folder.claimed(self._prefix)
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
