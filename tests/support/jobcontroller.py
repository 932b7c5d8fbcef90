"""What the Job controller of Kubernetes says in a Job's status of its pods, for the API server in memory."""

from typing import Protocol

from tests.support.apistore import Json

OF_JOB = "batch.kubernetes.io/controller-uid"


class Store(Protocol):
    """Where Jobs and pods are."""

    def objects(self, plural: str) -> list[Json]:
        """Read all objects of a kind."""

    def edit(self, plural: str, name: str, patch: Json, namespace: str) -> Json:
        """Change an object by a merge patch."""


class JobController:
    """Counts the pods of Jobs."""

    def __init__(self, store: Store) -> None:
        """Count what is stored there."""
        self._store = store

    def changed(self, kind: str, found: Json) -> None:
        """Count anew when a pod has changed; a Job that has ended is left as it is."""
        if found["_plural"] != "pods" or kind == "DELETED":
            return
        uid = (found["metadata"].get("labels") or {}).get(OF_JOB)
        job = next((job for job in self._store.objects("jobs") if job["metadata"]["uid"] == uid), None)
        if job is None or (job.get("status") or {}).get("conditions"):
            return
        status = found.get("status") or {}
        containers = status.get("containerStatuses") or []
        runs = bool(containers) and all("running" in (item.get("state") or {}) for item in containers)
        over = status.get("phase") in ("Succeeded", "Failed")
        counts = {"active": None if over else 1, "ready": int(runs and status.get("phase") == "Running")}
        if "deletionTimestamp" in found["metadata"]:
            counts |= {"terminating": 1}
        metadata = job["metadata"]
        self._store.edit("jobs", metadata["name"], {"status": counts}, metadata["namespace"])
