"""/metrics, /livez and /readyz, on a thread of their own so that a busy event loop can still be seen."""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

Check = Callable[[], str]
"""Answers what is wrong; empty when all is well."""
EVERY = "::"
"""All addresses: of IPv6, and of IPv4 as well."""


class _Server(ThreadingHTTPServer):
    """Listens on whatever a pod has: in a cluster of IPv6 alone there is no IPv4."""

    def __init__(self, address: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), handler)

    def server_bind(self) -> None:
        if self.server_address[0] == EVERY:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class ProbeServer:
    """Serves metrics and probes until it is closed."""

    def __init__(self, address: str, port: int, registry: CollectorRegistry, *, alive: Check, ready: Check) -> None:
        """Bind the port and begin to serve; port 0 takes a free one, and no address takes all, of IPv4 and of IPv6."""
        checks = {"/livez": alive, "/readyz": ready}

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                path = self.path.split("?", 1)[0]
                if path == "/metrics":
                    encode, kind = choose_encoder(self.headers.get("Accept", ""))
                    self._answer(200, kind, encode(registry))
                elif path in checks:
                    wrong = checks[path]()
                    self._answer(503 if wrong else 200, "text/plain; charset=utf-8", (wrong or "ok").encode())
                else:
                    self._answer(404, "text/plain; charset=utf-8", b"see /metrics, /livez, /readyz")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing: a probe every few seconds is no news."""

        try:
            self._server = _Server(address or EVERY, port, Handler)
        except OSError:
            if address or not _lacks_ipv6():
                raise
            self._server = _Server("0.0.0.0", port, Handler)  # noqa: S104 - a pod serves its own network
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="probes", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def _lacks_ipv6() -> bool:
    """Tell whether this machine was started without IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return True
    return False
