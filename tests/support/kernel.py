"""A kernel that answers some system calls with errors, as file systems of all kinds do: by a seccomp filter of one thread."""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

Result = TypeVar("Result")

NUMBERS = {
    "x86_64": {"linkat": 265, "renameat": 264, "renameat2": 316, "fsync": 74, "mkdirat": 258},
    "aarch64": {"linkat": 37, "renameat": 38, "renameat2": 276, "fsync": 82, "mkdirat": 34},
}
_LOAD, _IF_EQUAL, _ANSWER = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
_ERROR, _ALLOW = 0x00050000, 0x7FFF0000
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def with_errors(errors: dict[str, int], act: Callable[[], Result]) -> Result:
    """Do something in a thread of its own, to which these system calls answer with these errors."""
    numbers = NUMBERS.get(platform.machine())
    if numbers is None:
        pytest.skip("the numbers of its system calls aren't known")

    def work() -> Result:
        _filter({numbers[name]: code for name, code in errors.items()})
        return act()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def no_links(code: int, *, renames: int | None = None) -> dict[str, int]:
    """Give the errors of a file system without hard links, and perhaps without renaming."""
    found = {"linkat": code}
    return found if renames is None else {**found, "renameat": renames, "renameat2": renames}


def _filter(errors: dict[int, int]) -> None:
    steps = [(_LOAD, 0, 0, 0)]
    for number, code in errors.items():
        steps += [(_IF_EQUAL, 0, 1, number), (_ANSWER, 0, 0, _ERROR | code)]
    steps.append((_ANSWER, 0, 0, _ALLOW))
    bytecode = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.addressof(bytecode))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program)):
        number = ctypes.get_errno()
        assert number in {errno.EINVAL, errno.EACCES, errno.EPERM}, os.strerror(number)
        pytest.skip("this kernel has no seccomp filters")
