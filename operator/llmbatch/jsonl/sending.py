"""What is sent of an input: every line with a request, clean and for the model that the job names, and nothing else."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple, TypeGuard, cast
from zlib import crc32

from llmbatch.jsonl import split
from llmbatch.jsonl.lines import clean
from llmbatch.jsonl.rewrite import Rewriter

_LEAST_KEPT = 4 * 1024 * 1024
_SLACK = 4096
"""White space at the end of a line, which is not counted in its length."""
_OPEN, _CLOSED = b"{}"


def lines(chunks: Iterable[bytes], limit: int) -> Iterator[bytes | split.Overlong]:
    """Cut an input into its lines as they are. One that is a little longer than `limit` comes whole: it may be so by white space."""
    for sheaf in sheaves(chunks, limit):
        yield from sheaf


def sheaves(chunks: Iterable[bytes], limit: int) -> Iterator[list[bytes | split.Overlong]]:
    """Cut an input into the same lines, many at once; only the first of each may be Overlong."""
    # What is kept of a line must be more than a chunk.
    for sheaf in split.sheaves(chunks, max(limit, _LEAST_KEPT) + _SLACK):
        if isinstance(sheaf[0], bytearray):
            sheaf[0] = bytes(sheaf[0])
        yield cast("list[bytes | split.Overlong]", sheaf)


def are_plain(sheaf: list[bytes | split.Overlong]) -> TypeGuard[list[bytes]]:
    """Tell whether all lines begin and end as objects do: then there is nothing to be left out of them."""
    if isinstance(sheaf[0], split.Overlong):
        return False
    return all(line[:1] == b"{" and line[-1:] == b"}" for line in cast("list[bytes]", sheaf))


def made(lines: Iterable[bytes | split.Overlong], rewriter: Rewriter) -> Iterator[bytes]:
    """Give the lines as they are sent, without line feeds.

    Raises:
        ValueError: They are not those of an input that was found valid.
    """
    for line in lines:
        if isinstance(line, split.Overlong):
            raise ValueError("too long")  # noqa: TRY004 - as of a line that can't be read
        if kept := clean(line):
            yield rewriter.rewrite(kept)


class Sent:
    """Adds up what is sent, from its lines in turn."""

    def __init__(self, *, rewritten: bool) -> None:
        """Begin with nothing; `rewritten`: a model's name is put into every line."""
        self._digest = sha256()
        self._rewritten = rewritten
        self._ended = True
        self._begun = False
        self.cleaned = False
        self.length = 0

    @property
    def as_it_is(self) -> bool:
        """Tell whether the input is sent byte for byte."""
        return not self.cleaned and not self._rewritten

    @property
    def ended(self) -> bool:
        """Tell whether the last line of the input has a line feed."""
        return self._ended

    @property
    def sha256(self) -> str:
        """SHA-256 in hexadecimal."""
        return self._digest.hexdigest()

    def watched(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass the input on, and note how it ends."""
        for chunk in chunks:
            self._ended = chunk.endswith(b"\n")
            yield chunk

    def add(self, line: bytes, kept: bytes, made: bytes) -> None:
        """Take a line as it is, as it is when clean, and as it is sent; without line feeds."""
        self.cleaned = self.cleaned or len(kept) != len(line) or not kept
        if not kept:
            return
        if self._begun:
            self._feed(b"\n")
        self._begun = True
        self._feed(made)

    def add_all(self, lines: list[bytes]) -> None:
        """Take lines that are plain and sent as they are, many at once."""
        if self._begun:
            self._feed(b"\n")
        self._begun = True
        self._feed(b"\n".join(lines))

    def finish(self) -> None:
        """Take note that there are no more lines."""
        # What needs no cleaning is sent as it is, down to the line feed that it hasn't.
        if self._begun and (self._ended or not self.as_it_is):
            self._feed(b"\n")

    def _feed(self, part: bytes) -> None:
        self._digest.update(part)
        self.length += len(part)


class Plain(NamedTuple):
    """An input that is sent byte for byte."""

    bytes: int
    sha256: str
    requests: int
    crc32: int


def plain(chunks: Iterable[bytes]) -> Plain | None:
    """Add up an input by what stands around its line feeds; None: they aren't all between two objects, so look at each line."""
    digest, length, checksum, lines_ended = sha256(), 0, 0, 0
    before = b"\n"  # as if another line came before the first one
    for chunk in chunks:
        digest.update(chunk)
        checksum = crc32(chunk, checksum)
        length += len(chunk)
        if before == b"\n" and chunk[0] != _OPEN:
            return None
        # To find a line feed takes a fraction of the time that it takes to count all, or to cut there.
        at = chunk.find(b"\n")
        if at == 0 and before != b"}":
            return None
        while at >= 0:
            if at and chunk[at - 1] != _CLOSED:
                return None
            if at + 1 < len(chunk) and chunk[at + 1] != _OPEN:
                return None
            lines_ended += 1
            at = chunk.find(b"\n", at + 1)
        before = chunk[-1:]
    if not length or before not in (b"\n", b"}"):
        return None
    return Plain(length, digest.hexdigest(), lines_ended + (before == b"}"), checksum)


def identity(read: Callable[[], Iterable[bytes]], model: str | None, limit: int) -> tuple[int, str] | None:
    """Give size and SHA-256 of what would be sent of an input; None: it is none that was found valid.

    Args:
        read: Reads it from its beginning, anew each time.
        model: What the job names.
        limit: Longest line.
    """
    if model is None and (found := plain(read())) is not None:
        return found.bytes, found.sha256
    rewriter, sent = Rewriter(model), Sent(rewritten=model is not None)
    try:
        for line in lines(sent.watched(read()), limit):
            if isinstance(line, split.Overlong):
                return None
            kept = clean(line)
            sent.add(line, kept, rewriter.rewrite(kept) if kept else kept)
    except (ValueError, AttributeError, RecursionError):
        return None
    sent.finish()
    return sent.length, sent.sha256
