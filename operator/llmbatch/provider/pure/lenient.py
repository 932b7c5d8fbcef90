"""Single values of what the gateway answers, read tolerantly: absent, null and "" are all unset (None).

Numbers may come as strings, moments as ISO 8601, and a whole body as a JSON string that holds JSON.
"""

import json
from codecs import BOM_UTF8
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from llmbatch.common.text import one_line

_WRAPPINGS = 2  # JSON in a JSON string, at most so deep

MOST = 2**53
"""Largest count that is believed: beyond it no number is exact, and a little further none fits into a CR's field."""


MOST_VALUES = 250_000
"""Most values in a body: a hundred batches with all their fields and errors have some 10,000. Each may take 230 bytes."""


class WireError(Exception):
    """A body that doesn't say what it must; the message never quotes it."""


class TooMuchError(WireError):
    """A body that says more than there is memory for."""


def unwrapped(body: bytes) -> object:
    """Read a body as JSON.

    Raises:
        WireError: It is none, or one whose values would fill the memory.
    """
    _bounded(body.count(b",") + body.count(b"[") + body.count(b"{"))
    try:
        data: object = json.loads(body)
        for _ in range(_WRAPPINGS):
            if not isinstance(data, str):
                break
            # Escaped in the outer text, they were not counted there.
            _bounded(data.count(",") + data.count("[") + data.count("{"))
            data = json.loads(data)
    except (ValueError, RecursionError):
        # Without its cause: a decoding error carries the whole text along.
        raise WireError("the body is not JSON") from None
    return data


def is_page(body: bytes) -> bool:
    """Tell whether a body is a web page, or anything else in angle brackets."""
    return body.removeprefix(BOM_UTF8).lstrip()[:1] == b"<"


def _bounded(values: int) -> None:
    if values > MOST_VALUES:
        raise TooMuchError(f"the body has more than {MOST_VALUES} values")


def mapping(value: object) -> dict[str, Any]:
    """Insist on a JSON object.

    Raises:
        WireError: It is something else.
    """
    if not isinstance(value, dict):
        raise WireError("the body is not a JSON object")
    return value


def text(value: object) -> str | None:
    """Read a text, or a whole number as one (an error's code may be either)."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def short(value: object) -> str | None:
    """Read a text that is to be shown: one line, at most 256 characters."""
    found = text(value)
    return (one_line(found) or None) if found else None


def number(value: object) -> float | None:
    """Read a finite number, or a string that holds one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def count(value: object) -> int | None:
    """Read a whole number of things; one that is negative or beyond belief is unset."""
    found = number(value)
    return int(found) if found is not None and 0 <= found <= MOST else None


def moment(value: object) -> datetime | None:
    """Read Unix seconds or ISO 8601 as a datetime in UTC; 0 is unset, and so is what lies before (year 1 means never)."""
    seconds = number(value)
    try:
        if seconds is not None:
            return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
        if isinstance(value, str) and value:
            read = datetime.fromisoformat(value)
            found = read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
            return found if found.timestamp() > 0 else None
    except (ValueError, OverflowError, OSError):
        pass
    return None
