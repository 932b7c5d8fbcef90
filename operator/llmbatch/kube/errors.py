"""What the API server says when it refuses a call, and how long it asks to wait."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llmbatch.common import backoff
from llmbatch.common.depth import bounded
from llmbatch.provider.pure import lenient, refusal

Json = dict[str, Any]


class ClusterError(Exception):
    """The API server refused a call, or did not answer.

    Attributes:
        status: HTTP status, or 0 when there was no answer.
        reason: The API server's reason, for example AlreadyExists.
        namespace_ends: Nothing can be made in the namespace any more: it is being deleted, or gone.
        retry_after: Seconds that the API server asks to wait; None: it doesn't say.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        namespace_ends: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """Keep what the API server said."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.namespace_ends = namespace_ends
        self.retry_after = retry_after

    @property
    def passes(self) -> bool:
        """Whether it says nothing about the object: no answer, slow down, out of order; or the object has moved on."""
        return self.status in (0, 404, 409, 429) or self.status >= 500

    @property
    def refuses(self) -> bool:
        """Whether an object is not had as it is, for as long as nobody changes something: by a rule, a quota, or a webhook.

        A policy may choose the status that it refuses with. A webhook that can't be called is an error of the API server's,
        which may last until somebody sees to it.
        """
        if 400 <= self.status < 500:
            return self.status not in (401, 404, 408, 409, 429)
        return self.status >= 500 and "webhook" in str(self)


def object_in(raw: bytes) -> Json | None:
    """Give the object of an answer, no deeper than anything that is looked at; None: there is none."""
    try:
        parsed = json.loads(bounded(raw))
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def read_json(raw: bytes) -> Json:
    """Give the object of an answer; of one that can't be read its beginning, as `message`."""
    parsed = object_in(raw)
    return {"message": beginning_of(raw)} if parsed is None else parsed


def beginning_of(raw: bytes) -> str:
    """Give the beginning of an answer, for messages."""
    return raw[:200].decode(errors="replace")


def refused(status: int, headers: Mapping[str, str], raw: bytes) -> ClusterError:
    """Give the error of an answer with a status that is no success."""
    parsed = read_json(raw)
    message = str(parsed.get("message") or f"status {status}")
    ends = _namespace_ends(status, parsed.get("details"))
    wait = _retry_after(headers, parsed.get("details"))
    return ClusterError(status, str(parsed.get("reason", "")), message, namespace_ends=ends, retry_after=wait)


def _retry_after(headers: Mapping[str, str], details: Any) -> float | None:  # noqa: ANN401 - JSON has no narrower type
    """Say how long the API server asks to wait, in its header or its body; never longer than its own longest."""
    wait = refusal.retry_after(headers, datetime.now(UTC))
    if wait is None and isinstance(details, dict):
        wait = lenient.number(details.get("retryAfterSeconds"))
    return None if wait is None else min(max(0.0, wait), backoff.LONGEST_SECONDS)


def _namespace_ends(status: int, details: Any) -> bool:  # noqa: ANN401 - JSON has no narrower type
    if not isinstance(details, dict):
        return False
    if status == 404:
        return details.get("kind") == "namespaces"
    causes = details.get("causes") or []
    return status == 403 and any(item.get("reason") == "NamespaceTerminating" for item in causes)
