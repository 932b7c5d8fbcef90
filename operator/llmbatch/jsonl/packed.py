"""JSON within a string of JSON: some servers write the body of an answer as text, once or twice over."""

import json
from typing import Any

from pydantic_core import from_json

MOST_LAYERS = 3


def unpacked(value: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Give the value that a string of JSON holds; what is no such string stays as it is. Never raises."""
    for _ in range(MOST_LAYERS):
        if not isinstance(value, str):
            break
        try:
            value = _read(value)
        except (ValueError, RecursionError):
            break
    return value


def _read(text: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
    try:
        return from_json(text, cache_strings="keys")
    except (ValueError, TypeError):
        # The slower reader takes lone surrogates, which a model may well have written. For a text that holds one, instead
        # of its escape, the faster one has a TypeError: it can't be written as UTF-8.
        return json.loads(text)


def skimmable(text: bytes | bytearray) -> bytes:
    """Take the string's own quotation marks and escapes off a text of many megabytes, to find its members.

    Only what the structure is made of is put right: a string in it may read a little differently.
    """
    for _ in range(MOST_LAYERS):
        if text[:1] != b'"':
            break
        # Nothing takes the place of a backslash for the time being: a raw NUL is no JSON.
        text = text[1:-1].replace(b"\\\\", b"\0").replace(b"\\u005c", b"\0").replace(b"\\u005C", b"\0")
        for escaped, plain in ((b'\\"', b'"'), (b"\\u0022", b'"'), (b"\\n", b" "), (b"\\r", b" "), (b"\\t", b" ")):
            text = text.replace(escaped, plain)
        text = text.replace(b"\0", b"\\").strip()
    return bytes(text)
