"""What httpx puts no bound to: how slow a peer may be all in all, and how long its name may take to be resolved.

httpx limits each silence. A peer that sends or takes a byte now and then, of a head or of a body, is never silent.
"""

import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpcore
import httpx

from llmbatch.provider.edge.resolver import NAMES, Names

LEAST_RATE = 1024.0
"""Bytes a second. What is slower than that for as long as a silence may last is given up."""


@dataclass(frozen=True)
class Bounds:
    """What a transfer may use of what is shared."""

    tenant: str = ""
    """Whose part of the resolver's threads is used."""
    whole_seconds: float | None = None
    """Longest time for all of its calls; None: as long as they are not too slow."""


@dataclass
class Pace:
    """Watches over the speed of a transfer, and over its end."""

    silence_seconds: float
    whole_seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    _since: float | None = field(default=None, init=False)
    """Since when it has been measured; None: nothing has moved since it was the other side's turn."""
    _moved: int = field(default=0, init=False)
    _sends: bool = field(default=True, init=False)
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin now."""
        self._until = self.clock() + self.whole_seconds if self.whole_seconds is not None else float("inf")

    def left(self, seconds: float | None) -> float:
        """Give the seconds that the next piece may take.

        Raises:
            TimeoutError: There are none.
        """
        now = self.clock()
        slow = float("inf")
        if self._since is not None:
            slow = self._since + self.silence_seconds + self._moved / LEAST_RATE - now
        whole = self._until - now
        if slow <= 0:
            raise TimeoutError(None, f"Slower than {LEAST_RATE:.0f} bytes a second")
        if whole <= 0:
            raise TimeoutError(None, f"Not done within {self.whole_seconds:.0f} seconds")
        return min(slow, whole, self.silence_seconds if seconds is None else seconds)

    def moved(self, size: int, *, sends: bool) -> None:
        """Note that bytes were sent or have come."""
        if sends != self._sends or self._since is None:
            self._sends, self._moved, self._since = sends, 0, self.clock()
        self._moved += size
        if self._moved >= LEAST_RATE * self.silence_seconds:
            # What was fast once may not be slow for all the longer.
            self._moved, self._since = 0, self.clock()

    def turn(self) -> None:
        """Note that all was sent: how long the other side thinks about it is bounded as a silence."""
        self._since = None


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, pace: Pace, layers: int = 0) -> None:
        self._inner, self._pace, self._layers = inner, pace, layers

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._pace._sends:  # noqa: SLF001 - one piece of work in two classes
            self._pace.turn()
        try:
            left = self._pace.left(timeout)
            try:
                found = self._inner.read(max_bytes, left)
            except httpcore.ReadTimeout:
                # Perhaps not for a silence, but because its time was over: then that is said.
                self._pace.left(timeout)
                raise
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        self._pace.moved(len(found), sends=False)
        return found

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        connection = self._inner.get_extra_info("socket")
        rest = memoryview(buffer)
        try:
            while rest:
                left = self._pace.left(timeout)
                if self._layers > 1:  # TLS within a proxy's TLS has no socket of its own
                    self._inner.write(bytes(rest), left)
                    sent = len(rest)
                else:
                    connection.settimeout(left)
                    # Here, not by the inner stream, which gives each packet as long as that.
                    sent = connection.send(rest)
                self._pace.moved(sent, sends=True)
                rest = rest[sent:]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(inner, self._pace, self._layers + 1)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, pace: Pace, names: Names, tenant: str) -> None:
        self._inner, self._pace, self._names, self._tenant = httpcore.SyncBackend(), pace, names, tenant

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        self._pace.turn()
        try:
            left = self._pace.left(timeout)
            until = time.monotonic() + left
            addresses = self._names.wait(host, self._tenant, left)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        for number, address in enumerate(addresses, 1):
            seconds = _part(until, len(addresses) - number + 1)
            try:
                inner = self._inner.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses):
                    raise
            else:
                return _Stream(inner, self._pace)
        raise httpcore.ConnectError("no address")


class _AsyncBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, names: Names, tenant: str) -> None:
        self._inner, self._names, self._tenant = httpcore.AnyIOBackend(), names, tenant

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        until = time.monotonic() + (timeout if timeout is not None else 60.0)
        try:
            addresses = await self._names.find(host, self._tenant, timeout)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        for number, address in enumerate(addresses, 1):
            seconds = _part(until, len(addresses) - number + 1)
            try:
                return await self._inner.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise httpcore.ConnectError("no address")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


def _part(until: float, left: int) -> float:
    """Share the time that is left among the addresses that are."""
    return max(0.1, (until - time.monotonic()) / left)


def keep(client: httpx.Client, pace: Pace, tenant: str, names: Names = NAMES) -> None:
    """Have all connections of a client keep a pace."""
    _give(client, _Backend(pace, names, tenant))


def resolve_apart(client: httpx.AsyncClient, tenant: str, names: Names = NAMES) -> None:
    """Have a client's hosts found on threads that nothing else waits for."""
    _give(client, _AsyncBackend(names, tenant))


def _give(client: httpx.Client | httpx.AsyncClient, backend: object) -> None:
    # httpx has no argument for it. A test sees to it that it still works.
    transports = [client._transport, *client._mounts.values()]  # noqa: SLF001 - see above
    for transport in transports:
        if isinstance(transport, httpx.HTTPTransport | httpx.AsyncHTTPTransport):
            transport._pool._network_backend = backend  # type: ignore[assignment]  # noqa: SLF001
