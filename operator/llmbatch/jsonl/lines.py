"""Whether the lines of an input can be sent, one line at a time.

What is accepted:

* Lines end with a line feed alone; U+2028 is data.
* What carries no meaning is left out of what is sent: byte-order marks, blank lines, white space at the end of a line (a
  carriage return too). Numbers of lines in messages are those of the user's file all the same.
* The input is read strictly (NaN, lone surrogates, more than 200 levels are refused): a provider refuses the whole
  batch for one such line, hours later.

No message quotes a line: it may hold a prompt. Only custom_ids are named.
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

from pydantic_core import from_json

from llmbatch.api.base import Model
from llmbatch.common import tokens
from llmbatch.common.text import one_line
from llmbatch.jsonl.endpoint import needs_no_model, path_of
from llmbatch.jsonl.ids import FirstLines

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Longest line accepted unless the gateway's maxLineBytes says otherwise. To parse one takes several times its size."""
MOST_LINE_BYTES = 256 * 1024 * 1024
"""The most that maxLineBytes can be."""
MAX_CUSTOM_ID = 512
MAX_LINE_ERRORS = 10

BOM = b"\xef\xbb\xbf"


class LineError(Model):
    """What is wrong with one line of the input. Never quotes the line: it may hold a prompt."""

    line: int
    """From 1."""
    field: str
    """For example custom_id or body.model; empty: the line as a whole."""
    message: str

    @property
    def told(self) -> str:
        """The fault in one line."""
        return f"line {self.line}: {self.field} {self.message}".replace(":  ", ": ")

    @property
    def in_a_list(self) -> str:
        """The fault as a line among others, with its field apart."""
        return f"line {self.line}{f', {self.field}' if self.field else ''}: {self.message}"


def digest(custom_id: str) -> bytes:
    """Stand in for a custom_id: 16 bytes, so that 100,000 of them fit into little memory."""
    return blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def clean(line: bytes) -> bytes:
    """Leave out what carries no meaning: byte-order marks at the beginning, white space at the end."""
    while line.startswith(BOM):
        line = line[len(BOM) :]
    return line.rstrip()


