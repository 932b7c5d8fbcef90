"""What became of one request, judged from its result line; and the sum over all of them.

A request succeeded when its answer has status_code 200 and the line has no error. The provider's own counts are no
proof: batches told as wholly completed have had lines with status_code 0.
"""

import json
from collections import Counter
from itertools import islice
from typing import Any, NamedTuple

from pydantic_core import from_json

from llmbatch.api.batchjob_status import Failure
from llmbatch.api.counts import Usage
from llmbatch.common.comparing import repeats
from llmbatch.common.text import one_line
from llmbatch.common.turns import in_turns
from llmbatch.jsonl import packed, scan
from llmbatch.jsonl.lines import BOM, digest

MAX_FAILURES = 10
MAX_MESSAGE = 200
"""Characters of a provider's message that are shown: its text may echo a prompt."""
MAX_CODE = 64
MALFORMED = "malformed_result"
MISSING = "missing_result"
MISSING_MESSAGE = "The provider returned no result for this request."
QUOTES_ANSWER = "(not shown: the provider's message may quote the answer; it is kept with the failed requests)"
NO_ANSWER = "the result has neither an answer nor an error"

MOST_TOKENS = 2**40
"""Most tokens that are believed of one request, so that the sum over all of them fits into a CR's field."""

ANSWER = "answer"
"""Stands for all members of a skimmed body that are not read."""
_READ = frozenset({"custom_id", "response", "error"})
"""Of a skimmed line: there may be any number of other members."""
HTTP_OK = 200
MOST_DIGITS = 3
LONG_LINE = 4 * 1024 * 1024
"""From this size on a line is skimmed, not parsed (embeddings), or from so many values on that its tree would take as much."""


class ResultLine(NamedTuple):
    """One line of an output or error file. custom_id None: the line can't be read, it is nobody's result."""

    custom_id: str | None
    succeeded: bool
    code: str = ""  # empty when succeeded
    message: str = ""
    usage: tuple[int, int, int] | None = None  # input, output, total tokens
    status: int | None = None  # the answer's HTTP status, of a failed request that has one


UNREADABLE = ResultLine(None, succeeded=False, code=MALFORMED, message="the result line can't be read")


def judge(line: bytes | bytearray, *, long: int = LONG_LINE) -> ResultLine:
    """Judge one result line, given without its line feed; never raises.

    One of more than `long` bytes, or of very many values, is skimmed.
    """
    is_long = len(line) > long or scan.is_costly(line)
    try:
        data = _skimmed(line) if is_long else _parsed(line)
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(data, dict):
        return UNREADABLE
    custom_id = data.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        return UNREADABLE
    if "response" not in data and "error" not in data:
        # The request itself, say, when the wrong file is named or served: it says nothing of what became of it.
        return UNREADABLE
    response = data.get("response")
    response = response if isinstance(response, dict) else {}
    body = packed.unpacked(response.get("body"))
    body = body if isinstance(body, dict) else {}
    status = _whole(response.get("status_code"))
    error = _said(data.get("error"))
    if not error and status in (HTTP_OK, "200"):
        return ResultLine(custom_id, succeeded=True, usage=_usage(body.get("usage")))
    if not error:
        error = body.get("error")
    code, message = _reason(error, status)
    # An answer may be there all the same (a filtered one), and the error's message may quote it.
    answer = {name: value for name, value in body.items() if name != "error"}
    long_answer = is_long and bool(set(answer) - {"usage"})
    if long_answer or (answer and repeats(message, answer)):
        message = QUOTES_ANSWER
    return ResultLine(custom_id, succeeded=False, code=code, message=message, status=_status(status))


def missing_line(custom_id: str) -> bytes:
    """Write the failed line of a request that the provider gave no result for, without a line feed."""
    error = {"code": MISSING, "message": MISSING_MESSAGE}
    # Escaped: a custom_id may hold what can't be written as UTF-8.
    return json.dumps({"custom_id": custom_id, "response": None, "error": error}).encode()


class Tally:
    """Adds up result lines."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.succeeded = 0
        self._codes: Counter[str] = Counter()
        self._examples: dict[str, list[tuple[bytes, Failure]]] = {}
        self._usage = [0, 0, 0]

    @property
    def failed(self) -> int:
        """Requests that failed."""
        return self._codes.total()

    @property
    def usage(self) -> Usage | None:
        """Tokens of the succeeded requests; None when no line told any."""
        if not any(self._usage):
            return None
        return Usage(input_tokens=self._usage[0], output_tokens=self._usage[1], total_tokens=self._usage[2])

    def add_success(self, usage: tuple[int, int, int] | None = None) -> None:
        """Count a request that succeeded."""
        self.succeeded += 1
        if usage is not None:
            for kind, tokens in enumerate(usage):
                self._usage[kind] += tokens

    def add_failure(self, custom_id: str, code: str, message: str) -> None:
        """Count a request that failed."""
        # Codes are the provider's words, so without a bound they could fill the memory.
        if code not in self._codes and len(self._codes) >= 1000:
            code = "other"
        self._codes[code] += 1
        examples = self._examples.setdefault(code, [])
        if len(examples) < MAX_FAILURES:
            shown = Failure(custom_id=one_line(custom_id, 128), code=code, message=one_line(message, MAX_MESSAGE))
            examples.append((digest(custom_id), shown))

    def add_nameless_failures(self, count: int) -> None:
        """Count requests without a result whose names can't be found out."""
        if count > 0:
            self._codes[MISSING] += count

    def failures(self) -> list[tuple[bytes, Failure]]:
        """Give at most ten examples: one of each code, most frequent first, then more of them in the same order.

        Each with the digest of its custom_id, which as it is shown may be cut.
        """
        lines = (self._examples.get(code, []) for code, _ in self._codes.most_common())
        return list(islice(in_turns(lines), MAX_FAILURES))


