"""Flux's objects, as a test makes and watches them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.kube import Json, Kube, condition
from tests.gitops import controllers
from tests.gitops.git import Repository

SOURCE = "gitrepositories.source.toolkit.fluxcd.io"
OCI_SOURCE = "ocirepositories.source.toolkit.fluxcd.io"
KUSTOMIZATION = "kustomizations.kustomize.toolkit.fluxcd.io"


@dataclass
class Flux:
    """A source (a GitRepository, unless told otherwise) and a Kustomization `app` that applies it, in the namespace of a test."""

    kube: Kube
    repository: Repository

    def apply(self, **spec: Any) -> None:
        """Have Flux apply what is in the repository, and wait for it to be healthy."""
        self.apply_from("GitRepository", {"url": self.repository.url, "ref": {"branch": "main"}}, **spec)

    def apply_from(self, kind: str, place_of_it: Json, **spec: Any) -> None:
        """Have Flux apply what is in a source of a kind, and wait for it to be healthy."""
        place = {"namespace": self.kube.namespace}
        source = {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": kind,
            "metadata": {"name": "app", **place},
            "spec": {**place_of_it, "interval": "1h"},
        }
        kustomization = {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": "app", **place},
            "spec": {
                "sourceRef": {"kind": kind, "name": "app"},
                "targetNamespace": self.kube.namespace,
                "interval": "1h",
                "retryInterval": "2s",
                "prune": True,
                "wait": True,
                "timeout": "5m",
                **spec,
            },
        }
        self.kube.apply(source, kustomization)

    def reconcile(self, source: str = SOURCE) -> None:
        """Ask for a reconciliation of both now, as `flux reconcile --with-source` does, and wait until it was begun."""
        for kind in (source, KUSTOMIZATION):
            token = str(time.time_ns())
            self.kube.run("annotate", "--overwrite", kind, "app", f"reconcile.fluxcd.io/requestedAt={token}")
            self.until(
                lambda found, token=token: found["status"].get("lastHandledReconcileAt") == token,  # type: ignore[misc]
                "reconciled",
                kind=kind,
            )

    def until(
        self,
        holds: Callable[[Json], bool],
        what: str,
        *,
        kind: str = KUSTOMIZATION,
        name: str = "app",
        seconds: float = 90,
    ) -> Json:
        """Wait until something holds of the Kustomization."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.kube.get(kind, name)
            if "status" in found and holds(found):
                return found
            if time.monotonic() > deadline:
                said = self.kube.run("get", "batchjobs,batchgateways,configmaps,secrets", "-o", "wide")
                words = controllers.last_words("source-controller", "kustomize-controller")
                raise AssertionError(f"not {what} in {seconds} s: {found.get('status')}\n{said}\n{words}")
            time.sleep(0.3)

    def until_ready(self, status: str = "True", *, revision: str = "", seconds: float = 90, name: str = "app") -> Json:
        """Wait until the Kustomization's Ready has a status (of a revision, if one is given); answers that condition."""

        def holds(found: Json) -> bool:
            tried = found["status"].get("lastAttemptedRevision", "")
            return condition(found, "Ready").get("status") == status and tried.endswith(revision)

        return condition(self.until(holds, f"Ready={status}", seconds=seconds, name=name), "Ready")

    def ready(self) -> Json:
        """Give the Kustomization's Ready."""
        return condition(self.kube.get(KUSTOMIZATION, "app"), "Ready")
