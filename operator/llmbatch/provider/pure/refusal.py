"""What comes with an answer that isn't 2xx: whose it is, its words, and how long it asks to wait."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from llmbatch.common.text import one_line
from llmbatch.provider.pure import lenient

LONGEST_WAIT_SECONDS = 24 * 3600.0
"""A gateway that asks for more (a date far off, milliseconds for seconds) is asked again all the same."""


@dataclass(frozen=True, kw_only=True)
class ErrorBody:
    """What came with an answer that isn't 2xx: who made it, its code, and its words (at most 256 characters)."""

    source: Literal["kong", "provider", "unknown"]
    code: str | None
    message: str
    shaped: bool = field(default=False, compare=False)
    """It is an error object as the API has them, not just any answer that speaks of an error."""


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ErrorBody:
    """Read whatever came with an answer that isn't 2xx; never raises.

    Kong's own answers have `message` and no `error`; the provider's have an `error` object, or are one (vLLM's, Mistral's).
    """
    try:
        data = lenient.unwrapped(body)
    except lenient.WireError:
        return _plain(status, headers, body)
    if isinstance(data, dict):
        error = data.get("error") or (data if data.get("object") == "error" else None)
        if isinstance(error, dict) and error:
            code = lenient.short(error.get("code")) or lenient.short(error.get("type"))
            return ErrorBody(
                source="provider",
                code=code,
                message=lenient.short(error.get("message")) or f"HTTP {status}",
                shaped="message" in error,
            )
        if isinstance(error, str) and error:
            return ErrorBody(
                source="provider", code=lenient.short(data.get("code")), message=one_line(error) or f"HTTP {status}"
            )
        message = lenient.short(data.get("message"))
        if message is not None:
            return ErrorBody(source="kong", code=None, message=message)
    return ErrorBody(source="unknown", code=None, message=f"HTTP {status}")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Say how many seconds the gateway asks to wait, from 0 to LONGEST_WAIT_SECONDS; None: it doesn't say.

    retry-after-ms (of OpenAI's and Azure's), else Retry-After (seconds, or a date by the gateway's clock, which its Date
    header tells), else Kong's X-AI-RateLimit-Retry-After (seconds). What can't be read counts as not said.
    """
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    clock = _moment(lower.get("date", "")) or now
    for name in ("retry-after-ms", "retry-after", "x-ai-ratelimit-retry-after"):
        seconds = _seconds(lower.get(name, ""), clock)
        if seconds is not None:
            return min(max(0.0, seconds / 1000 if name.endswith("-ms") else seconds), LONGEST_WAIT_SECONDS)
    return None


_DURATION = re.compile(r"([+-]?[\d.]+)\s*(?:s|sec|seconds?)?", re.IGNORECASE)


def _seconds(value: str, clock: datetime) -> float | None:
    """Read a number of seconds or a date; of several (a proxy has added its own) the first."""
    if (moment := _moment(value)) is not None:
        return (moment - clock).total_seconds()
    first = value.split(",", maxsplit=1)[0].strip()
    if (number := lenient.number(first)) is not None:
        return number
    duration = _DURATION.fullmatch(first)
    return lenient.number(duration[1]) if duration else None


def _moment(value: str) -> datetime | None:
    if not any(sign.isalpha() for sign in value):
        return None  # "1761825600" would be read as a date
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _plain(status: int, headers: Mapping[str, str], body: bytes) -> ErrorBody:
    text = body[:4096].decode("utf-8", "replace")
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    if "html" in kind.lower() or text.lstrip()[:1] == "<":
        title = re.search(r"<(title|h1)[^>]*>(.*?)</\1", text, re.IGNORECASE | re.DOTALL)
        text = title[2] if title else ""
    return ErrorBody(source="unknown", code=None, message=one_line(text) or f"HTTP {status} without a message")
