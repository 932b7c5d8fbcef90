"""Running a program, and telling the person who waits for it what goes on."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class ClusterError(Exception):
    """Something a person must put right; the message says how."""


def say(text: str) -> None:
    # Standard error, so that what `kubectl` or a script prints stays its own; flushed, so that it's seen while waiting.
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(what: str, *, about: str = "") -> Iterator[None]:
    """Say what starts and about how long it takes, then how long it took."""
    say(f"  {what}" + (f" (about {about})" if about else "") + " ...")
    started = time.monotonic()
    yield
    say(f"  {what}: done in {time.monotonic() - started:.1f} s")


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    remedy: str = "",
) -> str:
    """Run to its end and return what it printed; if it failed, say so with its last words."""
    try:
        finished = subprocess.run(
            [str(word) for word in argv],
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as exc:
        raise ClusterError(f"{argv[0]} is not installed. {remedy}".strip()) from exc
    if finished.returncode != 0:
        last_words = "\n".join((finished.stdout + finished.stderr).strip().splitlines()[-25:])
        command = " ".join(str(word) for word in argv)
        raise ClusterError(f"`{command}` failed ({finished.returncode}):\n{last_words}\n{remedy}".strip())
    return finished.stdout


def succeeds(argv: Sequence[str | Path], *, timeout_seconds: float = 10) -> bool:
    """Ask a question whose answer is the exit code; a program that is missing or hangs answers no."""
    try:
        finished = subprocess.run(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout_seconds,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return finished.returncode == 0
