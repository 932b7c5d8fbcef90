"""Debian's Prometheus, on loopback."""

import json
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx

from tests.e2e.forward import free_port

Json = dict[str, Any]


class Prometheus:
    """A Prometheus with a configuration, for as long as the block runs."""

    def __init__(self, program: Path, folder: Path, config: Json) -> None:
        address = f"127.0.0.1:{free_port()}"
        self.url, self._log = f"http://{address}", folder / "prometheus.log"
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self._command = [
            str(program), f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}",
        ]  # fmt: skip

    def __enter__(self) -> Self:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def query(self, expression: str) -> list[Json]:
        """Give what a query finds now; nothing while it doesn't answer."""
        found = self._ask("query", query=expression).get("result", [])
        return list(found)

    def rules(self) -> set[str]:
        """Name the alerts that it has."""
        groups = self._ask("rules").get("groups", [])
        return {rule["name"] for group in groups for rule in group["rules"]}

    def log(self) -> str:
        """Give what it has said."""
        return self._log.read_text()

    def _ask(self, path: str, **parameters: str) -> Json:
        try:
            found: Json = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=5).json()["data"]
        except (httpx.HTTPError, KeyError, ValueError):
            return {}
        return found
