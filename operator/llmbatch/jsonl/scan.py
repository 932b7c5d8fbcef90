"""Where things stand in a JSON text, found without building its values.

For two cases in which a parsed tree won't do: replacing one member while every other byte stays as it is, and lines of
many megabytes (embeddings) or values whose tree would take several times their size. The text isn't checked: what isn't JSON
gives wrong spans or SkimError, never an endless loop.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# A string, or a structural character, or a quotation mark whose string does not end: without that last one, the search
# would try every quotation mark to the end of the text. Numbers and literals between them are skipped by the search.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:"]', re.DOTALL)
_BLANKS = (b" ", b"\t", b"\r", b"\n")


SMALL_BYTES = 64 * 1024
"""The tree of so short a text takes a few megabytes at the most."""
MOST_VALUES = 250_000
"""In a text whose tree is built. Each may take 100 bytes and more, of which two are in the text: "{}" and a comma."""


def is_costly(text: bytes | bytearray) -> bool:
    """Tell whether a text has so many values that a tree of them would take many times its size."""
    return len(text) > SMALL_BYTES and text.count(b",") + text.count(b"[") + text.count(b"{") > MOST_VALUES


class SkimError(ValueError):
    """The text is not JSON where it was looked at."""


class Member(NamedTuple):
    """One member of an object: its key as written (with quotes), and where its value stands."""

    key: bytes
    start: int
    end: int


def members(text: bytes | bytearray, start: int = 0) -> Iterator[Member]:
    """Yield the members of the object that begins at or after `start`, in order.

    Raises:
        SkimError: There is no object there, or it does not end.
    """
    position = _skip_blank(text, start)
    if text[position : position + 1] != b"{":
        raise SkimError("not an object")
    position = _skip_blank(text, position + 1)
    if text[position : position + 1] == b"}":
        return
    while True:
        key = _TOKEN.match(text, position)
        if key is None or text[position] != 0x22 or key.end() - position < 2:
            raise SkimError("a key was expected")
        position = _skip_blank(text, key.end())
        if text[position : position + 1] != b":":
            raise SkimError("a colon was expected")
        begin = _skip_blank(text, position + 1)
        stop, position = _value_end(text, begin)
        yield Member(bytes(key[0]), begin, stop)
        if text[position : position + 1] == b"}":
            return
        position = _skip_blank(text, position + 1)


def _value_end(text: bytes | bytearray, start: int) -> tuple[int, int]:
    """Give where the value at `start` ends, and where the comma or brace after it stands."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        mark = text[token.start()]
        if mark == 0x22 and token.end() - token.start() < 2:
            break
        if mark in b"{[":
            depth += 1
        elif mark in b"}]" and depth > 0:
            depth -= 1
        elif depth == 0 and mark in b",}":
            end = stop = token.start()
            while text[stop - 1 : stop] in _BLANKS and stop > start:
                stop -= 1
            return stop, end
    raise SkimError("the object does not end")


def _skip_blank(text: bytes | bytearray, position: int) -> int:
    while text[position : position + 1] in _BLANKS:
        position += 1
    return position
