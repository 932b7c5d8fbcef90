"""The cluster that the demo runs on: kubectl and helm, and what of it is the demo's."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import yaml

from tests.cluster import Cluster, ClusterError
from tests.cluster.paths import REPOSITORY
from tests.cluster.shell import run

RELEASE, NAMESPACE = "llmbatch", "llmbatch-system"
CHART = REPOSITORY / "charts" / "llmbatch"
DEFINITIONS = ("batchjobs.llmbatch.io", "batchgateways.llmbatch.io")

_MARK = "llmbatch-demo"
"""A ConfigMap that says what the demo made on a cluster that isn't ours, so that it removes just that."""


class Target:
    """A cluster, by its command-line tools."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ours = cluster.kind != "existing"

    def kubectl(self, *arguments: str, stdin: str | None = None, remedy: str = "") -> str:
        """Run kubectl; answers what it printed."""
        return run(
            [self.cluster.tools.kubectl, *arguments], env=self.cluster.env(), cwd=REPOSITORY, stdin=stdin, remedy=remedy
        )

    def helm(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run helm for the demo's namespace."""
        return run([self.cluster.tools.helm, *arguments, "--namespace", NAMESPACE], env=self.cluster.env(), stdin=stdin)

    def there(self, kind: str, name: str, namespace: str = "") -> bool:
        """Tell whether an object exists; of a kind that the cluster doesn't know, none does."""
        place = ["--namespace", namespace] if namespace else []
        try:
            return bool(self.kubectl("get", kind, name, *place, "--ignore-not-found", "-o", "name").strip())
        except ClusterError as error:
            if "the server doesn't have a resource type" in str(error):
                return False
            raise

    def mark(self, examples: Iterable[Path]) -> None:
        """Note what is not there yet, and therefore the demo's; refuse to touch what somebody else made."""
        if self.ours or self.there("configmap", _MARK, NAMESPACE):
            return
        if self.helm("list", "--all", "--filter", f"^{RELEASE}$", "--short").strip():
            raise ClusterError(
                f"This cluster has a release {RELEASE} in namespace {NAMESPACE} that the demo did not install. "
                "Apply examples/ to it yourself, or point KUBECONFIG at another cluster."
            )
        taken = [
            f"{kind} {name} in namespace {place}"
            for path in examples
            for kind, name, place in objects(path)
            if self.there(kind, name, place)
        ]
        if taken:
            raise ClusterError(f"The demo would overwrite what this cluster has already: {', '.join(taken)}.")
        made = {
            "namespace": not self.there("namespace", NAMESPACE),
            "definitions": not any(self.there("crd", name) for name in DEFINITIONS),
        }
        if made["namespace"]:
            self.kubectl("create", "namespace", NAMESPACE)
        self.kubectl("create", "configmap", _MARK, "--namespace", NAMESPACE, f"--from-literal=made={json.dumps(made)}")

    def made(self) -> dict[str, bool]:
        """Read what the demo made besides its release and its examples; {} when it was never here."""
        if not self.there("configmap", _MARK, NAMESPACE):
            return {}
        made: dict[str, bool] = json.loads(
            self.kubectl("get", "configmap", _MARK, "--namespace", NAMESPACE, "-o", "jsonpath={.data.made}")
        )
        return made

    def unmark(self) -> None:
        """Forget what the demo made."""
        self.kubectl("delete", "configmap", _MARK, "--namespace", NAMESPACE, "--ignore-not-found")

    def remove(self, path: Path) -> None:
        """Delete what a file makes, and wait until it's gone."""
        known = [entry for entry in objects(path) if self.there(*entry)]
        # Jobs before their gateway: the operator still has to reach it to clean up behind them.
        for kind, name, place in sorted(known, key=lambda entry: entry[0] != "BatchJob"):
            there = ("--namespace", place)
            uid = self.kubectl("get", kind, name, *there, "-o", "jsonpath={.metadata.uid}")
            self.kubectl("delete", kind, name, *there, "--ignore-not-found", "--timeout=90s")
            if kind == "BatchJob":
                # Its results outlive it.
                self.kubectl("delete", "secrets,configmaps", *there, "-l", f"llmbatch.io/batchjob-uid={uid}")

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """Start kubectl; what it prints is read line by line."""
        command = [str(self.cluster.tools.kubectl), *arguments]
        return subprocess.Popen(command, env=self.cluster.env(), stdout=subprocess.PIPE, text=True)


def objects(path: Path) -> list[tuple[str, str, str]]:
    """Give kind, name and namespace of what a file makes."""
    documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
    return [(item["kind"], item["metadata"]["name"], item["metadata"]["namespace"]) for item in documents]
