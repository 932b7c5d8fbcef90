"""What kubelet and Prometheus ask of the operator, and at which addresses."""

import httpx
import pytest

from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.probes import ProbeServer


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        pytest.param("/livez", 200, "ok", id="alive"),
        pytest.param("/readyz", 503, "the watch has not begun yet", id="not ready, and why"),
        pytest.param("/metrics", 200, "llmbatch_build_info", id="metrics"),
        pytest.param("/", 404, "see /metrics", id="anything else"),
    ],
)
def test_probes(path: str, status: int, body: str) -> None:
    server = ProbeServer("127.0.0.1", 0, Metrics("1").registry, alive=str, ready=lambda: "the watch has not begun yet")
    try:
        answer = httpx.get(f"http://127.0.0.1:{server.port}{path}?verbose", trust_env=False)
    finally:
        server.close()
    assert answer.status_code == status
    assert body in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_without_an_address_it_is_asked_by_ipv4_and_by_ipv6(host: str) -> None:
    """In a cluster of IPv6 alone, kubelet and Prometheus have no other way."""
    server = ProbeServer("", 0, Metrics("1").registry, alive=str, ready=str)
    try:
        answer = httpx.get(f"http://{host}:{server.port}/livez", trust_env=False)
    finally:
        server.close()
    assert answer.text == "ok"


def test_a_port_that_is_taken_is_not_taken_for_a_machine_without_ipv6() -> None:
    first = ProbeServer("", 0, Metrics("1").registry, alive=str, ready=str)
    try:
        with pytest.raises(OSError, match="in use"):
            ProbeServer("", first.port, Metrics("1").registry, alive=str, ready=str)
    finally:
        first.close()
