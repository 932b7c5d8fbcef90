"""Certificates of every kind, and a server that says why it refuses one."""

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trustme

from llmbatch.provider.edge.tls import Material
from tests.emulator.server import EmulatorServer

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Authorities:
    """Ours, and somebody else's."""

    ours: trustme.CA
    others: trustme.CA
    folder: Path

    def server(self, kind: str = "right") -> str:
        """Give a file with a server's certificate and key: right, expired, early or for another name."""
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        if kind == "expired":
            made = self.ours.issue_cert(HOST, not_before=now - 2 * day, not_after=now - day)
        elif kind == "early":
            made = self.ours.issue_cert(HOST, not_before=now + day, not_after=now + 2 * day)
        else:
            made = self.ours.issue_cert("kong.example" if kind == "another name" else HOST)
        path = self.folder / f"{kind}.pem"
        made.private_key_and_cert_chain_pem.write_to_path(path)
        return str(path)

    @property
    def ca_file(self) -> str:
        """Give a file with our authority's certificate."""
        path = self.folder / "ca.pem"
        self.ours.cert_pem.write_to_path(path)
        return str(path)

    def material(self, client: str | None = None, *, ca: str = "ours") -> Material:
        """Give what a client needs: an authority to trust, and a certificate: right, wrong or none."""
        trusted = (self.ours if ca == "ours" else self.others).cert_pem.bytes()
        if client is None:
            return Material(ca=trusted)
        made = (self.ours if client == "right" else self.others).issue_cert("operator.example")
        return Material(trusted, made.cert_chain_pems[0].bytes(), made.private_key_pem.bytes())


@contextlib.contextmanager
def strict_server(authorities: Authorities) -> Iterator[str]:
    """Serve TLS that asks for our client certificates, and tells by an alert why it refuses; answers nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authorities.server())
    context.load_verify_locations(authorities.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server((HOST, 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as encrypted:
                with contextlib.suppress(OSError):
                    encrypted.do_handshake()
                # What is left unread would make the kernel reset the connection, and the alert be lost.
                with contextlib.suppress(OSError), socket.socket(fileno=encrypted.detach()) as rest:
                    rest.settimeout(5)
                    rest.shutdown(socket.SHUT_WR)
                    while rest.recv(65536):
                        pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://{HOST}:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def serving(authorities: Authorities, kind: str = "right", *, asks: bool = False) -> EmulatorServer:
    """Make an emulator with a certificate of that kind; `asks`: it wants one of the client."""
    certificate = authorities.server(kind)
    client_ca = authorities.ca_file if asks else None
    return EmulatorServer(certfile=certificate, keyfile=certificate, client_ca=client_ca, verify=False)
