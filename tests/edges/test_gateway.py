"""The gateway's small calls, over a real wire."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.provider.edge.client import Gateway, Made, NotMade, UnknownOutcome
from llmbatch.provider.edge.outcome import Answered, NotFound, Refused, Unreachable
from llmbatch.provider.pure.connection import Setting
from llmbatch.transfer.edge.upload import upload
from tests.edges.plans import CHAT, connection_to, jsonl, upload_plan
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer


@pytest.fixture
async def gateway(kong: Instance) -> AsyncIterator[Gateway]:
    client = Gateway.connect(connection_to(kong.url), {})
    yield client
    await client.close()


def uploaded(kong: Instance, *custom_ids: str) -> str:
    report = upload(upload_plan(kong.url), jsonl(*(custom_ids or ("a",))), {})
    assert report.file_id is not None, report
    return report.file_id


async def test_a_batchs_life(gateway: Gateway, kong: Instance) -> None:
    file_id = await asyncio.to_thread(uploaded, kong)
    made = await gateway.create_batch(file_id, CHAT, "24h", {"llmbatch_uid": "u"})
    assert isinstance(made, Made)
    assert (made.batch.status, made.batch.input_file_id) == ("validating", file_id)
    listed = await gateway.list_batches()
    assert isinstance(listed, Answered)
    assert [(item.id, dict(item.metadata)) for item in listed.value.batches] == [(made.batch.id, {"llmbatch_uid": "u"})]
    await asyncio.to_thread(kong.advance, 3600)
    seen = await gateway.get_batch(made.batch.id)
    assert isinstance(seen, Answered)
    assert seen.value.status == "completed"
    assert seen.value.output_file_id is not None
    file = await gateway.get_file(seen.value.output_file_id)
    assert isinstance(file, Answered)
    assert file.value.status == "processed"
    assert await gateway.delete_file(file_id) == Answered(None)
    assert isinstance(await gateway.delete_file(file_id), NotFound)


async def test_a_batch_is_cancelled(gateway: Gateway, kong: Instance) -> None:
    file_id = await asyncio.to_thread(uploaded, kong)
    made = await gateway.create_batch(file_id, CHAT, "24h", {})
    assert isinstance(made, Made)
    cancelled = await gateway.cancel_batch(made.batch.id)
    assert isinstance(cancelled, Answered)
    assert cancelled.value.status in {"cancelling", "cancelled"}


async def test_a_list_goes_on_after_its_last_id(gateway: Gateway, kong: Instance) -> None:
    for age in (1, 2, 3):
        await asyncio.to_thread(kong.insert_batch, age_seconds=age)
    first = await gateway.list_batches(limit=2)
    assert isinstance(first, Answered)
    assert (len(first.value.batches), first.value.has_more) == (2, True)
    second = await gateway.list_batches(after=first.value.last_id, limit=2)
    assert isinstance(second, Answered)
    assert (len(second.value.batches), second.value.has_more) == (1, False)


async def test_what_the_provider_does_not_know_is_not_found(gateway: Gateway) -> None:
    assert isinstance(await gateway.get_batch("batch_none"), NotFound)
    assert isinstance(await gateway.get_file("file-none"), NotFound)


@pytest.mark.parametrize("unsafe", ["../files", "a/b", "..", "", "a?b", "x" * 1025])
async def test_an_unsafe_id_is_never_sent(gateway: Gateway, kong: Instance, unsafe: str) -> None:
    for call in (gateway.get_batch, gateway.cancel_batch, gateway.get_file, gateway.delete_file):
        assert isinstance(await call(unsafe), NotFound)
    assert await asyncio.to_thread(kong.calls) == []


@pytest.mark.parametrize(
    ("fault", "expected", "batches"),
    [
        pytest.param({"kind": "reset_before"}, UnknownOutcome, 0, id="reset before it was taken"),
        pytest.param({"kind": "reset_after"}, UnknownOutcome, 1, id="reset after it was taken"),
        pytest.param({"kind": "hang_after", "seconds": 3}, UnknownOutcome, 1, id="taken, but no answer in time"),
        pytest.param({"kind": "accepted_status", "status": 504, "as_": "kong"}, UnknownOutcome, 1, id="504, taken"),
        pytest.param({"kind": "not_json"}, UnknownOutcome, None, id="success that can't be read"),
        pytest.param({"kind": "status", "status": 408}, UnknownOutcome, 0, id="408"),
        pytest.param({"kind": "status", "status": 409}, UnknownOutcome, 0, id="409"),
        pytest.param({"kind": "status", "status": 500}, UnknownOutcome, 0, id="500"),
        pytest.param({"kind": "status", "status": 401, "as_": "kong"}, NotMade, 0, id="401"),
        pytest.param({"kind": "status", "status": 400, "message": "bad"}, NotMade, 0, id="400"),
        pytest.param({"kind": "status", "status": 429, "as_": "kong", "retry_after": "7"}, NotMade, 0, id="429"),
    ],
)
async def test_a_create_call_knows_what_it_does_not_know(
    kong: Instance, fault: dict[str, object], expected: type, batches: int | None
) -> None:
    file_id = await asyncio.to_thread(uploaded, kong)
    await asyncio.to_thread(lambda: kong.fault(operation="batches.create", **fault))  # type: ignore[arg-type]
    gateway = Gateway.connect(connection_to(kong.url, request_seconds=1), {})
    outcome = await gateway.create_batch(file_id, CHAT, "24h", {})
    await gateway.close()
    assert isinstance(outcome, expected)
    assert len(await asyncio.to_thread(kong.calls, "batches.create")) == 1
    if batches is not None:
        assert len(await asyncio.to_thread(kong.batches)) == batches


async def test_a_refused_create_call_says_how_long_to_wait_and_whether_to_try_again(kong: Instance) -> None:
    def fault(status: int, **more: object) -> None:
        kong.fault("status", "batches.create", status=status, **more)

    gateway = Gateway.connect(connection_to(kong.url), {})
    await asyncio.to_thread(fault, 429, as_="kong", ai_retry_after="9")
    limited = await gateway.create_batch("file-1", CHAT, "24h", {})
    await asyncio.to_thread(fault, 400, message="token_limit_exceeded: no room")
    full = await gateway.create_batch("file-1", CHAT, "24h", {})
    await asyncio.to_thread(fault, 400, message="no such thing")
    refused = await gateway.create_batch("file-1", CHAT, "24h", {})
    await gateway.close()
    assert isinstance(limited, NotMade)
    assert (limited.reason, limited.retry_after, limited.retryable) == (Reason.RATE_LIMITED, 9.0, True)
    assert isinstance(full, NotMade)
    assert (full.reason, full.retryable) == (Reason.QUOTA_EXCEEDED, True)
    assert isinstance(refused, NotMade)
    assert (refused.reason, refused.retryable) == (Reason.REQUEST_REFUSED, False)


async def test_a_create_call_that_finds_nobody_made_nothing(closed_port: str) -> None:
    gateway = Gateway.connect(connection_to(closed_port), {})
    outcome = await gateway.create_batch("file-1", CHAT, "24h", {})
    await gateway.close()
    assert isinstance(outcome, NotMade)
    assert (outcome.reason, outcome.retryable) == (Reason.GATEWAY_UNREACHABLE, True)
    assert "spec.url" in outcome.message


async def test_credentials_and_parameters_go_with_every_call(emulator: EmulatorServer) -> None:
    kong = emulator.instance(kong={"consumer_keys": ["s3cret"]})
    header = [{"name": "apikey", "variable": "KEY"}]
    gateway = Gateway.connect(connection_to(kong.url, headers=header), {"KEY": "s3cret"})
    assert isinstance(await gateway.list_batches(after=None, limit=5), Answered)
    await gateway.close()
    query = [{"name": "apikey", "variable": "KEY"}]
    gateway = Gateway.connect(connection_to(kong.url, query=query), {"KEY": "s3cret"})
    assert isinstance(await gateway.list_batches(limit=5), Answered)
    await gateway.close()
    gateway = Gateway.connect(connection_to(kong.url), {})
    refused = await gateway.list_batches()
    await gateway.close()
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.GATEWAY_UNAUTHORIZED


@pytest.mark.parametrize(
    ("config", "files", "batches"),
    [
        pytest.param({}, "ok", "ok", id="a gateway as it should be"),
        pytest.param({"kong": {"consumer_keys": ["k"]}}, "unauthorized", "unauthorized", id="without credentials"),
        pytest.param({"kong": {"routes": ["files"]}}, "ok", "no_route", id="without the batches route"),
        pytest.param({"list_supported": False}, "ok", "unsupported", id="without a list of batches"),
    ],
)
async def test_probe(emulator: EmulatorServer, config: dict[str, object], files: str, batches: str) -> None:
    gateway = Gateway.connect(connection_to(emulator.instance(**config).url), {})
    probe = await gateway.probe()
    await gateway.close()
    assert (probe.files.state, probe.batches.state) == (files, batches)
    assert (probe.batches.reason is None) is (batches == "ok")


async def test_probe_of_nobody(closed_port: str) -> None:
    gateway = Gateway.connect(connection_to(closed_port), {})
    probe = await gateway.probe()
    await gateway.close()
    assert (probe.files.state, probe.batches.state) == ("unreachable", "unreachable")


async def test_each_call_is_observed_once_with_its_code(kong: Instance, closed_port: str) -> None:
    seen: list[tuple[str, str]] = []

    def observe(operation: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        seen.append((operation, code))

    gateway = Gateway.connect(connection_to(kong.url), {}, observe=observe)
    await gateway.get_batch("batch_none")
    await gateway.list_batches()
    await gateway.close()
    lonely = Gateway.connect(connection_to(closed_port), {}, observe=observe)
    await lonely.list_batches()
    await lonely.close()
    assert seen == [("get batch", "404"), ("list batches", "200"), ("list batches", "unreachable")]


async def test_a_gateway_that_drips_is_given_up_when_the_time_is_over() -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _second in range(100):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gateway = Gateway.connect(connection_to(f"http://127.0.0.1:{port}", request_seconds=1), {})
    result = await gateway.list_batches()
    await gateway.close()
    server.close()
    assert isinstance(result, Unreachable)
    assert result.sent


async def test_no_secret_and_no_url_is_logged(kong: Instance, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = {name: [{"name": "k", "variable": "KEY"}] for name in ("headers", "query")}
    gateway = Gateway.connect(connection_to(kong.url, **settings), {"KEY": "s3cret"})
    await gateway.list_batches()
    await gateway.get_batch("batch_none")
    await gateway.close()
    assert "s3cret" not in caplog.text
    assert kong.url not in caplog.text


async def test_a_body_of_several_kinds_of_nothing_is_no_crash() -> None:
    bodies = [b"", b"null", b"[]", b'"', json.dumps({"data": None}).encode(), b"\xff" * 100]

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = bodies.pop()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    gateway = Gateway.connect(connection_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), {})
    while bodies:
        assert isinstance(await gateway.list_batches(), Unreachable)
    await gateway.close()
    server.close()


async def test_a_credential_that_a_gateway_puts_into_its_id_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = "top-secret-key-of-ours"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = (
            f"HTTP/1.1 503 No\r\nX-Request-Id: {key}-1\r\nX-Kong-Request-Id: {'k' * 5000}\r\nContent-Length: 0\r\n\r\n"
        )
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        connection = connection_to(url).model_copy(update={"headers": [Setting(name="apikey", variable="KEY")]})
        client = Gateway.connect(connection, {"KEY": key})
        await client.get_batch("batch_1")
        await client.close()
    (line,) = [record for record in caplog.records if record.name == "llmbatch.provider.edge.trace"]
    assert vars(line)["x_request_id"] == "***-1"
    assert len(vars(line)["x_kong_request_id"]) <= 128
    assert key not in caplog.text
