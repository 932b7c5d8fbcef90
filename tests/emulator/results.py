"""Writes a batch's output and error file, line by line, in an order of its own that the seed decides."""

from __future__ import annotations

import array
import dataclasses
import hashlib
import json
import mmap
import random
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tests.emulator import completions, markers, texts
from tests.emulator.config import Config
from tests.emulator.markers import Marker
from tests.emulator.records import BatchRecord
from tests.emulator.tries import Tries

_ENCODER = json.JSONEncoder(ensure_ascii=False)  # json.dumps would make one for every line

NEVER_RAN = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed because the batch was cancelled.",
}
HTTP_ERRORS = {
    400: ("Invalid value for 'max_tokens'.", "invalid_request_error", "max_tokens", None),
    429: ("Rate limit is exceeded. Try again in 2 seconds.", "requests", None, "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", "server_error", None, None),
}


class Targets(NamedTuple):
    output: Path
    errors: Path


@dataclasses.dataclass
class Written:
    completed: int = 0
    failed: int = 0
    output_bytes: int = 0
    error_bytes: int = 0
    usage: dict[str, int] = dataclasses.field(default_factory=lambda: {"input": 0, "output": 0})


@dataclasses.dataclass(frozen=True)
class Line:
    """The answer to one request: in which of the two files, and what it adds to the counts."""

    envelope: dict[str, Any]
    ok: bool
    input_tokens: int = 0
    output_tokens: int = 0


def write(source: Path, targets: Targets, batch: BatchRecord, config: Config, created: int, *, tries: Tries) -> Written:
    """The first `batch.done` lines of the order were processed; what becomes of the rest depends on how it ended."""
    written = Written()
    maker = _Maker(batch, config, created)
    unprocessed = _unprocessed_code(batch, config)
    with source.open("rb") as file, targets.output.open("wb") as good, targets.errors.open("wb") as bad:
        if source.stat().st_size == 0:
            return written
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            starts = _starts(content)
            order = list(range(len(starts)))
            random.Random(config.seed).shuffle(order)  # noqa: S311  # an order, not a secret
            done = len(order) if batch.done is None else batch.done
            for position, index in enumerate(order):
                content.seek(starts[index])
                request = json.loads(content.readline())
                passes = position < done and tries.passes(request["custom_id"], batch)
                if position < done:
                    line = maker.line(request, index, passes=passes)
                elif unprocessed is not None:
                    line = maker.never_ran(request, unprocessed, index)
                else:
                    continue
                _put(line, None if passes else _fate(request, index, config), good if line.ok else bad, written)
        written.output_bytes, written.error_bytes = good.tell(), bad.tell()
    return written


def _starts(content: mmap.mmap) -> array.array[int]:
    """Where every line that isn't blank begins."""
    starts: array.array[int] = array.array("Q")
    content.seek(0)
    offset = 0
    while line := content.readline():
        if not line.isspace():
            starts.append(offset)
        offset += len(line)
    return starts


def _unprocessed_code(batch: BatchRecord, config: Config) -> str | None:
    if batch.status == "expired":
        return "batch_expired"
    # OpenAI lists what a cancellation left undone; on Azure those lines are simply not there.
    if batch.status == "cancelled" and config.dialect == "openai":
        return "batch_cancelled"
    return None


def _fate(request: dict[str, Any], index: int, config: Config) -> str | None:
    word = markers.of(request["custom_id"]).word
    if word in ("missing", "duplicate", "malformed", "stranger", "trimmed", "twice"):
        return word
    for fate, count in (
        ("missing", config.quirks.missing_lines),
        ("duplicate", config.quirks.duplicate_lines),
        ("malformed", config.quirks.malformed_lines),
    ):
        if index < count:
            return fate
        index -= count
    return None


def _put(line: Line, fate: str | None, target: BinaryIO, written: Written) -> None:
    if line.ok:
        written.completed += 1
        written.usage["input"] += line.input_tokens
        written.usage["output"] += line.output_tokens
    else:
        written.failed += 1
    if fate == "missing":
        return
    envelope = dict(line.envelope)
    if fate == "stranger":
        envelope["custom_id"] = f"nobody's-{written.completed}"
    if fate == "trimmed":
        envelope["custom_id"] = envelope["custom_id"][:-1]
    text = _ENCODER.encode(envelope).encode(errors="replace")
    if fate == "malformed":
        text = text[: len(text) // 2]
    target.write(text + b"\n")
    if fate == "duplicate":
        target.write(text + b"\n")
    if fate == "twice":
        again = {**envelope, "response": {**envelope["response"], "request_id": "another"}}
        target.write(_ENCODER.encode(again).encode(errors="replace") + b"\n")


class _Maker:
    def __init__(self, batch: BatchRecord, config: Config, created: int) -> None:
        self._batch = batch
        self._config = config
        self._created = created

    def line(self, request: dict[str, Any], index: int, *, passes: bool) -> Line:
        marker = markers.PLAIN if passes else markers.of(request["custom_id"])
        token = self._token(index)
        if marker.word in ("expired", "cancelled"):
            return self.never_ran(request, f"batch_{marker.word}", index)
        if marker.fails or marker.status == 0:
            body = _error_body(marker, request)
            status = 400 if marker.status is None else marker.status
            return Line(self._envelope(request, token, status, body), ok=not marker.fails)
        answered = completions.complete(request["body"], marker, token, self._created)
        body = completions.render(answered, request["url"], self._config)
        envelope = self._envelope(request, token, 200, body)
        return Line(envelope, ok=True, input_tokens=answered.prompt_tokens, output_tokens=answered.completion_tokens)

    def never_ran(self, request: dict[str, Any], code: str, index: int) -> Line:
        error = {"code": code, "message": NEVER_RAN[code]}
        envelope = {"custom_id": request["custom_id"], "response": None, "error": error}
        return Line(self._with_id(envelope, self._token(index)), ok=False)

    def _token(self, index: int) -> str:
        source = f"{self._config.seed}/{self._batch.id}/{index}".encode()
        return hashlib.blake2b(source, digest_size=14).hexdigest()

    def _envelope(
        self, request: dict[str, Any], token: str, status: int, body: dict[str, Any] | None
    ) -> dict[str, Any]:
        custom_id = request["custom_id"]
        if self._config.dialect == "azure":
            response = {"body": body, "request_id": f"req-{token}", "status_code": status}
        else:
            response = {"status_code": status, "request_id": f"req_{token}", "body": body}
        return self._with_id({"custom_id": custom_id, "response": response, "error": None}, token)

    def _with_id(self, envelope: dict[str, Any], token: str) -> dict[str, Any]:
        return envelope if self._config.dialect == "azure" else {"id": f"batch_req_{token}", **envelope}


def _error_body(marker: Marker, request: dict[str, Any]) -> dict[str, Any] | None:
    if marker.status == 0:
        return None
    if marker.word == "echo":
        message = f"Invalid prompt: '{texts.prompt_text(request['body'])}' can't be answered."
        return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_prompt"}}
    if marker.word == "content-filter":
        found = {"hate": {"filtered": True, "severity": "medium"}, "violence": {"filtered": False, "severity": "safe"}}
        inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": found}
        error = {"message": "The response was filtered", "type": None, "param": "prompt", "code": "content_filter"}
        return {"error": {**error, "status": 400, "innererror": inner}}
    status = marker.status or 400
    message, kind, param, code = HTTP_ERRORS.get(status, (f"Emulated error {status}.", "emulated_error", None, None))
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
