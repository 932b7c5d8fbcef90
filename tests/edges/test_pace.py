"""What is too slow ends, whichever way it is slow; and a name that is never resolved ends too."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from llmbatch.provider.edge import pace
from llmbatch.provider.edge.files import Files
from llmbatch.provider.edge.outcome import Unreachable
from llmbatch.provider.edge.pace import Bounds
from llmbatch.provider.edge.resolver import MOST_ADDRESSES, Names
from llmbatch.provider.edge.route import resolve
from tests.edges.plans import connection_to

Served = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Served) -> Iterator[str]:
    """Serve one connection so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # So small that a peer that reads nothing is noticed at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def run() -> None:
            client, _ = listener.accept()
            with client, suppress(OSError):
                serve(client)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)


def drips(head: bytes) -> Served:
    def serve(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(head)
        while True:
            client.sendall(b"x")
            time.sleep(0.02)

    return serve


def takes_drips(client: socket.socket) -> None:
    while client.recv(64):
        time.sleep(0.02)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(HEAD, id="its body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", id="the extension of a chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: ", id="its head"),
        pytest.param(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100000\r\n\r\n", id="a refusal"),
    ],
)
def test_a_download_by_drips_ends(head: bytes) -> None:
    connection = connection_to("").model_copy(update={"transfer_seconds": 1})
    with serving(drips(head)) as url:
        route = resolve(connection.model_copy(update={"url": url}), {})
        with Files(route) as files:
            result = files.download("file-1", io.BytesIO())
    assert isinstance(result, Unreachable)
    assert result.sent
    assert "Slower than" in result.message


def test_an_upload_that_is_taken_by_drips_ends() -> None:
    with serving(takes_drips) as url:
        route = resolve(connection_to(url).model_copy(update={"transfer_seconds": 1}), {})
        with Files(route) as files:
            result = files.upload("uid-0-1.jsonl", (bytes(100_000) for _ in range(400)), 40_000_000)
    assert isinstance(result, Unreachable)


def test_a_whole_transfer_has_an_end_however_fast_it_is() -> None:
    def serve(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            client.sendall(b"1000\r\n" + bytes(4096) + b"\r\n")
            time.sleep(0.01)

    with serving(serve) as url, Files(resolve(connection_to(url), {}), Bounds(whole_seconds=0.5)) as files:
        result = files.download("file-1", io.BytesIO())
    assert isinstance(result, Unreachable)
    assert "Not done within" in result.message


def test_the_pace_of_a_peer_is_measured_by_what_moves() -> None:
    now = 0.0
    kept = pace.Pace(10, 100, clock=lambda: now)
    assert kept.left(5) == 5
    kept.moved(1, sends=False)
    now = 9
    kept.moved(1, sends=False)
    assert kept.left(5) == pytest.approx(1, abs=0.1)
    now = 11
    with pytest.raises(TimeoutError, match="Slower than"):
        kept.left(5)
    kept.turn()
    assert kept.left(5) == 5
    kept.moved(20_000, sends=False)
    now = 20.5
    assert kept.left(5) > 0
    now = 101
    kept.turn()
    with pytest.raises(TimeoutError, match="Not done within"):
        kept.left(5)


def test_the_clients_of_httpx_take_our_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    client, slow = httpx.Client(trust_env=True), httpx.AsyncClient(trust_env=True)
    pace.keep(client, pace.Pace(1), "")
    pace.resolve_apart(slow, "")
    for made in (client, slow):
        transports = [made._transport, *made._mounts.values()]  # noqa: SLF001 - what an upgrade of httpx could move
        backends = [item._pool._network_backend for item in transports if item is not None]  # noqa: SLF001
        assert len(backends) >= 2
        assert all(type(backend).__module__ == pace.__name__ for backend in backends)


async def test_a_name_is_looked_up_once_however_many_ask_and_no_tenant_takes_all_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    over = threading.Event()

    def getaddrinfo(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        if host.endswith("slow"):
            over.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    names = Names(threads=3, share=2)
    for number in range(5):
        with pytest.raises(OSError, match="in time"):
            await names.find(f"{number}.slow", "bad", 0.01)
        with pytest.raises(OSError, match="in time"):
            names.wait("0.slow", "bad", 0.01)
    assert asked == ["0.slow", "1.slow"]
    assert await names.find("quick", "good", 5) == ("192.0.2.1",)
    assert names.wait("quick", "good", 5) == ("192.0.2.1",)
    assert asked == ["0.slow", "1.slow", "quick"]
    over.set()
    assert await names.find("4.slow", "bad", 5) == ("192.0.2.1",)


async def test_a_name_that_is_not_found_is_not_looked_up_at_once_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    names = Names()
    for _ in range(3):
        with pytest.raises(socket.gaierror, match="not known"):
            await names.find("nowhere", "t", 5)
    assert asked == ["nowhere"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_an_address_needs_no_look_up(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.delattr(socket, "getaddrinfo")
    assert await Names().find(address, "t", 1) == (address,)


def looked_up(monkeypatch: pytest.MonkeyPatch, addresses: dict[str, list[str]], over: threading.Event) -> list[str]:
    """Have names resolved by a table; those that begin with slow take until `over`. Answers the names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        if host.startswith("slow"):
            over.wait(30)
        return [(0, 0, 0, "", (address, 0)) for address in addresses.get(host, ["192.0.2.1"])]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


async def test_a_name_that_another_tenant_waits_for_too_is_not_behind_his_slow_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()
    asked = looked_up(monkeypatch, {}, over)
    names = Names(threads=4, share=2)
    try:
        for host in ("slow-1", "slow-2", "kong"):
            with pytest.raises(OSError, match="in time"):
                await names.find(host, "bad", 0.01)
        assert await names.find("kong", "good", 5) == ("192.0.2.1",)
        assert await names.find("kong", "bad", 5) == ("192.0.2.1",)
    finally:
        over.set()
    assert asked == ["slow-1", "slow-2", "kong"], "for both of them together"


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("169.254.169.254", []),
        ("fe80::1", []),
        ("::ffff:169.254.169.254", []),
        ("64:ff9b::a9fe:a9fe", []),
        ("fd00:ec2::254", []),
        ("2852039166", ["169.254.169.254"]),
        ("metadata.example.com", ["169.254.169.254", "fe80::1%eth0"]),
    ],
)
async def test_a_link_local_address_is_not_called_in_whichever_way_it_is_written(
    monkeypatch: pytest.MonkeyPatch, host: str, addresses: list[str]
) -> None:
    looked_up(monkeypatch, {host: addresses}, threading.Event())
    names = Names()
    for _ in range(2):
        with pytest.raises(OSError, match="link-local"):
            await names.find(host, "t", 5)
        with pytest.raises(OSError, match="link-local"):
            names.wait(host, "t", 5)


async def test_of_a_name_with_many_addresses_some_are_tried_and_no_link_local_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = ["169.254.169.254", *(f"192.0.2.{number}" for number in range(200))]
    looked_up(monkeypatch, {"many": many}, threading.Event())
    found = await Names().find("many", "t", 5)
    assert found == tuple(many[1:MOST_ADDRESSES])
