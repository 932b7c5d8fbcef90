"""A line in the log for each call to a gateway that makes or changes something, or fails, with the ids by which others' logs tell of it."""

import logging
from collections.abc import Mapping

from llmbatch.provider.edge.route import Route

log = logging.getLogger(__name__)

IDS = ("x-kong-request-id", "x-request-id", "apim-request-id")
"""Headers with the id of a call: Kong's, OpenAI's and Azure's, Azure's API management's."""
MOST = 128
"""Characters of an id that are told."""


def ids_of(headers: Mapping[str, str], route: Route) -> dict[str, str]:
    """Give the ids that an answer names, without our credentials, which a gateway may put anywhere."""
    found = {name: headers[name] for name in IDS if headers.get(name)}
    return {
        name.replace("-", "_"): route.without_secrets(value.encode("utf-8", "replace")).decode("utf-8", "replace")[
            :MOST
        ]
        for name, value in found.items()
    }


def tell(
    operation: str, method: str, route: Route, *, code: str, seconds: float, headers: Mapping[str, str] | None
) -> None:
    """Write it.

    Args:
        operation: What was done.
        method: Of HTTP.
        route: To the gateway.
        code: HTTP status, or a word for none.
        seconds: How long it took.
        headers: Of the answer, if there was one.
    """
    # What is only looked at is looked at often.
    level = logging.DEBUG if method == "GET" and code.startswith("2") else logging.INFO
    if not log.isEnabledFor(level):
        return
    ids = ids_of(headers, route) if headers is not None else {}
    extra = {"operation": operation, "gateway": route.host, "code": code, "seconds": round(seconds, 3), **ids}
    log.log(level, "a gateway was called", extra=extra)
