"""What the line reader, the splitter and the joiner must come to, said as simply as can be: whole texts, lists and dicts.

Nothing here is taken from the code under test. It reads with Python's own json.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

BOM = b"\xef\xbb\xbf"
ENDPOINT = "/v1/chat/completions"
URLS = {"/v1/chat/completions", "/chat/completions"}
DIGITS = 4300
"""Most digits of a whole number that Python reads."""
SURE_DEPTH, TOO_DEEP = 200, 202
"""Levels that are read, and that are refused; between them a scalar counts as a level, or not."""

_DECODER = json.JSONDecoder()


class StrictError(ValueError):
    """Not JSON as RFC 8259 has it."""


class UnsureError(Exception):
    """Both verdicts are right: at the very limit of nesting."""


# --- lines of an input ----------------------------------------------------------------------------------------------------


def lines_of(data: bytes) -> list[bytes]:
    """Cut at line feeds; what follows the last one is a line too, unless it is empty."""
    cut = data.split(b"\n")
    return cut if cut[-1] else cut[:-1]


def is_blank(line: bytes) -> bool:
    return not line.strip()


def strict(line: bytes) -> Any:
    """Read JSON strictly: UTF-8, no NaN, no lone surrogate, no endless number, no endless nesting."""
    try:
        text = line.decode()
        value = json.loads(text, parse_constant=_refuse, parse_float=_float)
    except RecursionError:
        raise StrictError("too deep") from None
    except ValueError as error:
        raise StrictError(str(error)) from None
    if text.startswith("\ufeff") or any("\ud800" <= char <= "\udfff" for item in strings(value) for char in item):
        raise StrictError("not text")
    levels = depth(value)
    if levels >= TOO_DEEP:
        raise StrictError("too deep")
    if levels > SURE_DEPTH:
        raise UnsureError
    return value


def _refuse(word: str) -> Any:
    raise StrictError(word)


def _float(digits: str) -> float:
    whole = re.split(r"[.eE]", digits.removeprefix("-"))[0]
    if len(whole) > DIGITS:
        raise StrictError("too many digits")
    return float(digits)


def strings(value: Any) -> Iterator[str]:
    """Give every string in a value, keys too."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            todo += item
        elif isinstance(item, dict):
            todo += [*item, *item.values()]


def depth(value: Any) -> int:
    """Count the arrays and objects that are in each other."""
    levels, layer = 0, [value]
    while layer := [item for item in layer if isinstance(item, list | dict)]:
        levels += 1
        layer = [inner for item in layer for inner in (item.values() if isinstance(item, dict) else item)]
    return levels


def cleaned(line: bytes) -> bytes:
    """Leave out what carries no meaning."""
    return re.sub(rb"^(\xef\xbb\xbf)*", b"", line).rstrip()


def complaints(data: bytes, override: str | None, most: int) -> list[tuple[int, str]]:
    """Say what is wrong with an input: (line, field), in the order of the lines."""
    found: list[tuple[int, str]] = []
    lines = [cleaned(line) for line in lines_of(data)]
    if not any(lines):
        return [(1, "")]
    seen: set[str] = set()
    models: list[str] = []
    requests = 0
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        requests += 1
        if requests == most + 1:
            found.append((number, ""))
        found += [(number, name) for name in _complaints(line, override, seen, models)]
    return found


def _complaints(line: bytes, override: str | None, seen: set[str], models: list[str]) -> Iterator[str]:
    try:
        request = strict(line)
    except StrictError:
        request = None
    if not isinstance(request, dict):
        yield ""
        return
    custom_id = request.get("custom_id")
    if isinstance(custom_id, str) and custom_id:
        if len(custom_id) > 512:
            yield "custom_id"
        if custom_id in seen:
            yield "custom_id"
        seen.add(custom_id)
    else:
        yield "custom_id"
    if request.get("method") != "POST":
        yield "method"
    url = request.get("url")
    if not (isinstance(url, str) and url in URLS):
        yield "url"
    body = request.get("body")
    if not isinstance(body, dict):
        yield "body"
        return
    if body.get("stream"):
        yield "body.stream"
    if override is None:
        yield from _of_model(body.get("model"), models)


def _of_model(model: Any, models: list[str]) -> Iterator[str]:
    if not (isinstance(model, str) and model) or model != (models or [model])[0]:
        yield "body.model"
    else:
        models.append(model)


def sent(data: bytes, override: str | None) -> bytes:
    """Say what is uploaded of a valid input."""
    whole = lines_of(data)
    lines = [line for line in map(cleaned, whole) if line]
    if override is not None:
        return b"".join(rewritten(line, override) + b"\n" for line in lines)
    return data if lines == whole else b"".join(line + b"\n" for line in lines)