def why_no_text(start: bytes) -> str | None:
    """Say what a file is, from its first bytes, if it is no UTF-8 and each of its lines would only make noise."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")) or start[:4].count(0) >= 2:
        return "the file is UTF-16 or UTF-32; save it as UTF-8"
    if start.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")):
        return "the file is compressed; unpack it"
    return None


class LineChecker:
    """Checks the lines of one input in turn. `errors` are the first few, `error_count` is how many there are."""

    def __init__(
        self,
        endpoint: str,
        model_override: str | None,
        max_requests: int,
        max_line_bytes: int = MAX_LINE_BYTES,
        *,
        bytes_per_token: int | None = None,
        most_errors: int = MAX_LINE_ERRORS,
    ) -> None:
        """Prepare for one input; with `model_override`, what the lines say about the model doesn't count."""
        self._path = path_of(endpoint)
        self._endpoint = endpoint
        self._overridden = model_override is not None
        self._max_requests = max_requests
        self._too_many = "; make a BatchJob with splitPolicy: Auto, which makes several batches of it"
        self._max_line_bytes, self._most_errors = max_line_bytes, most_errors
        self._line = 0
        self._seen = FirstLines()
        self._model: str | None = None
        self._bytes_per_token = bytes_per_token or tokens.BYTES_PER_TOKEN
        self.requests = 0
        self.tokens = 0
        """Estimated, of all lines so far."""
        self.errors: list[LineError] = []
        self.error_count = 0

    def check(self, line: bytes) -> bool:
        """Check the next line, without its line feed; tell whether it holds a request (is not blank)."""
        line = clean(line)
        if len(line) > self._max_line_bytes:
            self.too_long()
            return True
        self._line += 1
        if not line:
            return False
        self.requests += 1
        if self.requests == self._max_requests + 1:
            self._add("", f"more than {self._max_requests} requests{self._too_many}")
        request = _parsed(line)
        if isinstance(request, str):
            self._add("", request)
        else:
            self._request(request)
        return True

    def check_all(self, lines: Iterable[bytes]) -> list[int]:
        """Check lines that are clean and not blank, many at once; answers the tokens of each, estimated."""
        found = []
        for line in lines:
            before = self.tokens
            if (request := self._like_those_before(line)) is None:
                self.check(line)
            else:
                self._line += 1
                self.requests += 1
                self._unique(request["custom_id"])
                self.tokens += tokens.estimate(request["body"], self._bytes_per_token)
            found.append(self.tokens - before)
        return found

    def _like_those_before(self, line: bytes) -> dict[str, Any] | None:
        """Read a request that is as it should be at a glance; None: it may be in order all the same."""
        if len(line) > self._max_line_bytes or self.requests >= self._max_requests:
            return None
        try:
            request = from_json(line, allow_inf_nan=False, cache_strings="keys")
        except ValueError:
            return None
        custom_id, body = (request.get("custom_id"), request.get("body")) if isinstance(request, dict) else ("", None)
        if not (isinstance(custom_id, str) and 0 < len(custom_id) <= MAX_CUSTOM_ID and isinstance(body, dict)):
            return None
        if request.get("method") != "POST" or request.get("url") != self._endpoint or body.get("stream"):
            return None
        is_model_known = self._overridden or (self._model is not None and body.get("model") == self._model)
        return request if is_model_known else None

    def allow(self, parts: int) -> None:
        """Have as many requests as so many files can take."""
        self._too_many = f", which is all that {parts} files take; split the input into several BatchJobs"
        self._max_requests *= parts

    def too_large(self, size: int, most: int, *, back: int = 0) -> None:
        """Take note that the last line, or one so many lines before it, alone is larger than a file may be."""
        told = f"the line has {size} bytes, more than a file may have (the gateway's maxFileBytes is {most})"
        self._add("", told, line=self._line - back)

    def too_long(self) -> None:
        """Take note of a next line that is longer than may be, and perhaps was not kept."""
        self._line += 1
        self.requests += 1
        self._add(
            "",
            f"the line is longer than {self._max_line_bytes} bytes, the gateway's maxLineBytes;"
            " shorten the request, or raise limits.maxLineBytes of the BatchGateway",
        )

    def no_text(self, why: str) -> None:
        """Take note of a file that as a whole is no text."""
        self._add("", why, line=1)

    def finish(self) -> None:
        """Take note that there are no more lines."""
        if self.requests == 0:
            self._line = 1
            self._add("", "the input is empty; give it one request per line")

    def _request(self, request: dict[str, Any]) -> None:
        self._custom_id(request)
        for field, message in _misdirected(request, self._endpoint):
            self._add(field, message)
        body = request.get("body")
        if not isinstance(body, dict):
            self._add("body", "is missing or not an object; it holds the request as the endpoint expects it")
            return
        self.tokens += tokens.estimate(body, self._bytes_per_token)
        if body.get("stream"):
            self._add("body.stream", "streaming is not possible in a batch; remove it")
        if not self._overridden and not (body.get("model") is None and needs_no_model(self._path, body)):
            self._body_model(body.get("model"))

    def _custom_id(self, request: dict[str, Any]) -> None:
        custom_id = request.get("custom_id")
        if not isinstance(custom_id, str) or not custom_id:
            self._add("custom_id", "is missing, empty or not a string; give every line a text of its own")
            return
        if len(custom_id) > MAX_CUSTOM_ID:
            self._add("custom_id", f"is longer than {MAX_CUSTOM_ID} characters; shorten it")
        self._unique(custom_id)

    def _unique(self, custom_id: str) -> None:
        if (first := self._seen.first(custom_id, self._line)) != self._line:
            name = one_line(custom_id, 64)
            self._add("custom_id", f'"{name}" is already on line {first}; give every line a custom_id of its own')

    def _body_model(self, model: object) -> None:
        if not isinstance(model, str) or not model:
            self._add("body.model", "is missing, empty or not a string; name the deployment there, or set spec.model")
        elif self._model is None:
            self._model = model
        elif model != self._model:
            self._add("body.model", "differs from the lines before; use one model per input, or set spec.model")

    def _add(self, field: str, message: str, *, line: int | None = None) -> None:
        self.error_count += 1
        if len(self.errors) < self._most_errors:
            self.errors.append(LineError(line=line or self._line, field=field, message=message))


def _misdirected(request: dict[str, Any], endpoint: str) -> Iterator[tuple[str, str]]:
    """Give the fields, and what is wrong with them, by which a request is not one to the job's endpoint."""
    if request.get("method") != "POST":
        yield "method", 'must be "POST"'
    url = request.get("url")
    if not isinstance(url, str):
        yield "url", f'is missing or not a string; write "{endpoint}"'
    elif path_of(url) != path_of(endpoint):
        yield "url", f'must be the endpoint of the job (spec.endpoint), "{endpoint}", on every line'


def _parsed(line: bytes) -> dict[str, Any] | str:
    """Read a line strictly, or say why it holds no request."""
    try:
        request = from_json(line, allow_inf_nan=False, cache_strings="keys")
    except (ValueError, RecursionError) as error:
        return _why_not_json(line, error)
    if not isinstance(request, dict):
        return "the line is not a JSON object; write one object with custom_id, method, url and body"
    return request


def _why_not_json(line: bytes, error: Exception) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as undecodable:
        return f"byte {undecodable.start + 1} of the line is not UTF-8; save the file as UTF-8"
    found = re.search(r"column (\d+)", str(error))
    where = f" (at byte {found[1]})" if found else ""
    if "recursion" in str(error):
        return f"the line is nested too deeply{where}; at most 200 levels can be read"
    if "out of range" in str(error):
        return f"the line has a number with too many digits{where}; write it as a string"
    if "hex escape" in str(error) or "surrogate" in str(error):
        return f"the line has an incomplete \\u escape{where}; write the character itself"
    return f"the line is not valid JSON{where}; write one JSON object per line"
