"""Places at which a test can make the process die, or stand still: before and after every effect on the world.

Nobody but a test sets the variables. Without them a place costs one look into a dictionary.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Literal

AT = "LLMBATCH_CRASH_AT"
"""Where to die: "<before or after> <effect>"."""
MARK = "LLMBATCH_CRASH_MARK"
"""A file that is made by dying; while it is there nobody dies again."""
SKIP = "LLMBATCH_CRASH_SKIP"
"""How often the place is passed first, by whichever process."""
HOW = "LLMBATCH_CRASH_HOW"
"""How to die: "exit", or "stop" to stand still until a SIGCONT, as in a virtual machine that is paused."""
EXIT_CODE = 137
"""What the kernel's own SIGKILL would leave."""

Side = Literal["before", "after"]


class Effect(StrEnum):
    """What the operator and the transfer do to the world, and what they ask of it."""

    ADD_FINALIZER = "add finalizer"
    REMOVE_FINALIZER = "remove finalizer"
    WRITE_STATUS = "write status"
    WRITE_GATEWAY_STATUS = "write gateway status"
    WRITE_INTENT = "write intent"
    WRITE_FACT = "write fact"
    WITHDRAW_INTENT = "withdraw intent"
    RECORD_EVENT = "record event"
    START_TRANSFER = "start transfer"
    REMOVE_TRANSFER = "remove transfer"
    STORE_RESULTS = "store results"
    CREATE_BATCH = "create batch"
    SEND_CREATE = "send create call"
    LOOK_UP = "look up batch"
    GET_BATCH = "get batch"
    CANCEL_BATCH = "cancel batch"
    GET_FILE = "get file"
    LIST_FILES = "list files"
    DELETE_FILE = "delete file"
    UPLOAD_FILE = "upload file"
    DOWNLOAD_FILE = "download file"
    PUBLISH_FILE = "publish file"
    DISCARD_FILE = "discard file"
    SYNC_FOLDER = "sync folder"
    WRITE_REPORT = "write report"


@contextmanager
def around(effect: Effect) -> Iterator[None]:
    """Do an effect, with a place before it and one after it; the latter is passed only when the effect did not raise."""
    _place("before", effect)
    yield
    _place("after", effect)


def _place(side: Side, effect: Effect) -> None:
    if AT not in os.environ or os.environ[AT] != f"{side} {effect}":
        return
    if not _is_due(int(os.environ.get(SKIP, "0"))):
        return
    try:
        Path(os.environ[MARK]).touch(exist_ok=False)
    except FileExistsError:
        return
    if os.environ.get(HOW) == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    os._exit(EXIT_CODE)


def _is_due(skipped: int) -> bool:
    """Count the times that the place was passed, in a file beside the mark."""
    if not skipped:
        return True
    with Path(f"{os.environ[MARK]}.passed").open("ab") as passed:
        passed.write(b".")
        return passed.tell() > skipped
