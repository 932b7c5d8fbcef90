"""What a call to the gateway can come to, and how httpx' errors and HTTP statuses become one of these."""

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

import httpx

from llmbatch.api.reasons import Reason
from llmbatch.provider.pure import shortage, words
from llmbatch.provider.pure.refusal import ErrorBody, read_error, retry_after

T = TypeVar("T")


@dataclass(frozen=True)
class Answered(Generic[T]):
    """The gateway answered with what was asked for."""

    value: T


@dataclass(frozen=True)
class NotFound:
    """The provider itself says that there is no such batch or file."""

    message: str
    shaped: bool = True
    """It said so in the API's own form."""
    body: ErrorBody | None = None


@dataclass(frozen=True)
class UnusableId(NotFound):
    """Nothing was asked: no URL can hold the id."""


@dataclass(frozen=True)
class Refused:
    """The gateway or the provider answered, but with a refusal."""

    status: int
    body: ErrorBody
    reason: Reason
    message: str
    retry_after: float | None = None  # seconds
    location: str | None = field(default=None, repr=False)
    """Where a redirect leads; may hold anything, and is never shown as it is."""


@dataclass(frozen=True)
class Unreachable:
    """There was no usable answer."""

    sent: bool  # whether the gateway may have acted on the request
    reason: Reason
    message: str
    retry_after: float | None = None  # seconds


Failure = NotFound | Refused | Unreachable

# Whether the request may have reached the gateway when httpx raises this, and what to say. Every subclass of
# httpx.TransportError has its own line, so that a new one is noticed by a test and not in production.
TRANSLATED: dict[type[httpx.TransportError], tuple[bool, str]] = {
    httpx.ConnectError: (False, "could not be connected to"),
    httpx.ConnectTimeout: (False, "could not be connected to in time"),
    httpx.PoolTimeout: (False, "has too many calls of ours under way"),
    httpx.ProxyError: (False, "can't be reached through the proxy of HTTPS_PROXY"),
    httpx.UnsupportedProtocol: (False, "has a URL that is neither http nor https"),
    httpx.ReadTimeout: (True, "did not answer in time"),
    httpx.WriteTimeout: (True, "did not take the request in time"),
    httpx.ReadError: (True, "broke the connection off before it had answered"),
    httpx.WriteError: (True, "broke the connection off while the request was being sent"),
    httpx.CloseError: (True, "broke the connection off"),
    httpx.RemoteProtocolError: (True, "broke the connection off or answered with something that is not HTTP"),
    # Values that HTTP forbids are refused by connection.resolve(); what is left is our own fault, and may be half sent.
    httpx.LocalProtocolError: (True, "could not be asked: the request breaks HTTP's rules"),
    # The families. Nothing raises them itself.
    httpx.TransportError: (True, "gave no usable answer"),
    httpx.TimeoutException: (True, "did not answer in time"),
    httpx.NetworkError: (True, "broke the connection off"),
    httpx.ProtocolError: (True, "answered with something that is not HTTP"),
}


GONE = 410
UPGRADE = 426
NOT_IMPLEMENTED = 501
"""Says, unlike all else from 500 on, that there is no such call, and never will be."""
_MAY_BE_DONE = frozenset({303, 409})
"""A conflict may be with the very thing that was ordered, where a proxy on the way has sent the request twice; and "See other"
is how some say that it is to be found elsewhere."""
_NOT_DONE = frozenset({300, 301, 302, 305, 307, 308})
"""Redirects of a call that nobody has looked at. Any other status below 400 that is no success (304, 101) answers no such call:
a proxy may have made it of whatever came of the call."""
NOT_NOW = frozenset({421, 423, 425})
"""Nothing was done, and the same call may succeed a little later: misdirected, locked, too early."""
_UNANSWERED = frozenset({408, 460, 499})
"""Somebody on the way has not waited for the answer: by HTTP, AWS' load balancer, nginx and Google's proxies."""

