"""What a transfer answers: the termination message of its container, of at most REPORT_LIMIT_BYTES bytes.

Of a pod with more than three containers, whoever put them there, the kubelet cuts each message to its part of 12 KiB. So what
matters comes first, in as few bytes as may be, and the examples last: a report that is cut off among them can be read.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from llmbatch.api.base import Model
from llmbatch.api.batchjob_status import Failure, InputStatus
from llmbatch.api.counts import RequestCounts, Usage
from llmbatch.api.reasons import Reason
from llmbatch.common.text import for_terminal, one_line
from llmbatch.jsonl.cut import MOST_PARTS, unpacked
from llmbatch.jsonl.lines import LineError

REPORT_LIMIT_BYTES = 4096
REPORT_PATH = "/dev/termination-log"
HEAD_BYTES = 1536
"""Size of what matters, where it can be made so short: a pod may then have eight containers."""
MOST_COUNT = 2**63 - 1
"""Bytes, requests, tokens."""
EXAMPLES = ("lineErrors", "failures")
_END = "examplesFollow"
"""A member that says so: all that matters is before it."""
_FIRST_EXAMPLE = re.compile(rf',"{_END}":true,"({"|".join(EXAMPLES)})":\[')
"""As it is written: within a text the quotation marks would be escaped."""


class Problem(Model):
    """Why a transfer did not do what was asked."""

    reason: Reason
    message: str
    final: bool = False
    """Trying again can't help (invalid input)."""
    retry_after_seconds: float | None = None
    """When the gateway said how long to wait."""
    side: Literal["input", "output"] | None = None
    """Which end of the spec it is about, when that isn't the transfer's own: an upload looks at the output too."""


class UploadReport(Model):
    """What became of an upload."""

    kind: Literal["upload"] = "upload"
    file_id: str | None = Field(None, alias="fileID")
    processed: bool = False
    """The provider has answered at once that it is done with the file."""
    input: InputStatus | None = None
    cuts: str | None = None
    """The parts of the input, see jsonl.cut.packed; without a file, it is too large for one and nothing was sent."""
    line_errors: list[LineError] = []
    """The first ten."""
    line_error_count: int = 0
    unanswered: bool = False
    """The file was sent and may have been stored, but no answer named it."""
    listed: bool = False
    """The gateway's list of files was read to its end meanwhile, and does not show it."""
    problem: Problem | None = None


class CollectReport(Model):
    """What became of the results."""

    kind: Literal["collect"] = "collect"
    bytes: int = 0
    requests: int = 0
    """Lines written as results (succeeded requests)."""
    sha256: str = ""
    errors_bytes: int = 0
    errors_requests: int = 0
    errors_sha256: str = ""
    request_counts: RequestCounts | None = None
    usage: Usage | None = None
    failures: list[Failure] = []
    foreign_requests: int = 0
    """Lines that fit no request and may be worth something: of strangers, unreadable ones, and second answers."""
    foreign_bytes: int | None = None
    """Size of what was stored of them; None: nothing, there was no room or there are none."""
    foreign_sha256: str | None = None
    missing: int = 0
    """Requests for which the provider's files have no line that can be read."""
    unfinished: int | None = None
    """Failed requests that may be tried again, where single requests are judged; they are among the failed ones too."""
    unfinished_missing: int | None = None
    """Of them, those without a result line; they are among the missing ones too."""
    unfinished_bytes: int | None = None
    """Size of their lines of the input."""
    unfinished_crc32: int | None = None
    stopping: Failure | None = None
    """The first request that failed in a way for which the whole job is to fail."""
    malformed_lines: int = 0
    """Result lines that could not be read; their requests count as having no result."""
    foreign_lines: int = 0
    """Result lines whose custom_id is not in the input, or that repeat one that is settled; not among the results."""
    problem: Problem | None = None


