"""What is wrong with a certificate, the gateway's or ours, is in the BatchGateway's conditions, with what to do."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import trustme

from llmbatch.api.reasons import Reason
from llmbatch.gateway.clients import Client
from llmbatch.process.runtime import Runtime
from llmbatch.runtime.cache import BATCHGATEWAY
from llmbatch.runtime.queue import Key
from llmbatch.settings import Settings
from tests.controller.conftest import FIVE
from tests.support.apiserver import ApiServer
from tests.support.authorities import Authorities, serving, strict_server
from tests.support.build import batchgateway, batchjob
from tests.support.inprocess import Json, Operator, apply_all, cluster_of, config_map, secret

CA = {"caBundle": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}}
MUTUAL = {**CA, "clientCertificate": {"secretName": "mtls"}}


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    return Authorities(trustme.CA(), trustme.CA(), tmp_path_factory.mktemp("authorities"))


def put_authority(api: ApiServer, authorities: Authorities, whose: str = "ours") -> None:
    pem = authorities.material(ca=whose).ca
    assert pem is not None
    api.put("configmaps", config_map("ca", "ca.crt", pem))


def put_client(api: ApiServer, authorities: Authorities, kind: str) -> None:
    made = authorities.material(kind)
    assert made.certificate is not None
    assert made.key is not None
    api.put("secrets", secret("mtls", **{"tls.crt": made.certificate.decode(), "tls.key": made.key.decode()}))


def said(api: ApiServer) -> dict[str, Json]:
    found = api.get("batchgateways", "kong") or {}
    return {item["type"]: item for item in found.get("status", {}).get("conditions") or []}


def warnings(api: ApiServer, reason: Reason) -> list[Json]:
    return [event for event in api.objects("events") if (event["type"], event["reason"]) == ("Warning", reason)]


async def test_a_batch_goes_through_a_gateway_with_a_private_authority_and_mutual_tls(
    operator: Operator, api: ApiServer, authorities: Authorities
) -> None:
    put_authority(api, authorities)
    put_client(api, authorities, "right")
    # The control API of an emulator that asks for certificates wants one too, so the instance is the default one.
    with serving(authorities, asks=True) as server:
        api.put("configmaps", config_map("prompts", "batch.jsonl", FIVE))
        api.put("batchgateways", batchgateway(server.url, tls=MUTUAL))
        api.put("batchjobs", batchjob())
        await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert said(api).keys() == {"Ready"}


@pytest.mark.parametrize(
    ("kind", "trusted", "words"),
    [
        pytest.param("right", None, "name its authority in spec.tls.caBundle", id="a private authority, not named"),
        pytest.param("right", "others", "name its authority in spec.tls.caBundle", id="another authority"),
        pytest.param("expired", "ours", "(certificate has expired); renew it at the gateway", id="expired"),
        pytest.param("another name", "ours", "give spec.url of the BatchGateway the name", id="another host name"),
    ],
)
async def test_a_certificate_that_is_not_trusted_is_told_and_the_job_goes_on_once_it_is_mended(  # noqa: PLR0917
    operator: Operator, api: ApiServer, authorities: Authorities, kind: str, trusted: str | None, words: str
) -> None:
    tls: dict[str, Any] = {} if trusted is None else CA
    if trusted is not None:
        put_authority(api, authorities, trusted)
    with serving(authorities, kind) as server:
        kong = server.instance()
        apply_all(api, kong, FIVE, tls=tls)
        await operator.until(lambda: operator.gateway_reason() == Reason.TLS_VERIFICATION_FAILED)
        ready = said(api)["Ready"]
        assert ready["status"] == "False"
        assert words in ready["message"]
        await operator.until_reason(Reason.TLS_VERIFICATION_FAILED)
        assert words in operator.status().condition("Ready").message  # type: ignore[union-attr]
        assert kong.calls() == [], "no credential and no prompt was sent"
        if kind != "right":
            return
        put_authority(api, authorities)
        api.edit("batchgateways", "kong", {"spec": {"tls": CA}})
        await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_READY)
        await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED


@pytest.mark.parametrize("client", [None, "wrong"])
async def test_a_client_certificate_that_is_refused_is_told(
    operator: Operator, api: ApiServer, authorities: Authorities, client: str | None
) -> None:
    put_authority(api, authorities)
    if client is not None:
        put_client(api, authorities, client)
    with strict_server(authorities) as url:
        api.put("batchgateways", batchgateway(url, tls=CA if client is None else MUTUAL))
        await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_UNAUTHORIZED)
        assert "spec.tls.clientCertificate" in said(api)["Ready"]["message"]


async def test_a_certificate_that_is_not_checked_is_warned_of_once_for_as_long_as_it_is_not(
    operator: Operator, api: ApiServer, authorities: Authorities
) -> None:
    with serving(authorities, "expired") as server:
        kong = server.instance()
        api.put("batchgateways", batchgateway(kong.url, tls={"insecureSkipVerify": True}))
        await operator.until(lambda: "Insecure" in said(api), None)
        told = said(api)
        assert (told["Ready"]["status"], told["Ready"]["reason"]) == ("True", Reason.GATEWAY_READY)
        assert (told["Insecure"]["status"], told["Insecure"]["reason"]) == ("True", Reason.CERTIFICATE_NOT_VERIFIED)
        assert "spec.tls.caBundle" in told["Insecure"]["message"]
        since = told["Insecure"]["lastTransitionTime"]
        api.edit("batchgateways", "kong", {"spec": {"pollIntervalSeconds": 7}})
        await operator.until(lambda: said(api)["Insecure"]["observedGeneration"] == 2, None)
        assert said(api)["Insecure"]["lastTransitionTime"] == since
        await operator.runtime.recorder.flush(2)
        assert len(warnings(api, Reason.CERTIFICATE_NOT_VERIFIED)) == 1
        api.edit("batchgateways", "kong", {"spec": {"tls": {"insecureSkipVerify": False}}})
        await operator.until(lambda: operator.gateway_reason() == Reason.TLS_VERIFICATION_FAILED)
        assert said(api).keys() == {"Ready", "Stalled"}


async def test_large_bundles_are_taken_in_with_pauses_in_which_others_have_their_turn(
    api: ApiServer, tmp_path: Path
) -> None:
    # OpenSSL holds up everything for as long as it reads certificates.
    bundle = b"".join(trustme.CA().cert_pem.bytes() for _ in range(20)) * 10
    bad, good = (
        [Key(BATCHGATEWAY, "team-a", f"bad-{number}") for number in range(3)],
        Key(BATCHGATEWAY, "team-b", "good"),
    )
    api.put("configmaps", config_map("ca", "ca.crt", bundle))
    for key in bad:
        api.put("batchgateways", batchgateway("https://bad.example.com", key.name, tls=CA))
    api.put("batchgateways", batchgateway("https://good.example.com", good.name, good.namespace))
    cluster = cluster_of(api)
    runtime, made = Runtime(Settings(), cluster, tmp_path), list[str]()

    async def resolve(key: Key) -> None:
        assert isinstance(await runtime.gateways.resolve(key), Client)
        made.append(key.name)

    await resolve(bad[0])
    await asyncio.gather(*map(resolve, (*bad[1:], good)))
    assert made[:2] == ["bad-0", "good"]
    await runtime.gateways.close()
    runtime.transfers.close()
    await cluster.close()
