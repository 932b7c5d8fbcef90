"""Keeps every state of every BatchJob that the API server tells of."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.cluster import Cluster


class Watcher:
    """`kubectl get batchjobs --watch` into a file."""

    def __init__(self, cluster: Cluster) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "states.json"
        self._file = self.path.open("w")
        self._process = subprocess.Popen(
            [str(cluster.tools.kubectl), "get", "batchjobs", "-A", "--watch", "-o", "json"],
            env=cluster.env(), stdout=self._file, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def seen(self) -> list[dict[str, Any]]:
        """Give all states so far."""
        text, decoder, position = self.path.read_text(), json.JSONDecoder(), 0
        found: list[dict[str, Any]] = []
        while position < len(text):
            try:
                item, position = decoder.raw_decode(text, position)
            except json.JSONDecodeError:
                break  # the last one is still being written
            found += item["items"] if item.get("kind") == "List" else [item]
            while position < len(text) and text[position].isspace():
                position += 1
        return found

    def alive(self) -> bool:
        """Tell whether the watch has not ended."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the watch."""
        self._process.terminate()
        self._process.wait(10)
        self._file.close()
        self._folder.cleanup()
