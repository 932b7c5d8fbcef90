"""What a BatchGateway refers to, read from the cluster."""

import stat
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.reasons import Reason
from llmbatch.gateway.credentials import MOST_BYTES, MOST_PEM_BYTES, Access, Credentials
from llmbatch.kube.client import Cluster
from llmbatch.kube.values import value_of
from llmbatch.transfer.pure.report import Problem
from tests.support.apiserver import ApiServer
from tests.support.inprocess import config_map, secret

KEY = {"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "consumer", "key": "k"}}}
TLS = {"caBundle": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}, "clientCertificate": {"secretName": "mtls"}}


@pytest.fixture
def credentials(cluster: Cluster, tmp_path: Path) -> Credentials:
    return Credentials(cluster, tmp_path)


def spec(**given: Any) -> BatchGatewaySpec:
    return BatchGatewaySpec.parse({"url": "https://kong.example.com", **given})


def kept(path: str | None) -> tuple[str, int]:
    """Give a file's content and mode."""
    assert path is not None
    return Path(path).read_text(), stat.S_IMODE(Path(path).stat().st_mode)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


async def access(credentials: Credentials, **given: Any) -> Access:
    found = await credentials.resolve("team-a", spec(**given))
    assert isinstance(found, Access), found
    return found


async def test_a_secrets_value_is_in_the_environment_alone(api: ApiServer, credentials: Credentials) -> None:
    api.put("secrets", secret("consumer", k="canary\n"))
    found = await access(credentials, headers=[KEY], query=[KEY])
    assert found.environ == {"LLMBATCH_HEADER_0": "canary", "LLMBATCH_QUERY_0": "canary"}
    assert "canary" not in repr(found)
    assert "canary" not in found.connection.model_dump_json()


async def test_a_rotated_secret_is_another_access(api: ApiServer, credentials: Credentials) -> None:
    api.put("secrets", secret("consumer", k="old"))
    before = await access(credentials, headers=[KEY])
    assert (await access(credentials, headers=[KEY])).fingerprint == before.fingerprint
    api.put("secrets", secret("consumer", k="new"))
    assert (await access(credentials, headers=[KEY])).fingerprint != before.fingerprint


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"headers": [KEY]}, "Secret team-a/consumer, which spec.headers[0] names, does not", id="Secret"),
        pytest.param({"query": [KEY]}, "spec.query[0]", id="parameter"),
        pytest.param({"tls": TLS}, "ConfigMap team-a/ca, which spec.tls.caBundle names, does not exist", id="CA"),
        pytest.param(
            {"tls": {"clientCertificate": {"secretName": "mtls"}}}, "Secret team-a/mtls, which", id="certificate"
        ),
    ],
)
async def test_what_is_missing_is_named(credentials: Credentials, given: dict[str, Any], words: str) -> None:
    found = await credentials.resolve("team-a", spec(**given))
    assert isinstance(found, Problem)
    assert found.reason == Reason.CREDENTIALS_NOT_FOUND
    assert words in found.message


async def test_a_missing_key_is_named(api: ApiServer, credentials: Credentials) -> None:
    api.put("secrets", secret("consumer", other="x"))
    found = await credentials.resolve("team-a", spec(headers=[KEY]))
    assert isinstance(found, Problem)
    assert "has no key 'k'" in found.message


async def test_certificates_are_files_that_nobody_else_reads_and_a_new_one_is_a_new_file(
    api: ApiServer, credentials: Credentials
) -> None:
    api.put("configmaps", config_map("ca", "ca.crt", b"authority"))
    api.put("secrets", secret("mtls", **{"tls.crt": "certificate", "tls.key": "key"}))
    before = await access(credentials, tls=TLS)
    assert kept(before.connection.key_file) == ("key", 0o600)
    api.put("secrets", secret("mtls", **{"tls.crt": "certificate", "tls.key": "rotated"}))
    after = await access(credentials, tls=TLS)
    assert after.connection.key_file != before.connection.key_file
    assert after.connection.ca_file == before.connection.ca_file
    assert after.fingerprint != before.fingerprint
    assert kept(before.connection.key_file) == ("key", 0o600), "a file in use is never changed"


async def test_certificates_that_are_rotated_all_day_do_not_fill_the_disk(
    api: ApiServer, credentials: Credentials, tmp_path: Path
) -> None:
    api.put("secrets", secret("mtls", **{"tls.crt": "certificate", "tls.key": "key"}))
    for number in range(3 * MOST_BYTES // MOST_PEM_BYTES):
        api.put("configmaps", config_map("ca", "ca.crt", str(number).encode().ljust(MOST_PEM_BYTES)))
        found = await access(credentials, tls=TLS)
        assert kept(found.connection.key_file) == ("key", 0o600), "what is in use stays"
        assert kept(found.connection.ca_file)[0].strip() == str(number)
    assert size_of(tmp_path) <= MOST_BYTES


async def test_more_authorities_than_there_are_is_told_and_not_taken_in(
    api: ApiServer, credentials: Credentials
) -> None:
    api.put("configmaps", config_map("ca", "ca.crt", bytes(MOST_PEM_BYTES + 1)))
    api.put("secrets", secret("mtls", **{"tls.crt": "certificate", "tls.key": "key"}))
    found = await credentials.resolve("team-a", spec(tls=TLS))
    assert isinstance(found, Problem)
    assert "key 'ca.crt' of ConfigMap team-a/ca, which spec.tls.caBundle names, has 262145 bytes" in found.message


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param({"kind": "Secret", "data": {"k": "eA=="}}, b"x", id="Secret"),
        pytest.param({"kind": "ConfigMap", "data": {"k": "ä"}}, "ä".encode(), id="ConfigMap"),
        pytest.param({"kind": "ConfigMap", "binaryData": {"k": "/w=="}}, b"\xff", id="bytes in a ConfigMap"),
        pytest.param({"kind": "Secret", "data": None}, None, id="an empty Secret"),
        pytest.param({"kind": "ConfigMap"}, None, id="an empty ConfigMap"),
    ],
)
def test_a_key_is_read(found: dict[str, Any], expected: bytes | None) -> None:
    assert value_of(found, "k") == expected
