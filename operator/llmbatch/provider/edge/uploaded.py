"""Finding a file that an earlier try has sent, by the name that it was given: so that it isn't sent again.

A list proves that the file is not there only when it was followed to an end that it states.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from io import RawIOBase

from llmbatch.provider.edge.files import Files, TooLargeError
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound, Refused, Unreachable
from llmbatch.provider.pure.pages import Following
from llmbatch.provider.pure.wire import RemoteFile

MOST_PAGES = 50
EVER = datetime(1970, 1, 2, tzinfo=UTC)
"""Older than any file: however a list is sorted, it is read to the end that it states."""
UNLISTED = frozenset({400, 404, 405, 501})
"""Answers of a gateway that lists no files."""
OF_NO_USE = frozenset({"error", "deleted", "deleting", "expired"})
"""Statuses of a file that no batch can be made of any more."""


@dataclass(frozen=True)
class Search:
    """What the gateway's list of files shows of a name."""

    file: RemoteFile | None = None
    """One with the content that is asked for."""
    whole: bool = False
    """The list was followed to its end: what it doesn't show is not there."""
    unusable: bool = False
    """A file of that name is there, under an id that can't be used."""


def search(files: Files, name: str, length: int, digest: Callable[[], str]) -> Search | Failure:
    """Look for an uploaded file of the given name and content; a call that fails is the answer.

    Args:
        files: The gateway.
        name: Name that the file was given.
        length: Bytes that it has.
        digest: Gives the SHA-256 of its content; not asked for before it is needed.
    """
    following = Following(EVER, MOST_PAGES, unsaid_ends=True)
    unusable, goes_on = False, True
    while goes_on:
        answer = files.page(following.after)
        if isinstance(answer, NotFound) or (isinstance(answer, Refused) and answer.status in UNLISTED):
            return Search(unusable=unusable)
        if not isinstance(answer, Answered):
            return answer
        page = answer.value
        for file in page.files:
            if file.filename != name or file.status in OF_NO_USE:
                continue
            same = _is_same(files, file, length, digest)
            if not isinstance(same, bool):
                return same
            if same:
                return Search(file, whole=True)
        unusable = unusable or name in page.unusable
        goes_on = following.take(page)
    return Search(whole=following.whole, unusable=unusable)


def _is_same(files: Files, file: RemoteFile, length: int, digest: Callable[[], str]) -> bool | Failure:
    """Tell whether a file has the content, by the content itself; where that isn't shown, by its size."""
    if file.bytes is not None and file.bytes != length:
        return False
    into = _Digest()
    try:
        answer = files.download(file.id, into, most=length)  # type: ignore[arg-type]  # it only writes
    except TooLargeError:
        return False
    match answer:
        case Answered():
            return into.sha256.hexdigest() == digest()
        case Unreachable():
            return answer
        case Refused(retry_after=float()) | Refused(status=401 | 403 | 429):
            return answer
        case _:
            return file.bytes == length


class _Digest(RawIOBase):
    """Takes a download and keeps its SHA-256."""

    def __init__(self) -> None:
        self.sha256 = sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # never None
        self.sha256.update(data)
        return len(data)
