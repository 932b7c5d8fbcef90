"""Whether an answer is about what was asked for, and whether a batch is the job's: a cache on the way may mix answers up.

An answer about something else is as good as none. Whoever believed it would follow, and in the end cancel, the batch of
somebody else.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from llmbatch.provider.pure import lenient, wire
from llmbatch.provider.pure.wire import RemoteBatch, RemoteFile

Named = TypeVar("Named", RemoteBatch, RemoteFile)
_UPLOADED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-.*\.jsonl", re.DOTALL)
"""The name of a file that was uploaded for a BatchJob."""
_LONG_BEFORE = timedelta(minutes=15)
"""More than clocks are apart."""
MIXED_UP = "it is about another {} than was asked for; does a cache on the way mix answers up?"


def this(asked: str, read: Callable[[bytes], Named]) -> Callable[[bytes], Named]:
    """Give a reader that insists on the id that was asked for."""

    def check(body: bytes) -> Named:
        found = read(body)
        if found.id != asked:
            raise lenient.WireError(MIXED_UP.format("batch" if isinstance(found, RemoteBatch) else "file"))
        return found

    return check


def upload_of(filename: str, length: int, began: datetime) -> Callable[[bytes], RemoteFile]:
    """Give a reader for an upload's answer that insists on the file that was sent.

    A gateway may store it under a name of its own, or rewrite it on the way; neither shows that it is another one.

    Args:
        filename: Name that the file was given.
        length: Its bytes.
        began: When it was sent.
    """

    def check(body: bytes) -> RemoteFile:
        found = wire.read_file(body)
        if found.filename in (None, filename):
            return found
        is_old = found.created_at is not None and found.created_at < began - _LONG_BEFORE
        if _UPLOADED.fullmatch(found.filename or "") or (is_old and found.bytes not in (None, length)):
            raise lenient.WireError(MIXED_UP.format("file"))
        return found

    return check


def deletion_of(file_id: str) -> Callable[[bytes], None]:
    """Give a reader for a deletion's answer, whose HTTP status says it all unless the body contradicts it."""

    def check(body: bytes) -> None:
        if lenient.is_page(body):
            raise lenient.WireError("it is a web page (of a login, perhaps)")
        try:
            data = lenient.mapping(lenient.unwrapped(body))
        except lenient.WireError:
            return
        if lenient.text(data.get("id")) not in (None, file_id):
            raise lenient.WireError(MIXED_UP.format("file"))
        if data.get("error"):
            raise lenient.WireError("it tells of an error")
        if data.get("deleted") in (False, "false"):
            raise lenient.WireError("it says that the file is not deleted")

    return check


def is_anothers(told: RemoteBatch, input_file_id: str | None, uid: str) -> bool:
    """Tell whether what an answer says of a batch shows that it is not the one of our job and file.

    Our file or our uid settles it: a restored object has another uid than the one that its batch names, and a batch of an
    older upload of ours may have been adopted.
    """
    if told.input_file_id is not None and told.input_file_id == input_file_id:
        return False
    named = told.metadata.get("llmbatch_uid", "")
    if named != "":
        return named != uid
    return None not in (told.input_file_id, input_file_id)
