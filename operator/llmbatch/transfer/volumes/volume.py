"""Files below a mounted folder, reached without ever leaving it: no '..', and no symbolic link is followed.

A volume is written by others too. A link in it could point at the pod's own files, so links are refused, not resolved.
"""

import errno
import os
import stat
from collections.abc import Collection
from contextlib import suppress
from hashlib import sha256
from typing import BinaryIO

from llmbatch.api.reasons import Reason
from llmbatch.transfer.volumes import claims, placement
from llmbatch.transfer.volumes.problem import ProblemError, Side, invalid, of_os_error
from llmbatch.transfer.volumes.sources import CHUNK_BYTES, chunks

READ_BYTES = 64 * 1024
"""What is read at once where lines are asked for: without a buffer each of their bytes would be a system call."""


class Folder:
    """A folder of a volume, held open: what is done in it can't be led elsewhere by renaming or linking."""

    def __init__(self, descriptor: int, shown: str, side: Side) -> None:
        """Hold an open folder; `shown` is its path within the volume, for messages."""
        self._descriptor = descriptor
        self._shown = shown
        self._side = side

    def shown(self, name: str) -> str:
        """Give the path of a file in here as it may be shown."""
        return f"{self._shown}/{name}" if self._shown else name

    def open(self, name: str) -> BinaryIO:
        """Open a regular file to read.

        Raises:
            ProblemError: There is none, it is a link, or it can't be read.
        """
        # Without O_NONBLOCK a named pipe would hold us up before it can be told from a file.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self._link(name) from None
            raise of_os_error(error, self._side, self.shown(name)) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise invalid(self._side, f"{self.shown(name)}: is not a regular file")
        return os.fdopen(descriptor, "rb", buffering=READ_BYTES)

    def create(self, name: str) -> BinaryIO:
        """Make a new file, to write and read, with the permissions that the umask leaves of 0660.

        Raises:
            ProblemError: It can't be made.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.fdopen(os.open(name, flags, 0o660, dir_fd=self._descriptor), "w+b", buffering=CHUNK_BYTES)
        except OSError as error:
            raise of_os_error(error, self._side, self.shown(name)) from None

    def digest(self, name: str) -> tuple[int, str] | None:
        """Give size and SHA-256 of a file; None: there is none.

        Raises:
            ProblemError: It is not a regular file, or can't be read.
        """
        try:
            os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise of_os_error(error, self._side, self.shown(name)) from None
        digest, size = sha256(), 0
        with self.open(name) as file:
            for chunk in chunks(file):
                digest.update(chunk)
                size += len(chunk)
        return size, digest.hexdigest()

    def check(self, name: str) -> None:
        """Find out whether a file can have that name here at all, before anything is done for it.

        Raises:
            ProblemError: The name is too long, or something else than a file has it.
        """
        try:
            found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            raise of_os_error(error, self._side, self.shown(name)) from None
        if stat.S_ISLNK(found.st_mode):
            raise self._link(name)
        if not stat.S_ISREG(found.st_mode):
            raise invalid(self._side, f"{self.shown(name)}: is not a regular file")

    def has(self, name: str) -> bool:
        """Tell whether there is anything of that name."""
        try:
            os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def why_unwritable(self) -> int:
        """Give the error that making a file here would meet, without making one; 0: none that is known beforehand."""
        if os.fstatvfs(self._descriptor).f_flag & os.ST_RDONLY:
            return errno.EROFS
        may = os.access(".", os.W_OK | os.X_OK, dir_fd=self._descriptor, effective_ids=True)
        return 0 if may else errno.EACCES

    def publish(self, temporary: str, name: str, claim: str) -> None:
        """Give a finished temporary file its name; never takes the place of another file.

        Raises:
            FileExistsError: There is something of that name.
            OSError: It can't be done.
        """
        placement.place(self._descriptor, temporary, name, claim)

    def claimed(self, prefix: str) -> dict[str, str]:
        """Give the names that tries have claimed and have not got to the end with, by their claims, whose names begin so."""
        return claims.claimed(self._descriptor, prefix)

    def check_whole(self, name: str, file: BinaryIO) -> None:
        """See that an open file isn't one that a collection is just giving its content, as it does where there are no hard links.

        Raises:
            ProblemError: It is, or was when it was opened.
        """
        claim = claims.of(self._descriptor, name)
        # Or it is the empty file by which the name was taken, in whose place the whole one is by now.
        is_taken = os.fstat(file.fileno()).st_size == 0 and os.stat(name, dir_fd=self._descriptor).st_size > 0
        if claim is None and not is_taken:
            return
        told = f"{self.shown(name)}: is being written by a BatchJob whose results it is; it is read when it is whole"
        remedy = f"; if there is no such BatchJob any more, delete {self.shown(claim)}" if claim is not None else ""
        raise ProblemError(Reason.INPUT_NOT_FOUND, f"{told}{remedy}")

    def sync(self) -> None:
        """Make the names durable."""
        placement.sync(self._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def remove_folder(self, name: str) -> None:
        """Remove a folder in here if it is there and nothing is in it."""
        try:
            os.rmdir(name, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise

    def remove_all(self, prefix: str, *, but: Collection[str] = ()) -> None:
        """Remove the files whose names begin so, but those."""
        for name in claims.named(self._descriptor, prefix):
            if name not in but:
                self.remove(name)

    def _link(self, name: str) -> Exception:
        return invalid(self._side, f"{self.shown(name)}: is a symbolic link, which is not followed")
