"""JSON no deeper than anything that is ever looked at: what lies deeper becomes null.

The API server stores ten thousand levels, wherever a schema leaves room for them and in managedFields, which anybody may
write. Python's parser, and all that walks through what it has read, gives up at a tenth of that: one such object would make
every list unreadable that it is in, and the objects of all others with it.
"""

import re

MOST = 64
"""Levels that are read. An affinity in a BatchJob in a list has 16."""
_ALIKE = bytes.maketrans(b"[]", b"{}")
_OTHERS = bytes(sorted(set(range(256)) - set(b'[]{}"')))
_QUOTED = re.compile(rb'"[^"]*"')
# Nothing is tried twice: a text may have megabytes, of escapes alone.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]', re.DOTALL)


def bounded(raw: bytes) -> bytes:
    """Give JSON with null in place of what lies deeper than MOST levels; what is no JSON stays none."""
    return _cut(raw) if _is_deeper(raw) else raw


def _is_deeper(raw: bytes) -> bool:
    """Tell whether brackets are within each other that often, in a fraction of the time that a parser takes."""
    bare = raw.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in raw else raw
    # Of texts only those are left that have brackets in them.
    bare = _QUOTED.sub(b"", bare.translate(_ALIKE, _OTHERS).replace(b'""', b""))
    for _ in range(MOST):
        if not bare:
            return False
        bare = bare.replace(b"{}", b"")
    return bool(bare)


def _cut(raw: bytes) -> bytes:
    kept: list[bytes] = []
    depth = begin = 0
    for found in _TOKEN.finditer(raw):
        sign = found[0]
        if sign in (b"{", b"["):
            depth += 1
            if depth == MOST + 1:
                kept += raw[begin : found.start()], b"null"
        elif sign in (b"}", b"]"):
            if depth == MOST + 1:
                begin = found.end()
            depth -= 1
    # Where it ends in the middle nothing is left that a parser could get lost in.
    return b"".join([*kept, raw[begin:]]) if depth <= MOST else b""