def _parsed(line: bytes | bytearray) -> Any:  # noqa: ANN401 - JSON has no narrower type
    try:
        return from_json(line, cache_strings="keys")
    except ValueError:
        # The slower reader takes lone surrogates, which a model may well have written, and a byte-order mark.
        return json.loads(line.decode("utf-8-sig", "surrogatepass"))


def _skimmed(line: bytes | bytearray) -> dict[str, Any]:
    """Read a long line but for the inner part of a succeeded answer's body."""
    data: dict[str, Any] = {}
    for member in scan.members(line, len(BOM) if line.startswith(BOM) else 0):
        if (key := json.loads(member.key)) not in _READ:
            continue
        if key == "response" and line[member.start : member.start + 1] == b"{":
            data[key] = response = {}
            for inner in scan.members(line, member.start):
                if (name := json.loads(inner.key)) == "body":
                    response[name] = _skimmed_body(line, inner.start, inner.end)
                elif name == "status_code":
                    response[name] = _small(line, inner.start, inner.end)
        else:
            data[key] = _small(line, member.start, member.end)
    return data


def _skimmed_body(line: bytes | bytearray, start: int, end: int) -> Any:  # noqa: ANN401 - JSON has no narrower type
    if line[start : start + 1] == b'"':
        if (text := _short(line, start, end)) is not None:
            return _read(text)
        line, start = packed.skimmable(line[start:end]), 0
    if line[start : start + 1] != b"{":
        return None
    body: dict[str, Any] = {}
    for member in scan.members(line, start):
        key = json.loads(member.key)
        if key in ("usage", "error"):
            body[key] = _small(line, member.start, member.end)
        else:
            # An answer of that size isn't read; only that there is one counts.
            body[ANSWER] = None
    return body


def _small(line: bytes | bytearray, start: int, end: int) -> Any:  # noqa: ANN401 - JSON has no narrower type
    text = _short(line, start, end)
    return {"message": "(too long to be shown)"} if text is None else _read(text)


def _short(line: bytes | bytearray, start: int, end: int) -> bytes | bytearray | None:
    """Give a piece of a line; None: it is too long, or has too many values, to be parsed."""
    text = line[start:end] if end - start <= LONG_LINE else b""
    return text if text and not scan.is_costly(text) else None


def _read(text: bytes | bytearray) -> Any:  # noqa: ANN401 - JSON has no narrower type
    return json.loads(text.decode("utf-8", "surrogatepass"))


def _said(error: object) -> object:
    """Give an error, if it says anything: some fill every line's with nulls."""
    return error if not isinstance(error, dict) or any(error.values()) else None


def _whole(value: object) -> object:
    """Give a number that is whole as one, however it is written: 200.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: object, digits: int) -> object:
    """Give a number that is written as a text of so many digits at the most as one."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= digits:
        return int(value)
    return value


def _usage(usage: object) -> tuple[int, int, int] | None:
    if not isinstance(usage, dict):
        return None
    read = _tokens(usage, "prompt_tokens") or _tokens(usage, "input_tokens")
    written = _tokens(usage, "completion_tokens") or _tokens(usage, "output_tokens")
    return read, written, _tokens(usage, "total_tokens") or read + written


def _tokens(usage: dict[str, Any], name: str) -> int:
    value = _whole(_number(usage.get(name), len(str(MOST_TOKENS))))
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_TOKENS else 0


def _status(status: object) -> int | None:
    """Read the HTTP status of a request that failed; 200 says nothing of why."""
    status = _number(status, MOST_DIGITS)
    return status if isinstance(status, int) and not isinstance(status, bool) and status != HTTP_OK else None


def _reason(error: object, status: object) -> tuple[str, str]:
    http = one_line(str(status), MAX_CODE) if isinstance(status, int | str) and not isinstance(status, bool) else ""
    if isinstance(error, dict):
        code = error.get("code")
        if not isinstance(code, str | int) or isinstance(code, bool) or code == "":
            kind = error.get("type")
            code = http or (kind if isinstance(kind, str) else "")
        message = error.get("message")
        text = message if isinstance(message, str) else ""
    else:
        code, text = http, error if isinstance(error, str) else ""
    fallback = f"HTTP status {http}" if http else NO_ANSWER
    return one_line(str(code), MAX_CODE) or http or "unknown", one_line(text, MAX_MESSAGE) or fallback
