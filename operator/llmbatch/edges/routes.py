"""What the answers of a gateway's two routes say about whether it can be used."""

from dataclasses import dataclass
from typing import Literal

from llmbatch.api.reasons import Reason
from llmbatch.core.wire import Page
from llmbatch.edges.outcome import Answered, Failure, NotFound, Refused, Unreachable


@dataclass(frozen=True)
class RouteProbe:
    """Whether one route can be used. reason and message are set unless state is ok."""

    state: Literal["ok", "unauthorized", "no_route", "unsupported", "unreachable"]
    reason: Reason | None = None
    message: str = ""
    retry_after: float | None = None  # seconds


@dataclass(frozen=True)
class Probe:
    """What asking both routes for a list came to. unsupported: the route answers, but has no list."""

    files: RouteProbe
    batches: RouteProbe


def judged(result: Answered[Page] | Failure) -> RouteProbe:
    """Judge what asking a route for a list came to."""
    match result:
        case Answered():
            return RouteProbe("ok")
        case NotFound(message):
            return RouteProbe("unsupported", Reason.ROUTE_NOT_FOUND, message)
        case Unreachable():
            return RouteProbe("unreachable", result.reason, result.message, result.retry_after)
        case Refused(reason=Reason.GATEWAY_UNAUTHORIZED):
            return RouteProbe("unauthorized", result.reason, result.message)
        case Refused(reason=Reason.ROUTE_NOT_FOUND) if result.body.source != "provider":
            return RouteProbe("no_route", result.reason, result.message)
        case Refused(reason=Reason.RATE_LIMITED):
            return RouteProbe("unreachable", result.reason, result.message, result.retry_after)
        case Refused():
            return RouteProbe("unsupported", result.reason, result.message)
