"""Through which proxy a host is reached, by the variables of the environment that everybody sets for it.

Nobody has written down what NO_PROXY may hold. Here it is what curl and Go take: hosts, domains, addresses and their
networks (OpenShift and dual-stack clusters have those of IPv6 in it), each perhaps with a port; what can't be read fits nothing.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Give the URL of the proxy for a URL, as it is set; None: it is reached directly.

    Args:
        url: http or https.
        environ: Of its variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY count; in small letters they come first.
    """
    parts = urlsplit(url)
    proxy = _value(environ, f"{parts.scheme}_proxy") or _value(environ, "all_proxy")
    host, port = (parts.hostname or "").rstrip("."), parts.port or DEFAULT_PORTS.get(parts.scheme)
    if not proxy or any(_fits(entry, host, port) for entry in re.split(r"[,\s]+", _value(environ, "no_proxy"))):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _value(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _fits(entry: str, host: str, port: int | None) -> bool:
    """Tell whether an entry of NO_PROXY means a host."""
    entry = entry.rpartition("://")[2].lower()
    if entry == "*":
        return True
    if (network := _network(entry)) is None:
        # A host, or an address in brackets; with a port, perhaps.
        named = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?", entry)
        if named is None or (named[2] is not None and int(named[2]) != port):
            return False
        entry = named[1].strip("[]").rstrip(".")
        network = _network(entry)
    if network is not None:
        address = _address(host)
        return address is not None and address in network
    domain = entry.lstrip("*").lstrip(".")
    return domain != "" and (host == domain or host.endswith(f".{domain}"))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