_NAME_THE_AUTHORITY = "name its authority in spec.tls.caBundle of the BatchGateway"
_OTHER_NAME = "give spec.url of the BatchGateway the name that is in the certificate, or spec.tls.serverName"
# By OpenSSL's X509_V_ERR_…; no authority in caBundle helps against these.
_CERTIFICATE_REMEDIES = {
    9: "it is not valid yet: check the clocks, or replace it at the gateway",
    10: "renew it at the gateway",
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
_CLIENT_CERTIFICATE = "spec.tls.clientCertificate of the BatchGateway"
_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")


def from_error(error: httpx.TransportError, operation: str, host: str) -> Unreachable:
    """Translate an error of the connection."""
    sent, words = TRANSLATED.get(type(error), (True, "gave no usable answer"))
    refusal = _tls_refusal(error)
    if refusal is not None:
        reason, words = refusal
        return Unreachable(sent, reason, f"{operation}: {host} {words}")
    cause = _system_cause(error)
    remedy = "check spec.url of the BatchGateway, and that the gateway is up"
    if sent and _is_https(error) and not isinstance(error, httpx.TimeoutException):
        # In TLS 1.3 a client certificate is judged after the handshake, and some servers then just hang up.
        remedy += "; should it ask for client certificates, check spec.tls.clientCertificate"
    return Unreachable(sent, Reason.GATEWAY_UNREACHABLE, f"{operation}: {host} {words}{cause}; {remedy}")


def from_tls_error(error: ssl.SSLError, operation: str, host: str) -> Unreachable:
    """Translate an error of TLS after the handshake: the request may have been taken in."""
    translated = httpx.ReadError("")
    translated.__cause__ = error
    return from_error(translated, operation, host)


def from_response(status: int, headers: httpx.Headers, body: bytes, operation: str, host: str) -> Failure:
    """Translate an answer that isn't 2xx."""
    error = read_error(status, headers, body)
    wait = retry_after(headers, datetime.now(UTC))
    # Whoever refuses may quote what he doesn't like, in any form.
    said = f"{operation}: {host} answered {status} ({words.told(error.code, error.message)})"
    if status == 404 and _is_missing_object(error):
        return NotFound(said, error.shaped, error)
    reason, remedy = _judge(status, error)
    message = f"{said}; {remedy}" if remedy else said
    if _is_unanswered(status) or status in NOT_NOW:
        return Unreachable(status not in NOT_NOW, reason, message, wait)
    if 300 <= status < 400 and "location" in headers:
        message = f"{said}; it redirects, which is not followed: give spec.url of the BatchGateway the final address"
    return Refused(status, error, reason, message, wait, headers.get("location") if 300 <= status < 400 else None)


def unreadable(operation: str, host: str, why: str) -> Unreachable:
    """Say that a 2xx answer could not be understood."""
    return Unreachable(
        True,
        Reason.GATEWAY_UNREACHABLE,
        f"{operation}: {host} answered with success, but {why}; check that spec.url and the paths of the BatchGateway lead to the files and batches routes",
    )


def mixed_up(batch_id: str) -> Unreachable:
    """Say that an answer about a batch told of another job's."""
    return Unreachable(
        True,
        Reason.GATEWAY_UNREACHABLE,
        f"The answer about batch {batch_id} tells of a batch of another file or job, and is not believed. Does a cache on the way mix answers up?",
    )


def not_cancelled(answer: NotFound, batch_id: str) -> Refused:
    """Say of a batch that is there that the call which cancels it is not."""
    told = (
        f"{answer.message}, but batch {batch_id} is there and runs on; check that the gateway's route takes POST"
        " <batchesPath>/<id>/cancel, or cancel it at the provider"
    )
    return Refused(404, ErrorBody(source="unknown", code=None, message=""), Reason.ROUTE_NOT_FOUND, told)


def unheeded(batch_id: str) -> Unreachable:
    """Say that a batch runs on after it was cancelled."""
    told = f"The cancellation of batch {batch_id} was answered with success, but it runs on; cancel it at the provider."
    return Unreachable(True, Reason.GATEWAY_UNREACHABLE, told)


def unsafe_id(operation: str) -> UnusableId:
    """Say that an id can't be asked about."""
    told = "the provider's id has characters that no id may have, or too many of them; ask for it there by hand"
    return UnusableId(f"{operation}: {told}")


def unusable(operation: str, host: str, why: str) -> Unreachable:
    """Say that a batch or file was answered whose id can't be used."""
    return Unreachable(
        True,
        Reason.UNUSABLE_ID,
        f"{operation}: {host} answered with success, but {why}; "
        "have the gateway pass the provider's ids on as they are, or give spec.url one that does",
    )


def may_be_done(status: int) -> bool:
    """Tell whether a refusal of a call that makes something leaves open whether it was made."""
    return status in _MAY_BE_DONE or (status < 400 and status not in _NOT_DONE)


def _is_missing_object(error: ErrorBody) -> bool:
    """Tell a missing batch or file from a path that the provider doesn't know (a gateway configured wrongly)."""
    if error.source != "provider":
        return False
    text = error.message.lower()
    return not (text.startswith("invalid url") or (error.code == "404" and text.startswith("resource not found")))


def _is_unanswered(status: int) -> bool:
    """Tell whether a status leaves open what became of the call."""
    return status in _UNANSWERED or (status >= 500 and status != NOT_IMPLEMENTED)


def _judge(status: int, error: ErrorBody) -> tuple[Reason, str]:
    text = error.message.lower()
    short = shortage.of(error.code, error.message, status)
    if short is Reason.BILLING_LIMIT and status in (400, 402, 403, 409, 422, 429):
        return short, "see to the account's billing or its limit at the provider; the job then goes on by itself"
    if status in (495, 496) or (status == 400 and "ssl certificate" in text):  # nginx' own, Kong's too
        return Reason.GATEWAY_UNAUTHORIZED, f"check {_CLIENT_CERTIFICATE}"
    if status == 407:
        return Reason.GATEWAY_UNAUTHORIZED, "give the proxy on the way its credentials, in the chart's values proxy"
    if status in (401, 403) and not (status == 403 and short is not None):
        return Reason.GATEWAY_UNAUTHORIZED, "check the credentials in spec.headers of the BatchGateway"
    if status == 404:
        return Reason.ROUTE_NOT_FOUND, "check spec.url, filesPath and batchesPath of the BatchGateway"
    if short is not None and status in (400, 403, 409, 422, 429) and not (status == 429 and _is_rate(error)):
        return Reason.QUOTA_EXCEEDED, "it is tried again when other batches have ended; a higher quota helps"
    if status == 400 and ("in 'pending' state" in text or "in 'running' state" in text):
        return Reason.FILE_PENDING, "it is tried again when the provider has processed the file"
    if status == 429:
        return Reason.RATE_LIMITED, "it is tried again later"
    if _is_unanswered(status) or status in NOT_NOW:
        return Reason.GATEWAY_UNREACHABLE, "it is tried again; the logs of the gateway tell more"
    if status == 413:
        return (
            Reason.REQUEST_REFUSED,
            "raise the gateway's size limit (ai-proxy's max_request_body_size, plugin request-size-limiting,"
            " nginx_http_client_max_body_size), or lower limits.maxFileBytes of the BatchGateway",
        )
    return Reason.REQUEST_REFUSED, ""


def _is_rate(error: ErrorBody) -> bool:
    """Tell a limit of calls in a time from one of what is enqueued or kept."""
    said = f"{error.code} {error.message}".lower()
    return not any(word in said for word in ("token_limit_exceeded", "quotaexceeded", "quota_exceeded", "enqueued"))


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


def _tls_refusal(error: httpx.TransportError) -> tuple[Reason, str] | None:
    for item in _chain(error):
        if isinstance(item, ssl.SSLCertVerificationError):
            return (
                Reason.TLS_VERIFICATION_FAILED,
                f"has a certificate that is not trusted ({item.verify_message}); {_CERTIFICATE_REMEDIES.get(item.verify_code, _NAME_THE_AUTHORITY)}",
            )
        if isinstance(item, ssl.SSLError):
            if "ALERT" in (item.reason or "") and any(word in item.reason for word in _ALERTS):
                return (
                    Reason.GATEWAY_UNAUTHORIZED,
                    f"does not accept the client certificate, or wants one ({item.reason}); check {_CLIENT_CERTIFICATE}",
                )
            return (
                Reason.GATEWAY_UNREACHABLE,
                f"could not agree on TLS ({item.reason or 'no reason given'}); check that the port of spec.url speaks https",
            )
    return None


def _is_https(error: httpx.TransportError) -> bool:
    try:
        return error.request.url.scheme == "https"
    except RuntimeError:  # made without a request
        return False


def _system_cause(error: httpx.TransportError) -> str:
    """Give the operating system's words (connection refused, name not known): they hold no request data."""
    for item in reversed(_chain(error)):
        if isinstance(item, OSError) and item.strerror:
            return f" ({item.strerror})"
    return ""