# --- the text of a line ---------------------------------------------------------------------------------------------------


class Member(NamedTuple):
    """One member of an object, and where its value stands."""

    key: str
    value: Any
    start: int
    end: int


def members(text: str, start: int = 0) -> list[Member]:
    """Take an object apart, with Python's own reader for each key and value; the text is valid JSON."""
    found = []
    at = _skip(text, _skip(text, start) + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        begin = _skip(text, _skip(text, at) + 1)
        value, end = _DECODER.raw_decode(text, begin)
        found.append(Member(key, value, begin, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def rewritten(line: bytes, override: str) -> bytes:
    """Put another model's name into every body of a valid line; all else stays."""
    text = line.decode()
    name = json.dumps(override, ensure_ascii=False)
    made, done = "", 0
    for body in members(text):
        if body.key != "body" or not isinstance(body.value, dict):
            continue
        inner = members(text, body.start)
        models = [item for item in inner if item.key == "model"]
        for item in models:
            made += text[done : item.start] + name
            done = item.end
        if not models:
            made += text[done : body.start + 1] + f'"model": {name}' + (", " if inner else "")
            done = body.start + 1
    return (made + text[done:]).encode()


# --- results --------------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """What a result line says. tokens: input, output, total."""

    custom_id: str
    succeeded: bool
    tokens: tuple[int, int, int]


def result_of(line: bytes) -> Result | None:
    """Judge a result line; None: it is nobody's."""
    if line.count(b"[") + line.count(b"{") > 300:
        raise UnsureError
    try:
        data = json.loads(line.decode("utf-8-sig", "surrogatepass"))
    except ValueError:
        return None
    custom_id = data.get("custom_id") if isinstance(data, dict) else None
    if not isinstance(custom_id, str) or not custom_id or not {"response", "error"} & data.keys():
        return None
    response = data.get("response")
    response = response if isinstance(response, dict) else {}
    body = response.get("body")
    for _ in range(3):
        with suppress(ValueError, RecursionError):
            body = json.loads(body) if isinstance(body, str) else body
    usage = body.get("usage") if isinstance(body, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    read = _tokens(usage, "prompt_tokens") or _tokens(usage, "input_tokens")
    written = _tokens(usage, "completion_tokens") or _tokens(usage, "output_tokens")
    error = data.get("error")
    says = any(error.values()) if isinstance(error, dict) else error
    succeeded = not says and response.get("status_code") in (200, "200")
    return Result(custom_id, succeeded, (read, written, _tokens(usage, "total_tokens") or read + written))


def _tokens(usage: dict[str, Any], name: str) -> int:
    value: Any = usage.get(name)
    value = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,13}", value) else value
    return int(value) if type(value) in (int, float) and 0 < value <= 2**40 and value == int(value) else 0


@dataclass
class Joined:
    """What the lines of the result files come to."""

    malformed: int = 0
    foreign: int = 0
    best: dict[str, tuple[bool, bytes]] = field(default_factory=dict)
    """The line for each request: the first that succeeded, else the first."""
    completion: list[str] = field(default_factory=list)
    """custom_ids in the order of those lines."""
    tokens: tuple[int, int, int] = (0, 0, 0)


def join(data: bytes, expected: list[str] | None) -> Joined:
    """Join one file of results with the requests, when they are known."""
    joined = Joined()
    bare = [re.sub(rb"^(\xef\xbb\xbf)*", b"", line) for line in lines_of(data)]
    every = [(line, result_of(line)) for line in bare if not is_blank(line)]
    joined.malformed = sum(result is None for _, result in every)
    ours = [(line, item) for line, item in every if item and (expected is None or item.custom_id in expected)]
    joined.foreign = len(every) - joined.malformed - len({item.custom_id for _, item in ours})
    for wanted in (True, False):
        for line, item in ours:
            if item.succeeded is wanted and item.custom_id not in joined.best:
                joined.best[item.custom_id] = (wanted, line)
                if wanted:
                    joined.tokens = _sum(joined.tokens, item.tokens)
    for line, item in ours:
        if item.custom_id not in joined.completion and joined.best[item.custom_id] == (item.succeeded, line):
            joined.completion.append(item.custom_id)
    return joined


def _sum(have: tuple[int, int, int], more: tuple[int, int, int]) -> tuple[int, int, int]:
    return have[0] + more[0], have[1] + more[1], have[2] + more[2]
