"""Reads an input file once, as validation does: counts its lines and collects everything that is wrong with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.emulator import markers
from tests.emulator.config import Config
from tests.emulator.records import BatchRecord

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NO_MODEL_ON_AZURE = (
    "Validation failed: A valid model deployment name couldn't be extracted from the input file. Please ensure that each"
    " row in the input file has a valid deployment name specified in the 'model' field, and that the deployment name is"
    " consistent across all rows."
)
EMPTY = "The input file is empty. Please ensure that the batch contains at least one request."


@dataclasses.dataclass(frozen=True)
class Problem:
    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclasses.dataclass
class Scan:
    total: int = 0
    failing: int = 0  # lines whose marker says that they will fail
    model: str | None = None
    problems: list[Problem] = dataclasses.field(default_factory=list)


def lines(path: Path) -> Iterator[bytes]:
    """Lines end at a line feed and nowhere else; blank ones are no requests."""
    with path.open("rb") as file:
        for line in file:
            if not line.isspace():
                yield line


def scan(path: Path, batch: BatchRecord, config: Config) -> Scan:
    result = Scan()
    problems = result.problems
    seen: set[str] = set()
    for number, line in enumerate(lines(path), start=1):
        result.total = number
        if number == 1 and line.startswith(BYTE_ORDER_MARK) and config.dialect == "azure":
            return Scan(problems=[Problem("invalid_request", NO_MODEL_ON_AZURE)])
        if number > config.line_limit:
            problems.insert(0, Problem("too_many_tasks", f"The batch has more than {config.line_limit} requests."))
            break
        if len(problems) >= config.max_errors:
            break
        request = _parsed(line)
        if request is None:
            problems.append(Problem("invalid_json_line", "This line is not parseable as valid JSON.", number))
            continue
        problems.extend(_judge(request, result, seen, batch, config))
        if markers.of(request.get("custom_id")).fails:
            result.failing += 1
    if result.total == 0:
        problems.append(Problem("empty_file", EMPTY))
    return result


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        request = json.loads(line)
    except ValueError:
        return None
    return request if isinstance(request, dict) else None


def _judge(
    request: dict[str, Any], result: Scan, seen: set[str], batch: BatchRecord, config: Config
) -> Iterator[Problem]:
    number = result.total
    azure = config.dialect == "azure"
    missing = "invalid_request" if azure else "missing_required_parameter"
    for name in ("custom_id", "method", "url", "body"):
        if name not in request:
            yield Problem(missing, f"Missing required parameter: '{name}'.", number, name)
    custom_id = request.get("custom_id")
    if custom_id is not None:
        if not isinstance(custom_id, str) or not custom_id:
            yield Problem("invalid_request", "The custom_id must be a non-empty string.", number, "custom_id")
        elif custom_id in seen:
            message = f"The custom_id '{custom_id}' is repeated; every custom_id must be unique in the file."
            yield Problem("duplicate_custom_id", message, number, "custom_id")
        else:
            seen.add(custom_id)
    if request.get("method", "POST") != "POST":
        yield Problem("invalid_request", "The method of every request must be POST.", number, "method")
    if "url" in request and not same_endpoint(request["url"], batch.endpoint, azure=azure):
        message = "The URL provided for this request does not match the batch endpoint."
        yield Problem("url_mismatch" if azure else "invalid_url", message, number, "url")
    if "body" in request:
        yield from _judge_body(request["body"], result, config)


def same_endpoint(url: object, endpoint: str, *, azure: bool) -> bool:
    if not isinstance(url, str):
        return False
    # Azure's own examples pair /v1/chat/completions in the lines with /chat/completions in the batch.
    return url.removeprefix("/v1") == endpoint.removeprefix("/v1") if azure else url == endpoint


def _judge_body(body: object, result: Scan, config: Config) -> Iterator[Problem]:
    number = result.total
    if not isinstance(body, dict):
        yield Problem("invalid_request", "The body of a request must be an object.", number, "body")
        return
    azure = config.dialect == "azure"
    model = body.get("model")
    if not isinstance(model, str) or not model:
        yield Problem("invalid_request", "Model parameter is required.", number, "body.model")
    elif config.models is not None and model not in config.models:
        message = (
            f"The deployment '{model}' does not exist."
            if azure
            else f"The provided model '{model}' is not supported by the Batch API."
        )
        yield Problem("model_not_found", message, number, "body.model")
    else:
        result.model = result.model or model
        if model != result.model:
            code = "model_mismatch" if azure else "mismatched_model"
            yield Problem(code, "Every request of a batch must name the same model.", number, "body.model")
    if body.get("stream"):
        message = "Chat Completions: Streaming is not supported in the Batch API."
        yield Problem("invalid_request" if azure else "streaming_unsupported", message, number, "body.stream")
