"""The few questions that bringing up a cluster asks its API server, without starting kubectl for each."""

import base64
import contextlib
import datetime
import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.cluster.shell import ClusterError


class KubeApi:
    """A client with the certificate of a kubeconfig that embeds its keys, as ours does."""

    def __init__(self, kubeconfig: Path, *, timeout_seconds: float = 5) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        address = urlsplit(cluster["server"])
        self._host, self._port = address.hostname or "", address.port or 443
        self._timeout_seconds = timeout_seconds
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        with _files(user["client-certificate-data"], user["client-key-data"]) as (certificate, key):
            self._tls.load_cert_chain(certificate, key)

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and answer; 0 where nobody answers."""
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout_seconds, context=self._tls
        )
        try:
            headers = {"Accept": "application/json", "Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()
        try:
            return response.status, json.loads(text)
        except json.JSONDecodeError:
            return response.status, text

    def ready(self) -> bool:
        return self.request("GET", "/readyz")[0] == 200

    def node_ready(self, name: str) -> bool:
        status, node = self.request("GET", f"/api/v1/nodes/{name}")
        if status != 200:
            return False
        conditions = {condition["type"]: condition["status"] for condition in node["status"].get("conditions", [])}
        # The taint goes a moment after the condition comes; until then nothing is scheduled.
        return conditions.get("Ready") == "True" and not node["spec"].get("taints")

    def node_reported_since(self, name: str, moment: datetime.datetime) -> bool:
        """Whether the kubelet has been heard of since: after a crash, what the node's status says is from before it."""
        status, lease = self.request("GET", f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")
        return status == 200 and datetime.datetime.fromisoformat(lease["spec"]["renewTime"]) > moment

    def create(self, path: str, body: object) -> None:
        """Create an object, or leave the one that's there."""
        status, answer = self.request("POST", path, body)
        if status not in {201, 409}:
            raise ClusterError(f"POST {path}: {status} {answer}")


def wait_until(condition: Callable[[], bool], *, what: str, timeout_seconds: float, why_not: Callable[[], str]) -> None:
    """Wait for something to become true; if it doesn't, say what the one in charge said last."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"Waited {timeout_seconds:.0f} s for {what}. Last words:\n{why_not()}")
        time.sleep(0.1)


@contextlib.contextmanager
def _files(*contents: str) -> Iterator[list[str]]:
    # ssl reads a client's key from a file only.
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(index) for index in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.touch(mode=0o600)
            path.write_bytes(base64.b64decode(content))
        yield [str(path) for path in paths]
