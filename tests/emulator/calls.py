"""The record of calls, in memory, for tests to read."""

from __future__ import annotations

import collections
import dataclasses
import time
from typing import Any

KEPT_CALLS = 20_000  # the oldest are forgotten beyond this


@dataclasses.dataclass
class Call:
    operation: str | None  # None: no operation is at that path
    method: str
    path: str  # as the client sent it, without the instance's prefix
    query: dict[str, str]
    headers: dict[str, str]
    request_id: str
    time: float = dataclasses.field(default_factory=time.time)
    seconds: float | None = None  # None: not answered yet
    status: int | None = None  # None: not answered yet, or never
    fault: str | None = None
    body: Any = None  # of a JSON call
    upload: dict[str, Any] | None = None  # filename, bytes, content_type, sha256, fields
    answer_id: str | None = None  # id of what was made or shown
    unseen_ids: list[str] = dataclasses.field(default_factory=list)  # of what a proxy's repeats made besides


class Calls:
    def __init__(self) -> None:
        self._calls: collections.deque[Call] = collections.deque(maxlen=KEPT_CALLS)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> None:
        self._calls.append(call)

    def clear(self) -> None:
        self._calls.clear()

    def as_json(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(call) for call in self._calls]
