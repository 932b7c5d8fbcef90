"""Whether an input can be sent: the operator's own check, on the operator's own plan of the upload, before anything is applied."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.cli.objects import STDIN
from llmbatch.cli.told import CommandError
from llmbatch.jsonl.lines import LineChecker, LineError
from llmbatch.transfer.edge.validate import validate
from llmbatch.transfer.pure import connections, naming
from llmbatch.transfer.volumes.problem import ProblemError
from llmbatch.transfer.volumes.sources import Source
from llmbatch.transfers.plans import upload_plan

_IN_MEMORY = 16 * 1024 * 1024
"""Of what comes through a pipe."""
MOST_ERRORS = 10_000
"""Faulty lines that are told one by one."""
UNKNOWN = BatchGatewaySpec(url="https://unknown.invalid")
"""Stands for a gateway that isn't known: with the limits that hold where a BatchGateway says nothing else."""
_OWNER = naming.Owner("unknown", "unknown", "unknown")


@dataclass(frozen=True)
class Verdict:
    """What there is to say about an input."""

    requests: int
    tokens: int
    """Estimated, as for the quota."""
    bytes: int | None = None
    """Size of what is sent; None: it can't be sent."""
    parts: int = 1
    cleaned: bool = False
    """Byte-order marks, blank lines or white space at line ends are left out of what is sent."""
    problem: str | None = None
    """Why the operator would refuse it, in the operator's words; None: it would not."""
    errors: tuple[LineError, ...] = ()
    """The faulty lines, of a problem that is about lines."""
    error_count: int = 0


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Open an input, so that it can be read again; "-" is standard input, which is used up by it.

    Raises:
        CommandError: It can't be read.
    """
    if file == STDIN and sys.stdin is None:
        raise CommandError("standard input is closed: name a file with requests, one a line")
    try:
        with nullcontext(sys.stdin.buffer) if file == STDIN else Path(file).open("rb") as given:
            if file != STDIN and given.seekable():
                yield given
                return
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled:
                shutil.copyfileobj(given, spooled)
                yield spooled  # type: ignore[misc]  # it has all that a file has, but not by its type
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror or error}; name a file with requests, one a line") from None


def judge(source: Source, job: BatchJobSpec, gateway: BatchGatewaySpec) -> Verdict:
    """Check an input as the operator does before it sends anything."""
    connection = connections.pod_connection(gateway)
    plan = upload_plan(_OWNER, job, gateway, connection, batch=Batch(), attempt=1)
    checker = LineChecker(
        plan.endpoint,
        plan.model,
        plan.max_requests,
        plan.max_line_bytes,
        bytes_per_token=plan.bytes_per_token,
        most_errors=MOST_ERRORS,
    )
    try:
        checked = validate(source, checker, plan)
    except ProblemError as error:
        return Verdict(
            requests=checker.requests,
            tokens=checker.tokens,
            problem=error.problem.message,
            errors=tuple(checker.errors),
            error_count=checker.error_count,
        )
    status = checked.status
    tokens = status.estimated_tokens or 0
    return Verdict(status.requests, tokens, status.bytes, checked.parts, cleaned=status.cleaned is True)


def told(verdict: Verdict, name: str) -> list[str]:
    """Say it, a line for each fault first.

    Args:
        verdict: What was found.
        name: The input, as the person calls it.
    """
    lines = [f"{name}: {error.in_a_list}" for error in verdict.errors]
    if (untold := verdict.error_count - len(verdict.errors)) > 0:
        lines.append(f"{name}: {untold} more faulty lines")
    if verdict.problem is not None:
        faults = (
            f"{_many(verdict.error_count, 'fault')} in {_many(verdict.requests, 'request')}"
            if lines
            else verdict.problem
        )
        return [*lines, f"{name}: invalid: {faults}"]
    size, cleaned = verdict.bytes or 0, ", cleaned of what carries no meaning" if verdict.cleaned else ""
    parts = "1 part" if verdict.parts == 1 else f"{verdict.parts} parts, each a batch of its own"
    about = f"{_many(verdict.requests, 'request')}, {size} bytes{cleaned}, about {verdict.tokens} tokens, {parts}"
    return [f"{name}: valid: {about}"]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
