"""The way to a folder of a volume, which no link leads astray."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from llmbatch.transfer.volumes import placement
from llmbatch.transfer.volumes.problem import Side, invalid, of_os_error
from llmbatch.transfer.volumes.volume import Folder


def split_path(path: str, side: Side) -> tuple[list[str], str]:
    """Split a relative path into its folders and its name.

    Raises:
        ProblemError: It is absolute, or has empty, '.' or '..' parts.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise invalid(side, f"{path}: must be relative to the volume, without '..'")
    return parts[:-1], parts[-1]


@contextmanager
def folder(root: str, parts: list[str], side: Side, *, make: bool = False) -> Iterator[Folder]:
    """Open the folder below `root` that `parts` lead to; missing ones are made on request.

    Raises:
        ProblemError: It isn't there, is behind a link, or can't be opened.
    """
    walked = ""
    descriptor = -1
    # What is on the way, and where an input is, need not be listed.
    passed = [True] * len(parts) + [side == "input"]
    try:
        descriptor = _opened(root, passed=passed[0])
        for part, is_passed in zip(parts, passed[1:], strict=True):
            walked = f"{walked}/{part}" if walked else part
            inner = _inner(descriptor, part, passed=is_passed, make=make)
            os.close(descriptor)
            descriptor = inner
    except OSError as error:
        is_link = descriptor >= 0 and error.errno in {errno.ENOTDIR, errno.ELOOP} and _is_link(walked, descriptor)
        if descriptor >= 0:
            os.close(descriptor)
        if is_link:
            raise invalid(side, f"{walked}: is a symbolic link, which is not followed") from None
        raise of_os_error(error, side, walked or "the volume") from None
    try:
        yield Folder(descriptor, walked, side)
    finally:
        os.close(descriptor)


def _opened(path: str, *, passed: bool, within: int | None = None) -> int:
    """Open a folder; one that is only `passed` may be one that can't be read: to go through it takes no more than to search it."""
    flags = os.O_DIRECTORY | os.O_CLOEXEC | (os.O_NOFOLLOW if within is not None else 0)
    try:
        return os.open(path, flags | os.O_RDONLY, dir_fd=within)
    except PermissionError:
        if not passed:
            raise
        return os.open(path, flags | os.O_PATH, dir_fd=within)


def _inner(descriptor: int, part: str, *, passed: bool, make: bool) -> int:
    try:
        inner = _opened(part, passed=passed, within=descriptor)
    except FileNotFoundError:
        if not make:
            raise
        with suppress(FileExistsError):
            os.mkdir(part, 0o770, dir_fd=descriptor)
        inner = _opened(part, passed=passed, within=descriptor)
        try:
            # Else the folder, and with it the results in it, would be gone after a power cut.
            placement.sync(descriptor)
        except BaseException:
            os.close(inner)
            raise
        return inner
    if make:
        # An earlier try may have made it and died before this; a folder that is not ours to sync was not made by us.
        with suppress(OSError):
            os.fsync(descriptor)
    return inner


def _is_link(walked: str, descriptor: int) -> bool:
    try:
        found = os.stat(walked.rpartition("/")[2], dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISLNK(found.st_mode)
