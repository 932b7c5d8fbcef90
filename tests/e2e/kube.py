"""kubectl, as a user calls it."""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

import yaml

from tests.cluster import Cluster
from tests.e2e.reading import Reader, ReadingError, reader

Json = dict[str, Any]
T = TypeVar("T")


class KubectlError(Exception):
    """kubectl ended with an error, or the API server did not answer; the message is their own."""


class Kube:
    """kubectl in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def run(self, *arguments: str, stdin: str | bytes | None = None, seconds: float = 120) -> str:
        """Run kubectl; answers its standard output."""
        command = [str(self.cluster.tools.kubectl), "--namespace", self.namespace, *arguments]
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            command, input=given, capture_output=True, env=self.cluster.env(), timeout=seconds, check=False
        )
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode(errors="replace")

    def _read(self, read: Callable[[Reader], T]) -> T:
        """Read as kubectl would, but over a connection that is kept: what is waited for is asked again and again."""
        try:
            return read(reader(str(self.cluster.kubeconfig)))
        except ReadingError as error:
            raise KubectlError(str(error)) from None

    def apply(self, *objects: Json) -> None:
        """Apply objects; server-side, since a ConfigMap near 1 MiB has no room for kubectl's annotation."""
        self.run("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str) -> Json:
        """Read an object."""
        if not Reader.knows(kind):
            found: Json = json.loads(self.run("get", kind, name, "-o", "json"))
            return found
        if (read := self._read(lambda reader: reader.get(kind, self.namespace, name))) is None:
            raise KubectlError(f"there is no {kind} {name} in namespace {self.namespace}")
        return read

    def exists(self, kind: str, name: str) -> bool:
        """Tell whether an object exists."""
        if not Reader.knows(kind):
            return self.run("get", kind, name, "--ignore-not-found", "-o", "name").strip() != ""
        return self._read(lambda reader: reader.get(kind, self.namespace, name)) is not None

    def items(self, kind: str, *arguments: str) -> list[Json]:
        """List objects."""
        if not Reader.knows(kind, *arguments):
            found: list[Json] = json.loads(self.run("get", kind, *arguments, "-o", "json"))["items"]
            return found
        return self._read(lambda reader: reader.items(kind, self.namespace, *arguments))

    def delete(self, kind: str, name: str, *, wait: bool = True, seconds: float = 90) -> None:
        """Delete an object."""
        self.run(
            "delete", kind, name, f"--wait={str(wait).lower()}", f"--timeout={int(seconds)}s", seconds=seconds + 10
        )

    def patch(self, kind: str, name: str, change: Json) -> None:
        """Merge a change into an object."""
        self.run("patch", kind, name, "--type=merge", "-p", json.dumps(change))

    def events(self, name: str) -> list[Json]:
        """Give the events about an object, oldest first."""
        found = self.items("events", "--field-selector", f"involvedObject.name={name}")
        return sorted(found, key=lambda event: int(event["metadata"]["resourceVersion"]))

    def wait_for(self, name: str, condition_type: str, seconds: float = 90) -> Json:
        """Wait until a BatchJob has ended, and hold kubectl wait to the condition; answers the BatchJob."""
        self.until(name, lambda job: any(condition(job, kind) for kind in ("Complete", "Failed")), "ended", seconds)
        try:
            self.run("wait", f"--for=condition={condition_type}", f"batchjob/{name}", "--timeout=10s")
        except KubectlError as error:
            raise AssertionError(f"{error}\n{self.run('describe', 'batchjob', name)}") from error
        return self.get("batchjob", name)

    def until(self, name: str, holds: Callable[[Json], bool], what: str, seconds: float = 60) -> Json:
        """Wait until something holds of a BatchJob."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.get("batchjob", name)
            if holds(found):
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{name}: not {what} in {seconds} s\n{self.run('describe', 'batchjob', name)}")
            time.sleep(0.25)

    def until_there(self, kind: str, name: str, seconds: int = 90) -> None:
        """Wait until somebody else has made an object."""
        self.run("wait", "--for=create", f"{kind}/{name}", f"--timeout={seconds}s", seconds=seconds + 10)

    def until_reason(self, name: str, reason: str, seconds: float = 60) -> Json:
        """Wait until a BatchJob's Ready condition has a reason."""
        return self.until(name, lambda job: condition(job, "Ready").get("reason") == reason, f"Ready/{reason}", seconds)


def condition(job: Json, kind: str) -> Json:
    """Give a condition of an object, {} when it has none of that type."""
    conditions = (job.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == kind), {})
