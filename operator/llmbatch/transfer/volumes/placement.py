"""Gives a finished temporary file its name in a folder, in whichever way the file system can: never in another file's place.

A hard link is best: it never overwrites, and the file is there whole or not at all. Where there are none (SMB, FUSE, object
stores) the name is taken with an empty file, which the temporary one is renamed over; where that can't be done either, the
content is copied. Until it is whole a claim lies beside it, so that the next try knows a half-made file for its own.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_OURS_ALONE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK_BYTES = 1024 * 1024

LASTING = frozenset({
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ESTALE,
    errno.EFBIG,
})  # fmt: skip
"""Errors that no other way gets around: about the place or its room, not about what the file system knows to do."""
SYNC_UNKNOWN = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EISDIR})
"""A file system that keeps no more than it has already: some network ones, which have it on the server."""


def sync(descriptor: int) -> None:
    """Make a file or a folder durable, as far as the file system can."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in SYNC_UNKNOWN:
            raise


def place(folder: int, temporary: str, name: str, claim: str) -> None:
    """Give a temporary file its name, in the folder of that descriptor; `claim` is a name that may be used meanwhile.

    Raises:
        FileExistsError: There is something of that name.
        OSError: It can't be done in any way.
    """
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in LASTING:
            raise
        with _claimed(folder, name, claim), _taken(folder, name):
            _rename_or_copy(folder, temporary, name)
    else:
        with suppress(OSError):  # the file has its name; a second one does no harm
            os.unlink(temporary, dir_fd=folder)


def claimed(folder: int, claim: str) -> str:
    """Read which name a claim that was left is for."""
    descriptor = os.open(claim, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(descriptor, 4096).decode(errors="replace")
    finally:
        os.close(descriptor)


@contextmanager
def _claimed(folder: int, name: str, claim: str) -> Iterator[None]:
    descriptor = os.open(claim, os.O_WRONLY | _OURS_ALONE, 0o660, dir_fd=folder)
    try:
        os.write(descriptor, name.encode(errors="surrogateescape"))
        sync(descriptor)
    finally:
        os.close(descriptor)
    sync(folder)
    try:
        yield
    except FileExistsError:
        # What is there is somebody else's, and must not pass for a half-made file of ours.
        with suppress(OSError):
            os.unlink(claim, dir_fd=folder)
        raise
    with suppress(OSError):
        sync(folder)  # the claim must not be gone before the file is there
        os.unlink(claim, dir_fd=folder)


@contextmanager
def _taken(folder: int, name: str) -> Iterator[None]:
    # Not held open: some file systems rename nothing over an open file.
    os.close(os.open(name, os.O_WRONLY | _OURS_ALONE, 0o660, dir_fd=folder))
    try:
        yield
    except FileExistsError:
        raise
    except BaseException:
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)
        raise


def _rename_or_copy(folder: int, temporary: str, name: str) -> None:
    try:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        if error.errno in LASTING:
            raise
        _copy(folder, temporary, name)


def _copy(folder: int, temporary: str, name: str) -> None:
    source = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        target = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            found = os.fstat(target)
            if found.st_size or found.st_nlink > 1:
                # Whoever may write into the volume too has put something else there.
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            while block := os.read(source, _BLOCK_BYTES):
                rest = memoryview(block)
                while rest:
                    rest = rest[os.write(target, rest) :]
            sync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)
