"""Certificates, the gateway's and ours: the same truth from small calls and from transfers."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import trustme

from llmbatch.api.reasons import Reason
from llmbatch.provider.edge.client import Gateway, NotMade, UnknownOutcome
from llmbatch.provider.edge.outcome import Answered, NotFound, Refused, Unreachable
from llmbatch.provider.edge.tls import Material
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure.report import Problem
from tests.edges.plans import CHAT, connection_to, jsonl, upload_plan
from tests.emulator.client import Instance
from tests.support import build
from tests.support.authorities import Authorities, serving, strict_server

Told = tuple[Reason, str] | None
"""Reason and message of a refusal; None: it went well."""


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    return Authorities(trustme.CA(), trustme.CA(), tmp_path_factory.mktemp("authorities"))


@pytest.fixture
def asked(tmp_path: Path) -> "Asked":
    return Asked(tmp_path)


class Asked:
    """Makes each kind of call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __call__(self, url: str, material: Material | None = None, **changes: Any) -> dict[str, Told]:
        connection = connection_to(url, **changes)
        gateway = Gateway.connect(connection, {}, material)
        listed = await gateway.list_batches()
        created = await gateway.create_batch("file-1", CHAT, "24h", {})
        await gateway.close()
        sending = upload_plan(url, connection=connection)
        uploaded = await asyncio.to_thread(upload, sending, jsonl("a"), {}, material=material)
        fetching = build.collect_plan(connection=connection, output_root=str(self._folder), order="Completion")
        collected = await asyncio.to_thread(collect, fetching, {}, material=material)
        results = {"list": listed, "create": created, "upload": uploaded.problem, "collect": collected.problem}
        return {call: _told(result) for call, result in results.items()}


def _told(result: object) -> Told:
    match result:
        case None | Answered() | NotFound() | Refused(reason=Reason.REQUEST_REFUSED):
            return None
        case UnknownOutcome(message):
            return Reason.GATEWAY_UNREACHABLE, message
        case Refused() | Unreachable() | NotMade() | Problem():
            # The provider itself says that it has no such file: the call came through.
            through = (
                result.reason in {Reason.REQUEST_REFUSED, Reason.RESULTS_UNREADABLE, Reason.FILE_PENDING}
                and "answered 40" in result.message
            )
            return None if through else (result.reason, result.message)
    raise AssertionError(f"an outcome that nobody expected: {result}")


WELL = {"list": None, "create": None, "upload": None, "collect": None}


async def test_a_private_authority_is_trusted_once_it_is_named(authorities: Authorities, asked: Asked) -> None:
    with serving(authorities) as server:
        assert await asked(server.url, authorities.material()) == WELL
        assert await asked(server.url, ca_file=authorities.ca_file) == WELL


@pytest.mark.parametrize(
    ("kind", "trusted", "words"),
    [
        pytest.param("right", None, "name its authority in spec.tls.caBundle", id="the system's authorities only"),
        pytest.param("right", "others", "name its authority in spec.tls.caBundle", id="another authority"),
        pytest.param("expired", "ours", "(certificate has expired); renew it at the gateway", id="expired"),
        pytest.param("early", "ours", "it is not valid yet", id="not valid yet"),
        pytest.param("another name", "ours", "the name that is in the certificate", id="another host name"),
    ],
)
async def test_a_certificate_that_is_not_trusted_says_why_and_what_to_do_and_nothing_was_sent(
    authorities: Authorities, asked: Asked, kind: str, trusted: str | None, words: str
) -> None:
    material = None if trusted is None else authorities.material(ca=trusted)
    with serving(authorities, kind) as server:
        kong = server.instance()
        told = await asked(kong.url, material)
        assert kong.calls() == []
        assert await asked(kong.url, material, insecure_skip_verify=True) == WELL
    for call, said in told.items():
        assert said is not None, call
        assert said[0] is Reason.TLS_VERIFICATION_FAILED, (call, said)
        assert words in said[1], (call, said)


async def test_a_client_certificate_is_presented(authorities: Authorities, asked: Asked, tmp_path: Path) -> None:
    material = authorities.material("right")
    assert material.certificate is not None
    assert material.key is not None
    (tmp_path / "tls.crt").write_bytes(material.certificate)
    (tmp_path / "tls.key").write_bytes(material.key)
    files: dict[str, Any] = {"certificate_file": str(tmp_path / "tls.crt"), "key_file": str(tmp_path / "tls.key")}
    with serving(authorities, asks=True) as server:
        assert await asked(server.url, material) == WELL
        assert await asked(server.url, ca_file=authorities.ca_file, **files) == WELL


@pytest.mark.parametrize("client", [None, "wrong"])
async def test_a_server_that_tells_why_it_refuses_our_certificate_is_understood(
    authorities: Authorities, client: str | None
) -> None:
    with strict_server(authorities) as url:
        gateway = Gateway.connect(connection_to(url), {}, authorities.material(client))
        refused = await gateway.list_batches()
        await gateway.close()
    assert isinstance(refused, Unreachable)
    assert refused.reason is Reason.GATEWAY_UNAUTHORIZED
    assert "spec.tls.clientCertificate" in refused.message


@pytest.mark.parametrize("client", [None, "wrong"])
async def test_a_server_that_hangs_up_on_our_certificate_has_it_named_among_what_to_check(
    authorities: Authorities, asked: Asked, client: str | None
) -> None:
    with serving(authorities, asks=True) as server:
        told = await asked(server.url, authorities.material(client))
    for call, said in told.items():
        assert said is not None, call
        assert said[0] in {Reason.GATEWAY_UNAUTHORIZED, Reason.GATEWAY_UNREACHABLE, Reason.RESULTS_UNREADABLE}
        assert "spec.tls.clientCertificate" in said[1], (call, said)


@pytest.mark.parametrize(
    "said", ["400 No required SSL certificate was sent", "400 The SSL certificate error"], ids=["none", "wrong"]
)
async def test_a_proxys_own_page_about_the_certificate_is_no_refusal_of_the_request(
    kong: Instance, asked: Asked, said: str
) -> None:
    kong.fault("status", "*", status=400, as_="text", message=said, times=-1)
    for call, told in (await asked(kong.url)).items():
        assert told is not None, call
        assert told[0] is Reason.GATEWAY_UNAUTHORIZED, (call, told)


async def test_a_port_that_speaks_no_tls_is_told(kong: Instance, asked: Asked) -> None:
    for call, told in (await asked(kong.url.replace("http:", "https:"))).items():
        assert told is not None, call
        assert told[0] is Reason.GATEWAY_UNREACHABLE, (call, told)
        assert "check that the port of spec.url speaks https" in told[1], (call, told)
