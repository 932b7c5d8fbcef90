"""Certificates, the gateway's and ours."""

from pathlib import Path
from typing import Any

import pytest
import trustme

from llmbatch.api.reasons import Reason
from llmbatch.edges.connection import Material
from llmbatch.edges.gateway import Gateway
from llmbatch.edges.outcome import Answered, NotFound, Refused, Unreachable
from tests.edges.plans import connection_to
from tests.emulator.server import EmulatorServer


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def https(authority: trustme.CA, tmp_path: Path) -> EmulatorServer:
    identity = authority.issue_cert("127.0.0.1")
    identity.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    return EmulatorServer(certfile=str(tmp_path / "both.pem"), keyfile=str(tmp_path / "both.pem"), verify=False)


async def listed(url: str, material: Material | None = None, **changes: object) -> object:
    gateway = Gateway.connect(connection_to(url, **changes), {}, material)
    result = await gateway.list_batches()
    await gateway.close()
    return result


async def test_an_untrusted_certificate_says_what_to_do(https: EmulatorServer, authority: trustme.CA) -> None:
    with https as server:
        url = server.url
        refused = await listed(url)
        trusted = await listed(url, Material(ca=authority.cert_pem.bytes()))
        careless = await listed(url, insecure_skip_verify=True)
        plain = await listed(url.replace("https", "http"))
    assert isinstance(refused, Unreachable)
    assert (refused.sent, refused.reason) == (False, Reason.TLS_VERIFICATION_FAILED)
    assert "spec.tls.caBundle" in refused.message
    assert isinstance(trusted, Answered | Refused | NotFound)
    assert isinstance(careless, Answered | Refused | NotFound)
    assert isinstance(plain, Unreachable | Refused)


async def test_a_client_certificate_is_presented(authority: trustme.CA, tmp_path: Path) -> None:
    identity = authority.issue_cert("127.0.0.1")
    identity.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours = authority.issue_cert("operator.example")
    ca, certificate, key = authority.cert_pem, ours.cert_chain_pems[0], ours.private_key_pem
    certificate.write_to_path(tmp_path / "tls.crt")
    key.write_to_path(tmp_path / "tls.key")
    files = {"ca_file": "ca.pem", "certificate_file": "tls.crt", "key_file": "tls.key"}
    paths: dict[str, Any] = {name: str(tmp_path / path) for name, path in files.items()}
    both = str(tmp_path / "both.pem")
    with EmulatorServer(certfile=both, keyfile=both, client_ca=paths["ca_file"], verify=False) as server:
        anonymous = await listed(server.url, Material(ca=ca.bytes()))
        in_memory = await listed(server.url, Material(ca.bytes(), certificate.bytes(), key.bytes()))
        from_files = await listed(server.url, **paths)
    assert isinstance(anonymous, Unreachable)
    # In TLS 1.3 the server refuses after the handshake, often by just hanging up.
    assert anonymous.reason in {Reason.GATEWAY_UNAUTHORIZED, Reason.GATEWAY_UNREACHABLE}
    assert not isinstance(in_memory, Unreachable)
    assert not isinstance(from_files, Unreachable)
