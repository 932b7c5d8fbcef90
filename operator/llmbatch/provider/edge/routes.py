"""Whether a gateway's two routes were seen to answer as a Files and a Batches API, and if not, as what instead.

A route that lists what belongs there is one, and so is one that refuses the list in the API's own form: some gateways have
none. Anything else that answers (a redirect, a login page, another API) is not, however kindly it answers.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from llmbatch.api.reasons import Reason
from llmbatch.provider.edge.outcome import NOT_IMPLEMENTED, UPGRADE, Answered, Failure, NotFound, Refused, Unreachable
from llmbatch.provider.pure import lenient, pages
from llmbatch.provider.pure.lenient import WireError

Kind = Literal["files", "batches"]
State = Literal["ok", "unauthorized", "no_route", "unsupported", "unreachable", "mismatch"]

PATHS: dict[Kind, str] = {"files": "filesPath", "batches": "batchesPath"}
_OBJECTS = {"file": "files", "batch": "batches"}
_MEMBERS = {
    "batches": {"input_file_id", "completion_window", "request_counts"},
    "files": {"filename", "purpose", "bytes"},
}
_FIRST_ENTRY = re.compile(r'"(?:data|value)"\s*:\s*\[\s*')
_HEAD_BYTES = 64 * 1024
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]")
_WANTS_TLS = ("plain http request", "http request to an https server", "use https")
_REFUSES_LIST = frozenset({400, 404, 405, 422, NOT_IMPLEMENTED})


@dataclass(frozen=True)
class RouteProbe:
    """Whether one route can be used. reason and message are set unless state is ok."""

    state: State
    reason: Reason | None = None
    message: str = ""
    retry_after: float | None = None  # seconds
    says_so: bool = False
    """A mismatch that says, though not in the API's form, that there is no such call."""


@dataclass(frozen=True)
class Probe:
    """What asking both routes for a list came to. unsupported: the route answers, but has no list."""

    files: RouteProbe
    batches: RouteProbe


@dataclass(frozen=True)
class Listed:
    """What a 2xx answer holds: a list of one kind, an empty list, or (with the reason) no list at all."""

    kind: Kind | None = None
    otherwise: str = ""


def read(body: bytes) -> Listed:
    """Say what a 2xx answer to the request for a list is; never raises."""
    text = body.strip()
    if not text:
        return Listed(otherwise="nothing at all")
    if lenient.is_page(body):
        return Listed(otherwise="a web page (of a login, perhaps)")
    try:
        data = lenient.unwrapped(body)
    except lenient.TooMuchError:
        return read_head(body)
    except WireError:
        return Listed(otherwise="something that is not JSON")
    entries = pages.listed(data) if isinstance(data, dict) else None
    if not isinstance(data, dict) or entries is None or data.get("object", "list") not in ("list", None, ""):
        return Listed(otherwise="JSON of another form than a list of files or batches")
    kinds = {_kind(entry) for entry in entries} - {"either"}
    if "neither" in kinds or len(kinds) > 1:
        return Listed(otherwise="a list of other things than files or batches")
    return Listed(kind="files" if "files" in kinds else "batches" if "batches" in kinds else None)


def read_head(body: bytes) -> Listed:
    """Say what a list of very much is by how it begins: some services list all that they have, whatever they are asked for."""
    text = body[:_HEAD_BYTES].decode("utf-8", "replace")
    begins = _FIRST_ENTRY.search(text)
    try:
        entry = json.JSONDecoder().raw_decode(text, begins.end())[0] if begins is not None else None
    except (ValueError, RecursionError):
        entry = None
    kind = _kind(entry)
    if kind == "neither":
        return Listed(otherwise="something that is very long and no list of files or batches")
    return Listed(kind="files" if kind == "files" else "batches" if kind == "batches" else None)


def _kind(entry: Any) -> str:  # noqa: ANN401 - JSON has no narrower type
    """Say whether an entry is of files or batches; one that says little may be of either."""
    if not isinstance(entry, dict) or lenient.text(entry.get("id")) is None:
        return "neither"
    said = lenient.text(entry.get("object"))
    if said is not None:
        return _OBJECTS.get(said.lower(), "neither")
    return next((kind for kind, members in _MEMBERS.items() if members & entry.keys()), "either")


def judged(kind: Kind, result: Answered[Listed] | Failure, url: str) -> RouteProbe:
    """Judge what asking one route for a list came to; `url` is what was asked."""
    match result:
        case Answered(Listed(kind=found, otherwise="")) if found in (None, kind):
            return RouteProbe("ok")
        case Answered(Listed(kind=found)) if found is not None:
            said = f"{PATHS[kind]} answers with a list of {found}"
            return _mismatch(f"{said}; exchange spec.filesPath and spec.batchesPath of the BatchGateway")
        case Answered(listed):
            said = f"{PATHS[kind]} answers with {listed.otherwise}, not with a list of {kind}"
            return _mismatch(f"{said}; check spec.url and spec.{PATHS[kind]} of the BatchGateway")
        case NotFound(message, shaped):
            if shaped:
                return RouteProbe("unsupported", Reason.ROUTE_NOT_FOUND, message)
            return RouteProbe("no_route", Reason.ROUTE_NOT_FOUND, _with_path(message, kind))
        case Unreachable():
            return RouteProbe("unreachable", result.reason, result.message, result.retry_after)
        case Refused():
            return _refused(kind, result, url)


