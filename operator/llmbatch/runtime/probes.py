"""/metrics, /livez and /readyz, on a thread of their own so that a busy event loop can still be seen."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

Check = Callable[[], str]
"""Answers what is wrong; empty when all is well."""


class ProbeServer:
    """Serves metrics and probes until it is closed."""

    def __init__(self, address: str, port: int, registry: CollectorRegistry, *, alive: Check, ready: Check) -> None:
        """Bind the port and begin to serve; port 0 takes a free one."""
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

        self._server = ThreadingHTTPServer((address, port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="probes", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
