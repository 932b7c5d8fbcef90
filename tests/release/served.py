"""An OCI registry on loopback, of Debian's package: for tests."""

import json
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import yaml

from tests.cluster import debian

_MANIFESTS = "application/vnd.oci.image.manifest.v1+json"


class Registry:
    """`with Registry(folder) as registry`: everything it is told is in that folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{free.getsockname()[1]}"

    def __enter__(self) -> "Registry":
        debian.install(debian.REGISTRY)
        settings = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "storage")}},
            "http": {"addr": self.host, "secret": "of-a-test"},
        }
        config, log = self._folder / "config.yml", self._folder / "log"
        config.write_text(yaml.safe_dump(settings))
        with log.open("wb") as output:
            self._process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=output, stderr=output)
        deadline = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise AssertionError(f"docker-registry does not answer: {log.read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def manifest(self, repository: str, reference: str) -> tuple[str, dict[str, Any]]:
        """Read a manifest by tag or digest: its digest, and what it says."""
        answer = httpx.get(
            f"http://{self.host}/v2/{repository}/manifests/{reference}", headers={"Accept": _MANIFESTS}
        ).raise_for_status()
        return answer.headers["Docker-Content-Digest"], json.loads(answer.content)

    def blob(self, repository: str, digest: str) -> bytes:
        """Read a blob."""
        return httpx.get(f"http://{self.host}/v2/{repository}/blobs/{digest}").raise_for_status().content

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://{self.host}/v2/").status_code == 200
        except httpx.TransportError:
            return False

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