def judged_together(files: RouteProbe, batches: RouteProbe) -> Probe:
    """Judge both routes: what one of them answers to an unknown path may, alone, also mean that it has no list.

    Where the other one is an API's, "not implemented" is about the list too, in whatever form.
    """
    if files.says_so and batches.state == "ok":
        files = replace(files, state="unsupported")
    elif batches.says_so and files.state == "ok":
        batches = replace(batches, state="unsupported")
    if files.reason is Reason.ROUTE_NOT_FOUND and batches.reason is Reason.ROUTE_NOT_FOUND:
        files, batches = (
            replace(probe, state="no_route") if probe.state == "unsupported" and _is_unknown_path(probe) else probe
            for probe in (files, batches)
        )
    return Probe(files=files, batches=batches)


def _refused(kind: Kind, result: Refused, url: str) -> RouteProbe:
    if 300 <= result.status < 400:
        return _mismatch(_redirected(kind, result, url))
    if result.status == UPGRADE or any(word in result.body.message.lower() for word in _WANTS_TLS):
        return _mismatch(_unencrypted(kind, result.status, url))
    if result.reason is Reason.GATEWAY_UNAUTHORIZED:
        return RouteProbe("unauthorized", result.reason, result.message)
    if result.reason in (Reason.RATE_LIMITED, Reason.BILLING_LIMIT):
        return RouteProbe("unreachable", result.reason, result.message, result.retry_after)
    if result.body.shaped and (result.status in _REFUSES_LIST or result.reason is Reason.QUOTA_EXCEEDED):
        return RouteProbe("unsupported", result.reason, result.message)
    if result.reason is Reason.ROUTE_NOT_FOUND:
        return RouteProbe("no_route", result.reason, _with_path(result.message, kind))
    said = f"{result.message.rstrip('.')}; {PATHS[kind]} does not answer as a {kind} API does"
    found = _mismatch(f"{said}: check spec.url and spec.{PATHS[kind]} of the BatchGateway")
    return replace(found, says_so=result.status == NOT_IMPLEMENTED)


def _is_unknown_path(probe: RouteProbe) -> bool:
    return "Resource not found" in probe.message or "Invalid URL" in probe.message


def _with_path(message: str, kind: Kind) -> str:
    return f"{message} ({PATHS[kind]})"


def _mismatch(message: str) -> RouteProbe:
    return RouteProbe("mismatch", Reason.NOT_A_BATCH_API, message)


def _unencrypted(kind: Kind, status: int, url: str) -> str:
    parts = urlsplit(url)
    said = f"{PATHS[kind]} answers {status}"
    if parts.scheme == "https":
        return f"{said}: it wants another protocol than HTTPS; check spec.url of the BatchGateway"
    return f"{said}: it wants HTTPS; set spec.url of the BatchGateway to https://{parts.netloc.rpartition('@')[2]}"


def _redirected(kind: Kind, result: Refused, url: str) -> str:
    said = f"{PATHS[kind]} answers {result.status}, a redirect"
    asked, target = urlsplit(url), origin(result.location)
    if not result.location or (target is None and result.location.startswith("//")) or _leads_nowhere(result.location):
        return f"{said}, which is not followed; give spec.url of the BatchGateway the final address"
    here = origin(url)
    if target is None or target == here:
        return (
            f"{said} to another path of the same address, which is not followed: a login page stands before the API, or"
            f" spec.{PATHS[kind]} of the BatchGateway is not quite right"
        )
    same_host = (urlsplit(target).hostname or "") == (asked.hostname or "")
    remedy = f"set spec.url of the BatchGateway to {target}"
    if same_host:
        return f"{said} to {target}, which is not followed; {remedy}"
    return f"{said} to {target}, which is not followed; {remedy}, unless that is a login page"


def _leads_nowhere(location: str) -> bool:
    """Tell a location that has an address which can't be shown."""
    return ("://" in location[:16] or location.startswith("//")) and origin(location) is None


def origin(location: str | None) -> str | None:
    """Give scheme, host and port of an absolute address, and nothing else of it; None: it has none that can be shown."""
    try:
        parts = urlsplit(location or "")
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    host = f"[{host}]" if ":" in host else host
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        return None
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" if port in (None, default) else f"{parts.scheme}://{host}:{port}"
