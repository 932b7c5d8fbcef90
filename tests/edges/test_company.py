"""In a company's network: a proxy, authorities of its own, a gateway under another name than its certificate's."""

from pathlib import Path

import certifi
import pytest
import trustme

from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.reasons import Reason
from llmbatch.provider.edge.tls import MOST_BYTES, Authorities, AuthoritiesError, ConnectionInvalidError
from llmbatch.settings import Settings
from llmbatch.transfer.pure.connections import PROXIES, pod_connection, proxies_of
from llmbatch.transfer.pure.manifest import manifest
from llmbatch.transfer.pure.plan import PLAN_VARIABLE, UploadPlan
from tests.edges.test_gateway_tls import WELL, Asked
from tests.edges.test_transfer_job import DISCARD, OWNER, UPLOAD
from tests.support import authorities as support
from tests.support import build
from tests.support.authorities import serving
from tests.support.proxy import tunnelling


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> support.Authorities:
    return support.Authorities(trustme.CA(), trustme.CA(), tmp_path_factory.mktemp("authorities"))


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    return Asked(tmp_path)


# --- another name ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proxied", [False, True])
async def test_a_gateway_may_show_itself_under_the_name_that_is_given(
    authorities: support.Authorities,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    proxied: bool,
) -> None:
    with serving(authorities, "another name") as server, tunnelling() as proxy:
        if proxied:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        trusted = authorities.material()
        told = await asked(server.url, trusted)
        assert {said[0] for said in told.values() if said} == {Reason.TLS_VERIFICATION_FAILED}
        assert all(said and "spec.tls.serverName" in said[1] for said in told.values())
        assert await asked(server.url, trusted, server_name="kong.example") == WELL
        wrong = await asked(server.url, trusted, server_name="another.example")
        assert {said[0] for said in wrong.values() if said} == {Reason.TLS_VERIFICATION_FAILED}
        untrusted = await asked(server.url, authorities.material(ca="others"), server_name="kong.example")
        assert all(untrusted.values()), "a name is no trust"
    assert bool(proxy.tunnels) is proxied


def test_the_name_reaches_the_pod() -> None:
    spec = BatchGatewaySpec.parse({"url": "https://10.0.0.1", "tls": {"serverName": "kong.example"}})
    assert pod_connection(spec).server_name == "kong.example"


# --- authorities -------------------------------------------------------------------------------------------------------


async def test_the_companys_authority_is_trusted_besides_the_systems(
    authorities: support.Authorities, asked: Asked
) -> None:
    own = authorities.ours.cert_pem.bytes().decode()
    with serving(authorities) as server:
        assert await asked(server.url, authorities=own) == WELL
        told = await asked(server.url, authorities=authorities.others.cert_pem.bytes().decode())
        assert all(told.values())
        with pytest.raises(ConnectionInvalidError, match="chart value caBundle"):
            await asked(server.url, authorities="no certificate")


async def test_a_gateways_own_bundle_takes_precedence(authorities: support.Authorities, asked: Asked) -> None:
    own = authorities.ours.cert_pem.bytes().decode()
    with serving(authorities) as server:
        told = await asked(server.url, authorities.material(ca="others"), authorities=own)
        assert all(told.values())
    bundle = {"caBundle": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}}
    given = BatchGatewaySpec.parse({"url": "https://k", "tls": bundle})
    assert pod_connection(given, own).authorities is None
    assert pod_connection(BatchGatewaySpec.parse({"url": "https://k"}), own).authorities == own


def test_what_everybody_trusts_is_left_out_and_a_change_is_seen(
    authorities: support.Authorities, tmp_path: Path
) -> None:
    file = tmp_path / "ca.crt"
    own = authorities.ours.cert_pem.bytes().decode()
    file.write_text(Path(certifi.where()).read_text(encoding="utf-8") + own, encoding="utf-8")
    read = Authorities(str(file))
    first = read.read()
    assert first is not None
    assert "".join(own.split()) in "".join(first.split())
    assert len(first) < MOST_BYTES, "an environment variable holds it"
    file.write_bytes(authorities.others.cert_pem.bytes())
    assert read.read() != first
    assert Authorities("").read() is None


@pytest.mark.parametrize(
    "content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_a_file_that_can_not_be_used_names_the_charts_value(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(AuthoritiesError, match="chart value caBundle"):
        Authorities(str(file)).read()


# --- proxies -----------------------------------------------------------------------------------------------------------


def test_a_pod_finds_its_way_as_the_operator_does() -> None:
    given = {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": ".svc", "HTTP_PROXY": "", "HOME": "/"}
    proxies = proxies_of(given)
    assert proxies == {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": ".svc"}
    gateway = BatchGatewaySpec.parse({"url": "https://k"})
    spec = build.spec(
        input={"persistentVolumeClaim": {"claimName": "data", "path": "in.jsonl"}},
        output={"persistentVolumeClaim": {"claimName": "out", "path": "out.jsonl"}},
    )

    def env(job: dict[str, object]) -> dict[str, str]:
        found = job["spec"]["template"]["spec"]["containers"][0]["env"]  # type: ignore[index]
        return {item["name"]: item["value"] for item in found}

    made = env(manifest(OWNER, spec, gateway, UPLOAD, Settings(), proxies=proxies))
    assert {name: value for name, value in made.items() if name != PLAN_VARIABLE} == proxies
    assert set(env(manifest(OWNER, spec, None, DISCARD, Settings(), proxies=proxies))) == {PLAN_VARIABLE}
    assert isinstance(UPLOAD, UploadPlan)


async def test_a_network_of_ipv6_that_needs_no_proxy_stands_in_nobodys_way(
    authorities: support.Authorities, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost,fd00::/8,[::1]:443,fe80::/10")
    with serving(authorities) as server, tunnelling() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert await asked(server.url, authorities.material()) == WELL
        assert proxy.tunnels
        proxy.tunnels.clear()
        monkeypatch.setenv("NO_PROXY", "fd00::/8,127.0.0.0/8")
        assert await asked(server.url, authorities.material()) == WELL
        assert not proxy.tunnels


@pytest.mark.parametrize(
    "address", ["socks5://s3cret@proxy:1080", "ftp://s3cret", "http://s3cret@proxy:x", "http://", "http://:s3cret@"]
)
async def test_a_proxy_that_can_not_be_one_is_told_of_without_its_password(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(ConnectionInvalidError, match="HTTPS_PROXY") as raised:
        await asked("https://127.0.0.1:1")
    assert raised.value.reason is Reason.GATEWAY_INVALID
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "2852039166", "[fe80::1]", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]"]
)
async def test_no_proxy_is_asked_to_call_the_metadata_service_of_the_node_that_it_is_on(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(ConnectionInvalidError, match="link-local") as raised:
        await asked(f"http://{host}/latest")
    assert raised.value.reason is Reason.GATEWAY_INVALID
