"""What a person is told: what was asked for on standard output, everything else on standard error.

What others have written (a path in a spec, a gateway's words in a status) is among it, and must not steer the terminal.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import typer

from llmbatch.common.text import for_terminal

YES, NO, UNABLE = 0, 1, 2
"""Exit codes: done, or the answer is good; the answer is that something is wrong; the command could not find out."""
UNREAD = 141
"""Exit code: whoever read the output has had enough; as a shell has it of a program that SIGPIPE ends."""


class CommandError(Exception):
    """Why a command ends without doing what it was asked to; the message names object, field and remedy."""

    def __init__(self, message: str, code: int = UNABLE) -> None:
        """Say why; `code` is the exit code."""
        super().__init__(message)
        self.code = code


def say(message: str) -> None:
    """Write a line to standard output; it raises as `output` does, but that it is closed is nobody's loss."""
    with _told():
        typer.echo(for_terminal(message))


def note(message: str) -> None:
    """Write a line to standard error, if it can be: there is nowhere else to say that it can't."""
    try:
        typer.echo(for_terminal(message), err=True)
    except OSError:
        sys.stderr = None  # else what is left of it fails again when Python ends


@contextmanager
def output() -> Iterator[BinaryIO]:
    """Give standard output, for bytes.

    Raises:
        CommandError: It is closed, or can't be written to.
    """
    if sys.stdout is None:
        raise CommandError("standard output is closed, and nothing is written: send it to a file or a program")
    with _told():
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read has had enough
    except OSError as error:
        sys.stdout = None  # else what is left of it fails again when Python ends
        raise CommandError(
            f"standard output can't be written to: {error.strerror or error}; send it elsewhere"
        ) from None
