"""How uvicorn is set up to serve an emulator."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn

from tests.emulator.app import Emulator
from tests.emulator.instance import Instances
from tests.emulator.protocol import BreakableProtocol

# Longer than a client waits between polls: a connection that ends by itself just then looks like a fault.
KEEP_ALIVE_SECONDS = 75
GRACEFUL_SECONDS = 1  # a fault may hold an answer for hours


@dataclasses.dataclass(frozen=True)
class Tls:
    """Files in PEM form. With a client CA, a client has to show a certificate of it."""

    certfile: str | None = None
    keyfile: str | None = None
    client_ca: str | None = None


PLAIN = Tls()
EVERY = "::"
"""All addresses: of IPv6, and of IPv4 as well, which the event loop alone would leave out."""


def listeners(host: str, port: int) -> list[socket.socket] | None:
    """Open what takes calls by IPv6 and by IPv4, if that is what the host says; else the server opens its own."""
    if host != EVERY:
        return None
    if not socket.has_dualstack_ipv6():
        return [socket.create_server(("0.0.0.0", port))]
    return [socket.create_server((EVERY, port), family=socket.AF_INET6, dualstack_ipv6=True)]


def server(
    state_dir: Path,
    *,
    host: str,
    port: int,
    config: Mapping[str, Any] | None = None,
    tls: Tls = PLAIN,
) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            Emulator(Instances(state_dir, config)),
            host=host,
            port=port,
            http=BreakableProtocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
            ssl_certfile=tls.certfile,
            ssl_keyfile=tls.keyfile,
            ssl_ca_certs=tls.client_ca,
            ssl_cert_reqs=ssl.CERT_REQUIRED if tls.client_ca else ssl.CERT_NONE,
        )
    )
