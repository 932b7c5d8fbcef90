"""The files that are the answer: written beside the results, and given their names when all are whole."""

from hashlib import sha256

from llmbatch import crash
from llmbatch.api.reasons import Reason
from llmbatch.transfer.volumes import placement
from llmbatch.transfer.volumes.problem import ProblemError
from llmbatch.transfer.volumes.sources import chunks
from llmbatch.transfer.volumes.spool import Spool
from llmbatch.transfer.volumes.volume import Folder

_BLOCK_BYTES = 256 * 1024


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
        with folder.open(name) as part, folder.open(self.temporary) as file:
            return all(file.read(len(chunk)) == chunk for chunk in chunks(part))

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
                folder.publish(sheet.temporary, name, held.claim(sheet.temporary))
        except FileExistsError:
            raise exists(folder.shown(name)) from None
    held.settled |= {*held.claimed, *(name for _, name in sheets)}
    with crash.around(crash.Effect.SYNC_FOLDER):
        folder.sync()


def exists(shown: str) -> ProblemError:
    """Say that there is something in the place of the results."""
    remedy = "it is not overwritten: move it away or change the path in spec.output"
    return ProblemError(Reason.OUTPUT_EXISTS, f"{shown}: exists and is not this job's; {remedy}")
