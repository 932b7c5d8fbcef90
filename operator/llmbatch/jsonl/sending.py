"""What is sent of an input: every line with a request, clean and for the model that the job names, and nothing else."""

from collections.abc import Iterable, Iterator
from hashlib import sha256

from llmbatch.jsonl import split
from llmbatch.jsonl.lines import LineChecker, clean

_LEAST_KEPT = 4 * 1024 * 1024
_SLACK = 4096
"""White space at the end of a line, which is not counted in its length."""


def lines(chunks: Iterable[bytes], limit: int) -> Iterator[bytes | split.Overlong]:
    """Cut an input into its lines as they are. One that is a little longer than `limit` comes whole: it may be so by white space."""
    # What is kept of a line must be more than a chunk.
    for line in split.lines(chunks, max(limit, _LEAST_KEPT) + _SLACK):
        yield line if isinstance(line, split.Overlong) else bytes(line)


def made(lines: Iterable[bytes | split.Overlong], checker: LineChecker) -> Iterator[bytes]:
    """Give the lines as they are sent, without line feeds.

    Raises:
        ValueError: They are not those of an input that was found valid.
    """
    for line in lines:
        if isinstance(line, split.Overlong):
            raise ValueError("too long")  # noqa: TRY004 - as of a line that can't be read
        if kept := clean(line):
            yield checker.rewrite(kept)


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

    def finish(self) -> None:
        """Take note that there are no more lines."""
        # What needs no cleaning is sent as it is, down to the line feed that it hasn't.
        if self._begun and (self._ended or not self.as_it_is):
            self._feed(b"\n")

    def _feed(self, part: bytes) -> None:
        self._digest.update(part)
        self.length += len(part)


def identity(chunks: Iterable[bytes], model: str | None, limit: int) -> tuple[int, str] | None:
    """Give size and SHA-256 of what would be sent of an input; None: it is none that was found valid."""
    checker, sent = LineChecker("", model, 0), Sent(rewritten=model is not None)
    try:
        for line in lines(sent.watched(chunks), limit):
            if isinstance(line, split.Overlong):
                return None
            kept = clean(line)
            sent.add(line, kept, checker.rewrite(kept) if kept else kept)
    except (ValueError, AttributeError, AssertionError, RecursionError):
        return None
    sent.finish()
    return sent.length, sent.sha256
