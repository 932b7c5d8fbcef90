"""What is remembered of a file and of a batch. Times are seconds of the instance's clock, with fractions."""

from __future__ import annotations

import dataclasses
import secrets
import string
import uuid
from typing import Any

from tests.emulator.config import Dialect

TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})

LETTERS_AND_DIGITS = string.ascii_letters + string.digits


@dataclasses.dataclass
class FileRecord:
    id: str
    filename: str
    purpose: str
    bytes: int
    created: float
    expires_at: int | None = None
    deleted: bool = False


@dataclasses.dataclass
class BatchRecord:
    id: str
    input_file_id: str
    endpoint: str
    completion_window: str
    created: float
    metadata: dict[str, str] | None = None
    output_expires_seconds: int | None = None
    model: str | None = None
    tokens: int = 0  # enqueued, an estimate
    status: str = "validating"
    since: float = 0.0  # when this status was entered
    times: dict[str, float] = dataclasses.field(default_factory=dict)  # of every later status, by its name
    errors: list[dict[str, Any]] | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    done: int | None = None  # lines that were processed; None: not known yet, all in the end
    outlives_cancel: bool = False  # decided at the time of the cancellation
    output_file_id: str | None = None
    error_file_id: str | None = None
    usage: dict[str, int] | None = None

    @property
    def emulates(self) -> str:
        """What its metadata asks of the emulator: "late-ids", "expires", "late-quota", or nothing."""
        return (self.metadata or {}).get("emulate", "")

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    def enter(self, status: str, at: float) -> None:
        self.status, self.since = status, at
        self.times[status] = at


def _letters(count: int) -> str:
    return "".join(secrets.choice(LETTERS_AND_DIGITS) for _ in range(count))


def new_input_id(dialect: Dialect) -> str:
    return f"file-{uuid.uuid4().hex}" if dialect == "azure" else f"file-{_letters(22)}"


def new_result_id(dialect: Dialect) -> str:
    """Azure puts dashes into the ids of the files it makes itself."""
    return f"file-{uuid.uuid4()}" if dialect == "azure" else f"file-{_letters(22)}"


def new_batch_id(dialect: Dialect) -> str:
    return f"batch_{uuid.uuid4()}" if dialect == "azure" else f"batch_{_letters(32)}"
