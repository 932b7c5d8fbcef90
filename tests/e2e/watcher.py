"""Keeps every state of every BatchJob that the API server tells of."""

import json
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from tests.cluster import Cluster


class Watcher:
    """`kubectl get batchjobs --watch` into files, begun anew when the API server ends it (as a changed CRD makes it do)."""

    def __init__(self, cluster: Cluster) -> None:
        self._command = [str(cluster.tools.kubectl), "get", "batchjobs", "-A", "--watch", "-o", "json"]
        self._env = cluster.env()
        self._folder = tempfile.TemporaryDirectory()
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        number = 0
        while not self._stopping.wait(0.1):
            number += 1
            with Path(self._folder.name, f"{number:05}.json").open("wb") as file:
                self._process = subprocess.Popen(self._command, env=self._env, stdout=file, stderr=subprocess.DEVNULL)
                self._process.wait()

    def seen(self) -> list[dict[str, Any]]:
        """Give all states so far."""
        told = [state for path in sorted(Path(self._folder.name).iterdir()) for state in _states(path.read_text())]
        # An API server that ends may say so as a Status among them.
        return [state for state in told if state.get("kind") == "BatchJob"]

    def close(self) -> None:
        """End the watch."""
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(10)
        self._folder.cleanup()


def _states(text: str) -> list[dict[str, Any]]:
    decoder, position = json.JSONDecoder(), 0
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
