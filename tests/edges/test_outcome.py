"""Each way in which a call can go wrong is translated once, and none is left out."""

import re
import ssl
from collections.abc import Iterator

import httpx
import pytest

from llmbatch.api.reasons import Reason
from llmbatch.provider.edge.outcome import TRANSLATED, NotFound, Refused, Unreachable, from_error, from_response
from tests.cluster.paths import REPOSITORY

NOT_SENT = {
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
}


def family(kind: type[httpx.TransportError]) -> Iterator[type[httpx.TransportError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


def test_every_transport_error_is_translated() -> None:
    assert set(family(httpx.TransportError)) == set(TRANSLATED)


@pytest.mark.parametrize("kind", TRANSLATED, ids=lambda kind: kind.__name__)
def test_an_error_says_whether_the_request_may_have_been_sent(kind: type[httpx.TransportError]) -> None:
    failure = from_error(kind("apikey=s3cret"), "get batch", "kong.example")
    assert failure.sent is (kind not in NOT_SENT)
    assert failure.reason is Reason.GATEWAY_UNREACHABLE
    assert failure.message.startswith("get batch: kong.example ")
    assert "s3cret" not in failure.message


def test_a_refused_client_certificate_is_a_matter_of_credentials() -> None:
    refused = ssl.SSLError(1, "alert")
    refused.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    error = httpx.ReadError("")
    error.__cause__ = refused
    failure = from_error(error, "get batch", "kong.example")
    assert failure.reason is Reason.GATEWAY_UNAUTHORIZED
    assert "spec.tls.clientCertificate" in failure.message


KONG = '{"message":"%s","request_id":"1"}'
AZURE = '{"error":{"code":"%s","message":"%s"}}'


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        pytest.param(401, KONG % "Unauthorized", Refused, Reason.GATEWAY_UNAUTHORIZED, id="401"),
        pytest.param(403, AZURE % ("forbidden", "no"), Refused, Reason.GATEWAY_UNAUTHORIZED, id="403"),
        pytest.param(404, KONG % "no Route matched with those values", Refused, Reason.ROUTE_NOT_FOUND, id="Kong 404"),
        pytest.param(404, "<html>nginx</html>", Refused, Reason.ROUTE_NOT_FOUND, id="an ingress' 404 is no lost batch"),
        pytest.param(404, "", Refused, Reason.ROUTE_NOT_FOUND, id="neither is an empty one"),
        pytest.param(404, AZURE % ("404", "Resource not found"), Refused, Reason.ROUTE_NOT_FOUND, id="Azure's path"),
        pytest.param(404, AZURE % ("", "Invalid URL (GET /v1/x)"), Refused, Reason.ROUTE_NOT_FOUND, id="OpenAI's path"),
        pytest.param(404, AZURE % ("notFound", "No such batch"), NotFound, None, id="the provider's 404"),
        pytest.param(429, KONG % "API rate limit exceeded", Refused, Reason.RATE_LIMITED, id="429"),
        pytest.param(429, AZURE % ("token_limit_exceeded", "x"), Refused, Reason.QUOTA_EXCEEDED, id="429 of tokens"),
        pytest.param(400, AZURE % ("token_limit_exceeded", "x"), Refused, Reason.QUOTA_EXCEEDED, id="tokens"),
        pytest.param(400, AZURE % ("quotaExceeded", "500 files"), Refused, Reason.QUOTA_EXCEEDED, id="files"),
        pytest.param(
            400,
            AZURE % ("invalidPayload", "The input file 'f' is in 'pending' state."),
            Refused,
            Reason.FILE_PENDING,
            id="a file that is not processed yet",
        ),
        pytest.param(400, AZURE % ("invalidPayload", "bad"), Refused, Reason.REQUEST_REFUSED, id="400"),
        pytest.param(413, KONG % "Payload too large", Refused, Reason.REQUEST_REFUSED, id="413"),
        pytest.param(408, "", Unreachable, Reason.GATEWAY_UNREACHABLE, id="408"),
        pytest.param(502, KONG % "An invalid response", Unreachable, Reason.GATEWAY_UNREACHABLE, id="502"),
        pytest.param(504, "", Unreachable, Reason.GATEWAY_UNREACHABLE, id="504"),
    ],
)
def test_refusals(status: int, body: str, kind: type, reason: Reason | None) -> None:
    failure = from_response(status, httpx.Headers({"Retry-After": "3"}), body.encode(), "get batch", "kong.example")
    assert isinstance(failure, kind)
    assert failure.message.startswith(f"get batch: kong.example answered {status} (")
    if not isinstance(failure, NotFound):
        assert failure.reason is reason
        assert failure.retry_after == 3.0


def test_a_redirect_is_not_followed_and_says_what_to_do() -> None:
    failure = from_response(301, httpx.Headers({"Location": "https://x"}), b"", "get batch", "kong.example")
    assert "spec.url" in failure.message


def reason_of(answer: str) -> str:
    """Give the reason of an answer, as the page on Kong writes answers."""
    if answer.startswith(("no connection", "a certificate")):
        error = httpx.ConnectError("")
        if "certificate" in answer:
            error.__cause__ = untrusted = ssl.SSLCertVerificationError()
            untrusted.verify_code, untrusted.verify_message = 18, "self-signed certificate"
        return from_error(error, "list files", "kong").reason
    said = re.search(r"`([^`]+ [^`]+)`", answer)
    body = AZURE % ("404", "Resource not found") if "`error`" in answer else KONG % (said[1] if said else "")
    reasons = set[str]()
    for status in re.findall(r"\b\d{3}\b", answer):
        failure = from_response(int(status), httpx.Headers({}), body.encode(), "list files", "kong")
        assert not isinstance(failure, NotFound)
        reasons.add(failure.reason)
    (reason,) = reasons
    return reason


def test_the_page_on_kong_tells_each_answers_reason() -> None:
    text = (REPOSITORY / "docs/kong.md").read_text(encoding="utf-8").partition("## What an answer means")[2]
    rows = re.findall(r"^\| ([^|]+) \| `(\w+)` \|", text, re.MULTILINE)
    assert len(rows) > 10
    assert [(answer, reason_of(answer)) for answer, _ in rows] == rows
