"""Reads along whatever the operator tells anybody, and looks for the canaries in it: without them in it, it is silent.

    with Collector(cluster) as collector:
        ...  # whatever is to be judged
    assert collector.findings() == []

Nothing is kept but what was found, so it can read along for hours.
"""

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from llmbatch.transfer.pure import naming
from tests.cluster import Cluster
from tests.support.canary import scan

Json = dict[str, Any]

KINDS = ("events", "jobs", "pods", "batchjobs", "batchgateways")
OPERATOR = ("app.kubernetes.io/component", "operator")


class Collector:
    """Watches objects of all namespaces, and follows the logs of operators and transfer pods."""

    def __init__(self, cluster: Cluster) -> None:
        """Read along in a cluster, from the moment it is entered."""
        self._kubectl = str(cluster.tools.kubectl)
        self._env = cluster.env()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._processes: set[subprocess.Popen[str]] = set()
        self._threads: list[threading.Thread] = []
        self._followed: set[tuple[str, str, int]] = set()
        self._found: dict[str, None] = {}
        self.seen: Counter[str] = Counter()
        """How many states of each kind, and lines of logs, were looked at: none would prove nothing."""

    def __enter__(self) -> Self:
        """Begin."""
        for kind in KINDS:
            self._start(self._watch, kind)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """End."""
        self.close()

    def close(self) -> None:
        """End everything that was begun."""
        self._stopping.set()
        with self._lock:
            for process in self._processes:
                process.terminate()
        for thread in list(self._threads):
            thread.join(10)

    def look_at(self, what: str, *texts: str) -> None:
        """Look for canaries in texts of any origin, for example a page of metrics."""
        found = [f"{what}: {finding}" for finding in scan(texts)]
        with self._lock:
            self.seen[what.split(" ", 1)[0]] += len(texts)
            self._found |= dict.fromkeys(found)

    def findings(self, *, settle_seconds: float = 2.0) -> list[str]:
        """Give what was found so far, once what is under way had time to come in."""
        time.sleep(settle_seconds)
        with self._lock:
            return list(self._found)

    # --- what it reads -----------------------------------------------------------------------------------------------

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _lines(self, arguments: list[str], each: Callable[[str], None]) -> int:
        """Run kubectl and hand over its lines; answers its exit code."""
        with self._lock:
            if self._stopping.is_set():
                return 0
            process = subprocess.Popen(
                [self._kubectl, *arguments], env=self._env, text=True, errors="replace",
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self._processes.add(process)
        with process:
            for line in process.stdout or ():
                each(line)
        with self._lock:
            self._processes.discard(process)
        return process.returncode

    def _watch(self, kind: str) -> None:
        """Watch a kind; the API server ends a watch now and then, and a changed CRD does."""
        pending: list[str] = []

        def each(line: str) -> None:
            pending.append(line)
            if line == "}\n":  # kubectl indents everything but an object's own braces
                text = "".join(pending)
                pending.clear()
                self._state(kind, json.loads(text), text)

        while not self._stopping.wait(0.2):
            pending.clear()
            self._lines(["get", kind, "-A", "--watch", "-o", "json"], each)

    def _state(self, kind: str, found: Json, text: str) -> None:
        metadata = found.get("metadata", {})
        self.look_at(f"{kind} {metadata.get('namespace')}/{metadata.get('name')}", text)
        for pod in found.get("items", [found]) if kind == "pods" else ():
            self._pod(pod)

    def _pod(self, pod: Json) -> None:
        labels = pod["metadata"].get("labels") or {}
        if naming.LABEL_UID not in labels and labels.get(OPERATOR[0]) != OPERATOR[1]:
            return
        for status in pod.get("status", {}).get("containerStatuses") or []:
            count = status.get("restartCount", 0)
            for number in {count, max(0, count - 1)} if count else {0}:
                started = number < count or {"running", "terminated"} & status.get("state", {}).keys()
                run = (pod["metadata"]["uid"], status["name"], number)
                if started and run not in self._followed:
                    self._followed.add(run)
                    self._start(self._follow, pod["metadata"], status["name"], number < count)

    def _follow(self, metadata: Json, container: str, previous: bool) -> None:
        how = ["--previous"] if previous else ["--follow"]
        arguments = ["logs", "-n", metadata["namespace"], metadata["name"], "-c", container, *how]
        self._lines(arguments, lambda line: self.look_at(f"logs {metadata['namespace']}/{metadata['name']}", line))
