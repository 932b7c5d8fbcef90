"""A connection's secrets come from the environment, and show nowhere."""

import gc
import logging
from pathlib import Path

import pytest
import trustme

from llmbatch.api.reasons import Reason
from llmbatch.provider.edge.route import resolve
from llmbatch.provider.edge.tls import _SHARED, ConnectionInvalidError, Material
from llmbatch.provider.pure.connection import Connection
from tests.edges.plans import connection_to


def keyed(**changes: object) -> Connection:
    setting = {"name": "apikey", "variable": "LLMBATCH_HEADER_0"}
    return connection_to("https://kong.example:8443/ai/", headers=[setting], **changes)


def test_paths_are_below_the_url() -> None:
    route = resolve(keyed(), {"LLMBATCH_HEADER_0": "k"})
    assert (route.host, route.files_url) == ("kong.example:8443", "https://kong.example:8443/ai/files")
    assert route.batches_url == "https://kong.example:8443/ai/batches"


def test_values_come_from_the_environment_without_their_line_feed() -> None:
    query = [{"name": "api-version", "value": "v1"}, {"name": "k", "variable": "Q"}]
    route = resolve(keyed(query=query), {"LLMBATCH_HEADER_0": "s3cret\n", "Q": "q"})
    assert route.headers["apikey"] == "s3cret"
    assert dict(route.query) == {"api-version": "v1", "k": "q"}
    assert route.headers["user-agent"].startswith("llmbatch/")


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ConnectionInvalidError, match=r"header apikey.*LLMBATCH_HEADER_0") as raised:
        resolve(keyed(), {})
    assert raised.value.reason is Reason.CREDENTIALS_NOT_FOUND


@pytest.mark.parametrize("value", ["s3cret\nx: y", "s3cret\x00", "s3crét"])
def test_a_value_that_http_forbids_is_refused_without_being_quoted(value: str) -> None:
    with pytest.raises(ConnectionInvalidError, match="apikey") as raised:
        resolve(keyed(), {"LLMBATCH_HEADER_0": value})
    assert "s3cr" not in str(raised.value)
    assert raised.value.reason is Reason.GATEWAY_INVALID


def test_no_repr_shows_a_secret() -> None:
    route = resolve(keyed(query=[{"name": "k", "variable": "Q"}]), {"LLMBATCH_HEADER_0": "s3cret", "Q": "s3cret"})
    assert "s3cret" not in repr(route)
    assert "s3cret" not in repr(Material(key=b"s3cret"))


def test_the_http_librarys_log_which_has_whole_urls_is_off() -> None:
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    assert not logging.getLogger("httpcore").isEnabledFor(logging.DEBUG)


@pytest.mark.parametrize("url", ["https://" + "a" * 64, "https://a:99999", "https://"])
def test_an_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(ConnectionInvalidError, match=r"spec\.url"):
        resolve(connection_to(url), {})


@pytest.mark.parametrize("pem", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_bundle_without_authorities_is_refused(pem: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConnectionInvalidError, match="caBundle"):
        resolve(connection_to("https://a"), {}, Material(ca=pem))
    (tmp_path / "ca").write_bytes(pem)
    with pytest.raises(ConnectionInvalidError, match="caBundle"):
        resolve(connection_to("https://a", ca_file=str(tmp_path / "ca")), {})


def test_a_missing_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConnectionInvalidError, match=r"No such file.*caBundle"):
        resolve(connection_to("https://a", ca_file=str(tmp_path / "none")), {})


def test_a_client_certificate_that_does_not_fit_its_key_is_refused() -> None:
    authority = trustme.CA()
    one, other = authority.issue_cert("one"), authority.issue_cert("other")
    material = Material(
        certificate=one.cert_chain_pems[0].bytes(), key=other.private_key_pem.bytes(), ca=authority.cert_pem.bytes()
    )
    with pytest.raises(ConnectionInvalidError, match="clientCertificate"):
        resolve(connection_to("https://a"), {}, material)


def test_routes_that_trust_the_same_authorities_have_them_in_memory_once() -> None:
    one, other = (resolve(connection_to(f"https://{host}"), {}) for host in "ab")
    assert one.verify is other.verify
    for own in ({"server_name": "c"}, {"insecure_skip_verify": True}, {"authorities": trusted()}):
        assert resolve(connection_to("https://a", **own), {}).verify is not one.verify
    known = len(_SHARED)
    del one, other
    gc.collect()
    assert len(_SHARED) < known, "for as long as somebody uses them"


def trusted() -> str:
    return trustme.CA().cert_pem.bytes().decode()


@pytest.mark.parametrize("name", ["Transfer-Encoding", "content-length", "CONNECTION", "Upgrade", "Expect"])
def test_a_header_that_says_where_a_request_ends_is_refused(name: str) -> None:
    with pytest.raises(ConnectionInvalidError, match=rf"names {name}, .*leave it out") as error:
        resolve(connection_to("https://a", headers=[{"name": name, "value": "chunked"}]), {})
    assert error.value.reason is Reason.GATEWAY_INVALID
