"""From a Connection and the environment to what httpx needs: headers, query, TLS context, time limits.

Values of headers and parameters are credentials: they are in no repr, no message and no log.
"""

import json
import logging
import os
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from importlib import metadata
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from llmbatch.api.reasons import Reason
from llmbatch.common import addresses
from llmbatch.common.proxies import proxy_for
from llmbatch.provider.edge import tls
from llmbatch.provider.edge.tls import ConnectionInvalidError, Material
from llmbatch.provider.pure.connection import Connection, Setting

# httpx writes whole URLs into its log, and a query parameter may be a credential; httpcore writes headers.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


try:
    _VERSION = metadata.version("llmbatch")
except metadata.PackageNotFoundError:  # run from a checkout
    _VERSION = "dev"


ELSEWHERE = "llmbatch.location"
"""Extension of a response: where it redirects to."""
FRAMING = frozenset({
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
})  # fmt: skip
"""Headers about the connection. By two words on where a request ends, a second one could be hidden in it, and a proxy that all
tenants share might take that for somebody else's."""
SHORTEST_SECRET = 8
"""What is shorter than that can't be told from an ordinary word."""


@dataclass(frozen=True)
class Route:
    """A connection with its secrets resolved. The secrets don't show in its repr."""

    host: str  # name and port, for messages
    files_url: str
    batches_url: str
    headers: httpx.Headers = field(repr=False)
    query: httpx.QueryParams = field(repr=False)
    verify: ssl.SSLContext = field(repr=False)
    proxy: httpx.Proxy | None = field(repr=False)
    connect_seconds: float
    request_seconds: float
    transfer_seconds: float
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    """What no message may show, longest first."""

    def without_secrets(self, body: bytes) -> bytes:
        """Blank our own credentials in a refusal: some gateways quote the key that they don't know."""
        for secret in self.secrets:
            # In any case: a host's name comes back in small letters.
            body = re.sub(re.escape(secret), b"***", body, flags=re.IGNORECASE)
        return body

    def options(self, *, silence_seconds: float) -> dict[str, Any]:
        """Give the arguments of an httpx client that waits at most so long for each piece of data."""
        return {
            "headers": self.headers,
            "params": self.query,
            "verify": self.verify,
            "timeout": httpx.Timeout(silence_seconds, connect=self.connect_seconds, pool=self.connect_seconds),
            "proxy": self.proxy,
            # httpx raises over a NO_PROXY with networks of IPv6 in it, whatever the host; and knows no networks of IPv4.
            "trust_env": False,
            # A redirect would carry the credentials to wherever it points.
            "follow_redirects": False,
            "cookies": _NoCookies(),
        }

    def headers_of(self, response: httpx.Response) -> httpx.Headers:
        """Give a refusal's headers, with the address that was put aside, as it may be looked at."""
        headers = response.headers
        if (location := response.extensions.get(ELSEWHERE)) is not None:
            headers["Location"] = self.without_secrets(location.encode()).decode()
        return headers


class _NoCookies(CookieJar):
    """Takes none: a gateway could fill every further request with them, and the memory."""

    def extract_cookies(self, *_: object) -> None:
        """Leave them."""


def put_aside(response: httpx.Response) -> None:
    """Take its address out of a redirect: httpx makes a request of it though none is followed, and raises anything over an odd one."""
    if (location := response.headers.get("Location")) is not None:
        response.extensions[ELSEWHERE] = location
        del response.headers["Location"]


async def put_aside_here(response: httpx.Response) -> None:
    """Do the same for an asynchronous client, which waits for its hooks."""
    put_aside(response)


