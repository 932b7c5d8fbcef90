"""What the gateway answers about batches and files, read tolerantly: unknown things are let be.

Providers differ in types (numbers as strings, moments as ISO 8601), in case, and in what they leave out. Only what can't
be told at all raises lenient.WireError.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmbatch.common.text import one_line
from llmbatch.provider.pure import lenient, pages
from llmbatch.provider.pure.ids import MAX_ID, file_id, is_safe_id

TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})
"""Only these end a batch; any status that isn't known means: still going."""

_MARKS = frozenset({"id", "object", "filename", "bytes", "purpose", "endpoint", "input_file_id"})
"""Fields that only a file or a batch has: such a body is an answer, though a useless one."""
_OF_NO_ERROR = _MARKS - {"id", "object"} | {"status"}
_STATUS = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Requests of a batch as the provider tells; None: not told."""

    total: int | None = None
    completed: int | None = None
    failed: int | None = None


@dataclass(frozen=True, kw_only=True)
class BatchError:
    """One reason why the provider failed a batch."""

    code: str
    message: str
    line: int | None = None  # from 1
    param: str | None = None


@dataclass(frozen=True, kw_only=True)
class RemoteBatch:
    """A batch at the provider. Moments are in UTC, files' ids are fit to be shown but not checked; None: not told."""

    id: str
    status: str  # lower-case, "cancelled" in this spelling; "unknown" when there is none that can be shown
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    counts: Counts = Counts()
    created_at: datetime | None = None
    in_progress_at: datetime | None = None
    finalizing_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    expired_at: datetime | None = None
    cancelled_at: datetime | None = None
    expires_at: datetime | None = None
    metadata: Mapping[str, str]
    errors: tuple[BatchError, ...] = ()
    is_nameless: bool = False
    """It tells neither what it was made of nor anything that its maker has said of it."""

    @property
    def is_terminal(self) -> bool:
        """Nothing more will happen to this batch."""
        return self.status in TERMINAL

    @property
    def is_stopping(self) -> bool:
        """It has ended, or is being cancelled: there is nothing more to be cancelled."""
        return self.is_terminal or self.status == "cancelling"

    @property
    def ended_at(self) -> datetime | None:
        """When the batch ended, in whatever way; None: it has not, or nobody said when.

        Azure leaves failed_at null on a failed batch and sets completed_at, so the status' own moment is only preferred.
        """
        if not self.is_terminal:
            return None
        own = {
            "completed": self.completed_at,
            "failed": self.failed_at,
            "expired": self.expired_at,
            "cancelled": self.cancelled_at,
        }[self.status]
        return own or self.completed_at or self.failed_at or self.expired_at or self.cancelled_at


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file at the provider. status is lower-case, "unknown" when there is none that can be shown."""

    id: str
    status: str
    bytes: int | None = None
    status_details: str | None = None
    filename: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Page(pages.Listed):
    """One page of the list of batches."""

    batches: tuple[RemoteBatch, ...]
    unusable: tuple[RemoteBatch, ...] = ()
    """Batches whose ids no path can hold (here ""): nothing can be done with them, but they are there."""


@dataclass(frozen=True, kw_only=True)
class FilePage(pages.Listed):
    """One page of the list of files."""

    files: tuple[RemoteFile, ...]
    unusable: tuple[str, ...] = ()
    """Names of files whose ids no path can hold."""


_TOO_LONG: dict[str, Any] = {"more": None, "last_id": None, "ids": (), "moments": (), "unreadable": 1}
TOO_MANY_BATCHES = Page(batches=(), **_TOO_LONG)
TOO_MANY_FILES = FilePage(files=(), **_TOO_LONG)
"""Pages that are too long to be read, as of services that list all that they have, however many are asked for: of what is
in them, nothing is known."""


class UnusableIdError(lenient.WireError):
    """A batch or file that was made, under an id that is missing, or that no path can hold; the message shows it."""


def read_batch(body: bytes) -> RemoteBatch:
    """Read a batch object.

    Raises:
        lenient.WireError: It is no JSON object, or has no usable id.
    """
    data = lenient.mapping(lenient.unwrapped(body))
    return _batch(data, _own_id(data))


def read_file(body: bytes) -> RemoteFile:
    """Read a file object.

    Raises:
        lenient.WireError: It is no JSON object, or has no usable id.
    """
    return _file(lenient.unwrapped(body))


def read_files(body: bytes) -> FilePage:
    """Read one page of files; entries without a usable id are kept apart.

    Raises:
        lenient.WireError: It is not a list of files.
    """
    try:
        data, entries = pages.entries_of(body)
    except lenient.TooMuchError:
        return TOO_MANY_FILES
    files, unusable = [], []
    for entry in entries:
        try:
            files.append(_file(entry))
        except lenient.WireError:
            if isinstance(entry, dict) and (name := lenient.text(entry.get("filename"))) is not None:
                unusable.append(name)
    # One without a name can't be recognised.
    unreadable = len(entries) - sum(file.filename is not None for file in files) - len(unusable)
    size = pages.size_of(body, entries)
    common = _page(data, files, unreadable, [file.created_at for file in files])
    return FilePage(files=tuple(files), unusable=tuple(unusable), size=size, **common)


def _file(value: object) -> RemoteFile:
    data = lenient.mapping(value)
    return RemoteFile(
        id=_own_id(data),
        status=_status(data),
        bytes=lenient.count(data.get("bytes")),
        status_details=lenient.short(data.get("status_details")),
        filename=lenient.text(data.get("filename")),
        created_at=lenient.moment(data.get("created_at")),
    )


def read_page(body: bytes) -> Page:
    """Read one page of batches; entries without a usable id are kept apart.

    Raises:
        lenient.WireError: It is not a list of batches.
    """
    try:
        data, entries = pages.entries_of(body)
    except lenient.TooMuchError:
        return TOO_MANY_BATCHES
    batches, unusable, moments = [], [], []
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        try:
            batches.append(_batch(entry, _own_id(entry)))
        except lenient.WireError:
            unusable.append(_batch(entry, ""))
        moments.append(lenient.moment(entry.get("created_at")))
    unreadable = len(entries) - len(moments)
    size = pages.size_of(body, entries)
    common = _page(data, batches, unreadable, moments)
    return Page(batches=tuple(batches), unusable=tuple(unusable), size=size, **common)


def _page(
    data: dict[str, Any],
    found: Sequence[RemoteBatch] | Sequence[RemoteFile],
    unreadable: int,
    moments: list[datetime | None],
) -> dict[str, Any]:
    """Read what pages of batches and of files have in common."""
    last = lenient.text(data.get("last_id")) or (found[-1].id if found else None)
    return {
        "more": pages.says_more(data),
        "last_id": last if last and is_safe_id(last) else None,
        "ids": tuple(item.id for item in found),
        "moments": tuple(moments),
        "unreadable": unreadable,
    }


def _batch(data: Mapping[str, Any], own_id: str) -> RemoteBatch:
    counts = data.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    metadata = data.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    status = _status(data).replace(" ", "_")
    return RemoteBatch(
        id=own_id,
        status={"canceled": "cancelled", "canceling": "cancelling", "inprogress": "in_progress"}.get(status, status),
        input_file_id=file_id(data.get("input_file_id")),
        output_file_id=file_id(data.get("output_file_id")),
        error_file_id=file_id(data.get("error_file_id")),
        counts=Counts(
            total=lenient.count(counts.get("total")),
            completed=lenient.count(counts.get("completed")),
            failed=lenient.count(counts.get("failed")),
        ),
        created_at=lenient.moment(data.get("created_at")),
        in_progress_at=lenient.moment(data.get("in_progress_at")),
        finalizing_at=lenient.moment(data.get("finalizing_at")),
        completed_at=lenient.moment(data.get("completed_at")),
        failed_at=lenient.moment(data.get("failed_at")),
        expired_at=lenient.moment(data.get("expired_at")),
        cancelled_at=lenient.moment(data.get("cancelled_at")) or lenient.moment(data.get("canceled_at")),
        expires_at=lenient.moment(data.get("expires_at")),
        metadata={str(key): value for key, value in metadata.items() if isinstance(value, str)},
        errors=tuple(_errors(data.get("errors"))),
        is_nameless=not metadata and not any(lenient.short(data.get(name)) for name in ("input_file_id", "input_blob")),
    )


def _status(data: Mapping[str, Any]) -> str:
    value = (lenient.text(data.get("status")) or "").lower()
    # Nothing is trimmed into a status that would end a batch.
    return value if _STATUS.fullmatch(value.replace(" ", "_")) else "unknown"


def _errors(value: object) -> list[BatchError]:
    entries = value.get("data") if isinstance(value, dict) else value
    return [
        BatchError(
            code=lenient.short(entry.get("code")) or "unknown",
            message=lenient.short(entry.get("message")) or "",
            line=lenient.count(entry.get("line")),  # a string in Azure's specification
            param=lenient.short(entry.get("param")),
        )
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]


def _own_id(data: Mapping[str, Any]) -> str:
    value = lenient.text(data.get("id"))
    if value is None:
        if "error" not in data and _MARKS & data.keys():
            raise UnusableIdError("it has no id")
        raise lenient.WireError("the body has no id")
    if data.get("error") and not _OF_NO_ERROR & data.keys():
        # The id is that of the call.
        raise lenient.WireError("it tells of an error")
    if not is_safe_id(value):
        raise UnusableIdError(
            f"its id has characters that no id may have, or more than {MAX_ID} of them: {one_line(value, 64)}"
        )
    return value
