"""Argo CD's Applications, as a test makes and watches them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e.kube import Json, Kube
from tests.gitops import controllers
from tests.gitops.git import Repository

APPLICATION = "applications.argoproj.io"
IN_CLUSTER = "https://kubernetes.default.svc"
CASCADE = "resources-finalizer.argocd.argoproj.io"
WAVE = "argocd.argoproj.io/sync-wave"


@dataclass
class Application:
    """An Application in Argo CD's namespace that applies a repository to the namespace of a test."""

    argo: Kube
    name: str
    namespace: str
    repository: Repository

    def apply(self, *, sources: list[Json] | None = None, options: tuple[str, ...] = ()) -> None:
        """Make it, of the repository's top folder where no sources are given; deleting it deletes what it applied."""
        policy = {"automated": {"prune": True, "selfHeal": True}, "syncOptions": list(options)}
        top = {"repoURL": self.repository.url, "targetRevision": "main", "path": "."}
        self.argo.apply(
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": {"name": self.name, "finalizers": [CASCADE]},
                "spec": {
                    "project": "default",
                    **({"sources": sources} if sources else {"source": top}),
                    "destination": {"server": IN_CLUSTER, "namespace": self.namespace},
                    "syncPolicy": policy,
                },
            }
        )

    def refresh(self, kind: str = "normal") -> None:
        """Have Argo CD look at Git and cluster anew, and wait until it has."""
        self.argo.run("annotate", "--overwrite", APPLICATION, self.name, f"argocd.argoproj.io/refresh={kind}")
        self.until(
            lambda found: "argocd.argoproj.io/refresh" not in (found["metadata"].get("annotations") or {}), "refreshed"
        )

    def until(self, holds: Callable[[Json], bool], what: str, seconds: float = 90) -> Json:
        """Wait until something holds of the Application."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.argo.get(APPLICATION, self.name)
            if holds(found):
                return found
            if time.monotonic() > deadline:
                words = controllers.last_words("argocd-repo-server", "argocd-application-controller")
                raise AssertionError(f"{self.name}: not {what} in {seconds} s: {found.get('status')}\n{words}")
            time.sleep(0.3)

    def until_health(self, wanted: str, *, revision: str = "", seconds: float = 90) -> Json:
        """Wait until it is synced (to a revision, if one is given) and has a health."""

        def holds(found: Json) -> bool:
            status = found.get("status", {})
            sync = status.get("sync", {})
            revisions: list[str] = [*sync.get("revisions", []), sync.get("revision", "")]
            return (
                status.get("health", {}).get("status") == wanted
                and sync.get("status") == "Synced"
                and revisions[0].startswith(revision)
            )

        return self.until(holds, f"Synced and {wanted}", seconds)

    def resource(self, kind: str, name: str) -> Json:
        """Give what the Application says of one resource, {} when it doesn't know it."""
        found = self.argo.get(APPLICATION, self.name).get("status", {}).get("resources", [])
        return next((item for item in found if (item["kind"], item["name"]) == (kind, name)), {})

    def delete(self, *, seconds: float = 120) -> None:
        """Delete it and what it applied, and wait until it's gone."""
        self.argo.delete(APPLICATION, self.name, seconds=seconds)
