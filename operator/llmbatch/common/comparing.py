"""Whether a text repeats a stretch of another: as it is, as JSON, HTML or a URL writes it, in other letters or spaces."""

import html
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from llmbatch.common.text import folded

RUN = 16
"""So many characters in a row are no coincidence."""
SHORT = 8
"""A whole text of a request, when shorter than RUN, counts from this length on."""
WORD = 4
"""A whole text of a request, when shorter still, counts from this length on where it stands as a word of its own."""

_GRAM = 8
"""A run of 16 holds a whole one of these, wherever it begins."""
_PIECE, _OVERLAP = 65_536, 256
_NAMES = {"model", "role", "type"}
"""Members of a body whose values are names that everybody knows."""
_ESCAPE = re.compile(r"\\+(u[0-9a-fA-F]{4}|[nrtbf])?")
_WORDS = re.compile(r"[^\W_]+")
_TIMES_ESCAPED = 2


def repeats(message: str, request: object) -> bool:
    """Tell whether a message repeats a stretch of any text in a request's body, or in any other JSON value."""
    body = request["body"] if isinstance(request, dict) and "body" in request else request
    sought = [_Sought(form) for form in _readings(message.rstrip("…"))]
    return any(one.is_in(text) for text in _texts(body) for one in sought)


class _Sought:
    """A message, and what of it may be found in a text."""

    def __init__(self, message: str) -> None:
        self._plain = folded(message).casefold()
        self._bare = _bare(message)
        words = _WORDS.findall(self._plain)
        self._words = f" {' '.join(words)} "
        self._grams = {
            form[at : at + _GRAM] for form in (self._plain, self._bare) for at in range(len(form) - _GRAM + 1)
        }
        self._runs = {form[at : at + RUN] for form in (self._plain, self._bare) for at in range(len(form) - RUN + 1)}

    def is_in(self, text: str) -> bool:
        """Tell whether a run of it, or the whole of a short text, is there."""
        for begin in range(0, max(len(text) - _OVERLAP, 1), _PIECE):
            piece = text[begin : begin + _PIECE + _OVERLAP]
            for form, whole in [(_bare(piece), self._bare), *((form, self._plain) for form in _forms(piece))]:
                if len(form) < RUN:
                    if len(form) >= SHORT and form in whole:
                        return True
                    if len(form) >= WORD and f" {form} " in self._words:
                        return True
                # Every run of the text has one of these grams in it: a quick look spares most texts the thorough one.
                elif any(form[at : at + _GRAM] in self._grams for at in range(0, len(form), _GRAM)) and any(
                    run in form for run in self._runs
                ):
                    return True
        return False


def _forms(text: str) -> Iterator[str]:
    """Give a text's forms: as it is, and as JSON writes it."""
    yield folded(text).casefold()
    if not (text.isascii() and text.isprintable()) or '"' in text or "\\" in text:
        yield folded(json.dumps(text)[1:-1]).casefold()
        yield folded(json.dumps(text, ensure_ascii=False)[1:-1]).casefold()


def _readings(message: str) -> Iterator[str]:
    """Give what a message may be in other writing: it may have been escaped more than once."""
    yield message
    for _ in range(_TIMES_ESCAPED):
        before = message
        message = unquote(html.unescape(_ESCAPE.sub(_unescaped, message)))
        if message == before:
            return
        yield message


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if not code:
        return ""
    return chr(int(code[1:], 16)) if code[0] == "u" else " "


def _bare(text: str) -> str:
    """Give the letters and digits alone: what is left when case, accents, spaces and punctuation were changed."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
    return "".join(filter(str.isalnum, text.casefold()))


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON has no narrower type
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            if len(found) >= WORD:
                yield found
        elif isinstance(found, list):
            waiting += found
        elif isinstance(found, dict):
            waiting += [item for key, item in found.items() if not (key in _NAMES and isinstance(item, str))]
            # A member that has a sentence for its name is no name of the API's.
            waiting += [key for key in found if len(key) >= RUN and not key.isidentifier()]
