"""Every permission the operator uses; the chart's RBAC is the same list, and a call outside it is refused here."""

from collections.abc import Mapping
from dataclasses import dataclass

from llmbatch.api import BATCHGATEWAYS, BATCHJOBS, GROUP, VERSION


@dataclass(frozen=True)
class Resource:
    """A kind of object as the API server names it."""

    group: str
    version: str
    plural: str

    @property
    def prefix(self) -> str:
        """Path of the API group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


Permissions = Mapping[tuple[Resource, str], frozenset[str]]
"""Verbs by kind of object and subresource."""

JOBS = Resource(GROUP, VERSION, BATCHJOBS)
GATEWAYS = Resource(GROUP, VERSION, BATCHGATEWAYS)
SECRETS = Resource("", "v1", "secrets")
CONFIGMAPS = Resource("", "v1", "configmaps")
CLAIMS = Resource("", "v1", "persistentvolumeclaims")
PODS = Resource("", "v1", "pods")
EVENTS = Resource("", "v1", "events")
KUBERNETES_JOBS = Resource("batch", "v1", "jobs")
LEASES = Resource("coordination.k8s.io", "v1", "leases")

PERMISSIONS: Permissions = {
    (JOBS, ""): frozenset({"get", "list", "watch", "patch"}),
    (JOBS, "status"): frozenset({"patch"}),
    # For clusters that let only those set blockOwnerDeletion who may update the owner's finalizers.
    (JOBS, "finalizers"): frozenset({"update"}),
    (GATEWAYS, ""): frozenset({"get", "list", "watch"}),
    (GATEWAYS, "status"): frozenset({"patch"}),
    (SECRETS, ""): frozenset({"get", "create", "patch"}),
    (CONFIGMAPS, ""): frozenset({"get", "create", "patch"}),
    (CLAIMS, ""): frozenset({"get"}),
    (PODS, ""): frozenset({"list"}),
    (EVENTS, ""): frozenset({"create", "list"}),
    (KUBERNETES_JOBS, ""): frozenset({"get", "list", "watch", "create", "delete"}),
}

DISPENSABLE: Permissions = {(KUBERNETES_JOBS, ""): frozenset({"watch"})}
"""What the operator can do without, as under a role from before it was used: it then asks in place of being told."""

OWN_PERMISSIONS: Permissions = {
    (LEASES, ""): frozenset({"get", "create", "update"}),
    # About its own pod, when the namespace of a BatchJob is being deleted and takes no event any more.
    (EVENTS, ""): frozenset({"create"}),
}
"""What the operator uses in the namespace that it runs in, and nowhere else."""

TEST_PERMISSIONS: Permissions = {
    (JOBS, ""): frozenset({"get", "create", "delete"}),
    (GATEWAYS, ""): frozenset({"create", "delete"}),
    (CONFIGMAPS, ""): frozenset({"create", "delete"}),
}
"""What `llmbatch selftest` uses in the namespace of its BatchJob, under an account of its own."""

TEST_OWN_PERMISSIONS: Permissions = {(PODS, ""): frozenset({"list"})}
"""What it uses in the namespace of the release."""