def resolve(connection: Connection, environ: Mapping[str, str], material: Material | None = None) -> Route:
    """Resolve the connection's values.

    Raises:
        ConnectionInvalidError: A variable or file is missing, or a value or certificate can't be used.
    """
    base = connection.url.rstrip("/")
    _check_address(base)
    headers = httpx.Headers({"User-Agent": f"llmbatch/{_VERSION}", "Accept": "application/json"})
    for setting in connection.headers:
        if setting.name.lower() in FRAMING:
            told = (
                f"spec.headers of the BatchGateway names {setting.name}, which says where a request ends: leave it out"
            )
            raise ConnectionInvalidError(Reason.GATEWAY_INVALID, told)
        headers[setting.name] = _value("header", setting, environ)
    # Last, whatever the spec says: nothing is gained by compression here, and much to be guarded against.
    headers["Accept-Encoding"] = "identity"
    query = httpx.QueryParams()
    for setting in connection.query:
        query = query.add(setting.name, _value("query parameter", setting, environ))
    return Route(
        host=urlsplit(base).netloc,
        files_url=base + "/" + connection.files_path.strip("/"),
        batches_url=base + "/" + connection.batches_path.strip("/"),
        headers=headers,
        query=query,
        verify=tls.of(connection, material or Material()),
        proxy=_proxy(base),
        connect_seconds=connection.connect_seconds,
        request_seconds=connection.request_seconds,
        transfer_seconds=connection.transfer_seconds,
        secrets=_forms(
            _value("value", setting, environ)
            for setting in (*connection.headers, *connection.query)
            if setting.variable is not None
        ),
    )


def _forms(values: Iterable[str]) -> tuple[bytes, ...]:
    """Give the ways in which a refusal may quote these: whole, without "Bearer", as JSON and URLs write them."""
    parts = {part for value in values for part in (value, *value.split()) if len(part) >= SHORTEST_SECRET}
    forms = {form for part in parts for form in (part, json.dumps(part)[1:-1], quote(part), quote(part, safe=""))}
    return tuple(sorted((form.encode() for form in forms), key=len, reverse=True))


def _check_address(url: str) -> None:
    """Refuse what would only come out as an odd error of the URL or the name resolver, deep in a call."""
    try:
        parsed = httpx.URL(url)
        host = parsed.host if parsed.port is None or 0 < parsed.port < 65536 else ""
    except httpx.InvalidURL:
        host = ""
    if not 0 < len(host) <= 253 or any(len(label) > 63 for label in host.split(".")):
        raise ConnectionInvalidError(Reason.GATEWAY_INVALID, "spec.url of the BatchGateway is not a usable URL")


def _proxy(url: str) -> httpx.Proxy | None:
    address = proxy_for(url, os.environ)
    if address is None:
        return None
    if (host := addresses.literal(httpx.URL(url).host)) is not None and addresses.is_of_node(host):
        # The proxy would call it from where it is itself. What a name leads to is the proxy's to know.
        told = "spec.url of the BatchGateway has a link-local address, or one of a cloud's metadata service, which is not called"
        raise ConnectionInvalidError(Reason.GATEWAY_INVALID, told)
    try:
        proxy = httpx.Proxy(address)
        usable = proxy.url.scheme in ("http", "https") and proxy.url.host != ""
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:
        # It may hold a password, and is not shown.
        told = "the proxy that the environment names for it (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) is not the URL of an HTTP proxy"
        raise ConnectionInvalidError(
            Reason.GATEWAY_INVALID,
            f"{told}, as http://proxy.example.com:3128: correct the chart's values proxy or extraEnv",
        )
    return proxy


def _value(kind: str, setting: Setting, environ: Mapping[str, str]) -> str:
    value = setting.value
    if setting.variable is not None:
        value = environ.get(setting.variable)
        if value is None:
            raise ConnectionInvalidError(
                Reason.CREDENTIALS_NOT_FOUND,
                f"the value of {kind} {setting.name} is missing (variable {setting.variable}): "
                "check that the Secret and key named in the BatchGateway exist",
            )
    # A Secret made from a file often ends in a line feed; white space around a header's value has no meaning anyway.
    value = (value or "").strip()
    # Checked here because h11's own complaint would quote the value.
    if not value.isascii() or not value.isprintable():
        raise ConnectionInvalidError(
            Reason.GATEWAY_INVALID,
            f"the value of {kind} {setting.name} has control or non-ASCII characters: check the Secret it comes from",
        )
    return value
