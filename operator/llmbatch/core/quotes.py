"""Whether a provider's message repeats what was asked: then it holds a prompt, and no status may show it.

The message stays where the user keeps the failed lines; only the few examples in the status are looked at here.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from llmbatch.api.batchjob_status import Failure
from llmbatch.core import results
from llmbatch.core.text import folded

RUN = 16
"""So many characters in a row are no coincidence."""
SHORT = 8
"""A whole text of a request, when shorter than RUN, counts from this length on."""
QUOTED = "(not shown: the provider's message quotes the request; it is kept with the failed requests)"
UNCHECKED = "(not shown: the request can't be read to compare; the provider's message is kept with the failed requests)"

_GRAM = 8
"""A run of 16 holds a whole one of these, wherever it begins."""
_PIECE, _OVERLAP = 65_536, 256
_LONGEST_NAME = 64
_WORD = re.compile(r"[A-Za-z0-9_.-]+")
_NAMES = {"model", "role", "type"}
"""Members of a body whose values are names that everybody knows."""
_OURS = re.compile(r"(HTTP status [0-9]{1,3}|\(too long to be shown\))?")
_PASSAGE = re.compile(
    r"(?<!\w)(?P<open>['\"`\u201c\u2018\u00ab])(?P<said>.*?)(?P<close>(?P=open)(?!\w)|[\u201d\u2019\u00bb](?!\w)|$)"
)


def checked(failure: Failure, request: object) -> Failure:
    """Give a failed request's example as it may be shown, having its request."""
    code = "other" if quotes(failure.code, request) else failure.code
    message = QUOTED if quotes(failure.message, request) else failure.message
    return failure.model_copy(update={"code": code, "message": message})


def unchecked(failure: Failure) -> Failure:
    """Give a failed request's example as it may be shown, not having its request: a code is one word."""
    code = failure.code if _WORD.fullmatch(failure.code) else "other"
    return failure.model_copy(
        update={"code": code, "message": failure.message if is_ours(failure.message) else UNCHECKED}
    )


def is_ours(message: str) -> bool:
    """Tell whether a failure's message is not the provider's at all."""
    ours = {results.MISSING_MESSAGE, results.UNREADABLE.message, results.NO_ANSWER}
    return message in ours or _OURS.fullmatch(message) is not None


def quotes(message: str, request: object) -> bool:
    """Tell whether a message repeats a stretch of any text in a request's body, as it is or as JSON writes it."""
    message = message.rstrip("…")
    runs = {message[at : at + RUN] for at in range(len(message) - RUN + 1)}
    grams = {message[at : at + _GRAM] for at in range(len(message) - _GRAM + 1)}
    body = request.get("body") if isinstance(request, dict) else request
    for text in _texts(body):
        for form in _forms(text):
            if len(form) < RUN:
                if len(form) >= SHORT and form in message:
                    return True
            # Every run of the text has one of these grams in it: a quick look spares most texts the thorough one.
            elif any(form[at : at + _GRAM] in grams for at in range(0, len(form), _GRAM)) and any(
                run in form for run in runs
            ):
                return True
    return False


def _forms(text: str) -> Iterator[str]:
    """Give a text's forms, a piece at a time: a request may have megabytes of it, and its forms as many more."""
    for begin in range(0, max(len(text) - _OVERLAP, 1), _PIECE):
        piece = text[begin : begin + _PIECE + _OVERLAP]
        yield folded(piece)
        if not (piece.isascii() and piece.isprintable()) or '"' in piece or "\\" in piece:
            yield folded(json.dumps(piece)[1:-1])
            yield folded(json.dumps(piece, ensure_ascii=False)[1:-1])


def without_passages(message: str) -> str:
    """Leave out what a message has between quotation marks, where there is no request to compare it with.

    One word stays unless it is very long: names of models, paths and parameters are quoted too, and help.
    """
    return _PASSAGE.sub(_shortened, message)


def _shortened(found: re.Match[str]) -> str:
    said = found["said"]
    if len(said) < SHORT or (len(said) <= _LONGEST_NAME and " " not in said):
        return found[0]
    return f"{found['open']}…{found['close']}"


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON has no narrower type
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            if len(found) >= SHORT:
                yield found
        elif isinstance(found, list):
            waiting += found
        elif isinstance(found, dict):
            waiting += [item for key, item in found.items() if not (key in _NAMES and isinstance(item, str))]