class MergeReport(Model):
    """What became of results that were put together."""

    kind: Literal["merge"] = "merge"
    bytes: int = 0
    sha256: str = ""
    errors_bytes: int | None = None
    errors_sha256: str | None = None
    foreign_bytes: int | None = None
    foreign_sha256: str | None = None
    succeeded: int | None = None
    """Requests that succeeded, and those that failed, where single requests were judged."""
    failed: int | None = None
    failures: list[Failure] = []
    """Examples of those that failed."""
    problem: Problem | None = None


class DiscardReport(Model):
    """What became of results that were to be deleted."""

    kind: Literal["discard"] = "discard"
    kept: list[str] = []
    """Files that are still there, each with the reason."""
    problem: Problem | None = None


Report = UploadReport | CollectReport | MergeReport | DiscardReport
REPORTS: dict[str, type[Report]] = {
    "upload": UploadReport,
    "collect": CollectReport,
    "merge": MergeReport,
    "discard": DiscardReport,
}


def believable(report: Report) -> Report:
    """Give a report that a transfer may have written.

    Whoever may make pods may write one: what it counts goes into what all tenants of a quota have reserved.

    Raises:
        ValueError: It counts less than nothing, or more than there can be; or its parts can't be read, or are too many.
    """
    _check(report.model_dump())
    if isinstance(report, UploadReport) and report.cuts is not None:
        cuts = unpacked(report.cuts)
        _check(cuts)
        if not 0 < len(cuts) <= MOST_PARTS:
            raise ValueError(f"{len(cuts)} parts")
    return report


def _check(value: Any) -> None:  # noqa: ANN401 - JSON has no narrower type
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            _check(item)
    elif isinstance(value, int | float) and not 0 <= value <= MOST_COUNT:
        raise ValueError(f"{value} is no count")


def encoded(data: dict[str, Any]) -> bytes:
    """Write a report's data, the examples last."""
    ordered = {name: value for name, value in data.items() if name not in EXAMPLES}
    if examples := {name: value for name, value in data.items() if name in EXAMPLES}:
        ordered |= {_END: True, **examples}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()


def decoded(text: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Read what `encoded` has written, if need be without examples that were cut off; nothing in it steers a terminal.

    Raises:
        ValueError: It is no JSON, or more than examples is missing.
    """
    try:
        return _shown(json.loads(text))
    except ValueError:
        found = _FIRST_EXAMPLE.search(text)
        if found is None:
            raise
        return _shown({**json.loads(f"{text[: found.start()]}}}"), found[1]: list(_entries(text, found.end()))})


def _shown(value: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
    if isinstance(value, dict):
        return {for_terminal(name): _shown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return for_terminal(value) if isinstance(value, str) else value


def _entries(text: str, at: int) -> Iterator[Any]:
    """Give the entries of a list that are there as a whole."""
    decoder = json.JSONDecoder()
    while True:
        try:
            entry, at = decoder.raw_decode(text, at)
        except ValueError:
            return
        yield entry
        at += 1


def fitted(report: Report) -> bytes:
    """Write a report as JSON of at most REPORT_LIMIT_BYTES bytes: the least important of it goes first."""
    for limit in (1024, 512, 256, 128, 64):
        data = _shortened(report.dump(), limit)
        for examples in EXAMPLES:
            while len(encoded(data)) > REPORT_LIMIT_BYTES and len(data.get(examples, ())) > 1:
                data[examples].pop()
        head = {name: value for name, value in data.items() if name not in EXAMPLES}
        if len(encoded(data)) <= REPORT_LIMIT_BYTES and len(encoded(head)) <= HEAD_BYTES:
            break
    return encoded(data)


def _shortened(value: Any, limit: int) -> Any:  # noqa: ANN401 - JSON has no narrower type
    if isinstance(value, dict):
        # A shortened id would be another, and so would be a part.
        return {key: item if key in ("fileID", "cuts") else _shortened(item, limit) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item, limit) for item in value]
    return one_line(value, limit) if isinstance(value, str) and len(value) > 256 else value
