"""kubectl port-forward."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster import Cluster


def free_port() -> int:
    """Find a free port on loopback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def begin(cluster: Cluster, namespace: str, target: str, port: int) -> tuple["subprocess.Popen[bytes]", str]:
    """Forward a free port of this machine to a pod or Service; answers the process and the URL, which is connected."""
    here = free_port()
    process = subprocess.Popen(
        [str(cluster.tools.kubectl), "--namespace", namespace, "port-forward", target, f"{here}:{port}"],
        env=cluster.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", here), timeout=2).close()
            return process, f"http://127.0.0.1:{here}"
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                process.terminate()
                raise
            time.sleep(0.05)


@contextmanager
def forward(cluster: Cluster, namespace: str, target: str, port: int) -> Iterator[str]:
    """Forward while the block runs."""
    process, url = begin(cluster, namespace, target, port)
    try:
        yield url
    finally:
        process.terminate()
        process.wait(10)
