"""Through which proxy a host is reached: what all the world writes into NO_PROXY is understood, or fits nothing."""

import pytest

from llmbatch.common.proxies import proxy_for

PROXY = "http://proxy:3128"
KONG = "https://kong.example.com:8443"


@pytest.mark.parametrize(
    ("url", "bypass", "proxied"),
    [
        pytest.param("https://10.96.0.1:443", "10.96.0.1", False, id="named"),
        pytest.param("https://10.96.0.1", "10.96.0.1:443", False, id="named with its port"),
        pytest.param("https://10.96.0.1:8443", "10.96.0.1:443", True, id="named with another port"),
        pytest.param("https://[fd00:10:96::1]:443", "fd00:10:96::1", False, id="by IPv6"),
        pytest.param("https://[fd00:10:96::1]:443", "[fd00:10:96:0::1]", False, id="by IPv6 in brackets"),
        pytest.param("https://[fd00:10:96::1]:443", "[fd00:10:96::1]:443", False, id="by IPv6 with its port"),
        pytest.param("https://[fd00:10:96::1]:443", "a,fd00::/8", False, id="by a network of IPv6"),
        pytest.param("https://10.96.0.1", "10.0.0.0/8", False, id="by a network"),
        pytest.param("https://10.96.0.1", "10.96.0.7/24", False, id="by an address and its network"),
        pytest.param("https://11.96.0.1", "10.0.0.0/8", True, id="not by another network"),
        pytest.param("https://kubernetes.default.svc", ".svc", False, id="by its domain"),
        pytest.param("https://kubernetes.default.svc.", "default.SVC.", False, id="by its domain, with a dot at the end"),
        pytest.param(KONG, "*.example.com", False, id="by a domain with an asterisk"),
        pytest.param(KONG, "example.com", False, id="by a domain without a dot"),
        pytest.param("https://example.com", ".example.com", False, id="the domain itself"),
        pytest.param(KONG, "kong.example.com:8443", False, id="by host and port"),
        pytest.param(KONG, "https://kong.example.com", False, id="by a URL"),
        pytest.param(KONG, "a  kong.example.com", False, id="separated by blanks"),
        pytest.param(KONG, "a, *", False, id="everything"),
        pytest.param(KONG, "ong.example.com", True, id="not by the end of a label"),
        pytest.param(KONG, "", True, id="no entry"),
        pytest.param(KONG, ",, ,", True, id="empty entries"),
        *(
            pytest.param(KONG, entry, True, id=repr(entry))
            for entry in ("fd00::/8", "fe80::/10,::1", "[::1]:443", "[::1", "::1]", "fd00::1%eth0", "é.example", "a|b", "<local>", ".", "*.")
        ),
    ],
)  # fmt: skip
def test_who_is_reached_without_it(url: str, bypass: str, proxied: bool) -> None:
    assert proxy_for(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": bypass}) == (PROXY if proxied else None)


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "", "https_proxy": ""}, None),
        ({"HTTP_PROXY": PROXY}, None),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"https_proxy": "proxy:3128", "HTTPS_PROXY": "http://other"}, PROXY),
        ({"HTTPS_PROXY": f" {PROXY} "}, PROXY),
    ],
)
def test_which_variable_counts(environ: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(KONG, environ) == proxy
