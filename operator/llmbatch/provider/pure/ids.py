"""Ids of the provider: opaque, of any form that a segment of a URL's path can hold."""

import re
from urllib.parse import quote, unquote

from llmbatch.common.text import one_line
from llmbatch.provider.pure import lenient

MAX_ID = 1024
"""Characters of the longest id that is used; a longer one would make URLs that proxies refuse."""
# What a segment of a path may hold (RFC 3986), without what some readers of URLs give a meaning there: ";" and "@".
_ID = re.compile(rf"[A-Za-z0-9._~!$&'()*+,=:%-]{{1,{MAX_ID}}}")
_DECODINGS = 3
"""So often proxies on the way may decode a path between them."""


def is_safe_id(value: str) -> bool:
    """Tell whether an id may become part of a path, whoever decodes it on the way."""
    if _ID.fullmatch(value) is None:
        return False
    for _ in range(_DECODINGS if "%" in value else 0):
        value = unquote(value)
    return value.strip(".") != "" and "/" not in value and "\\" not in value and value.isprintable()


def path_segment(value: str) -> str:
    """Write a safe id as a segment of a path."""
    return quote(value, safe="=:")


def file_id(value: object) -> str | None:
    """Read the id of a file that is named by a batch.

    One that is not safe is kept, fit to be shown and still not safe, so that its download fails and says why: without it
    there'd be no results to miss.
    """
    found = lenient.text(value)
    if found is None or is_safe_id(found):
        return found
    shown = one_line(found)
    return f"{shown[:255]}…" if is_safe_id(shown) else shown or None
