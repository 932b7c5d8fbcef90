"""What a person is told: what was asked for on standard output, everything else on standard error."""

import typer

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
    """Write a line to standard output."""
    typer.echo(message)


def note(message: str) -> None:
    """Write a line to standard error."""
    typer.echo(message, err=True)
