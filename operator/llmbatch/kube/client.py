"""The Kubernetes API: the one place that touches the kubernetes package. JSON in, JSON out."""

import os
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Self

from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from llmbatch.common.proxies import proxy_for
from llmbatch.common.text import one_line
from llmbatch.kube.clock import Clock
from llmbatch.kube.errors import ClusterError, Json
from llmbatch.kube.permissions import OWN_PERMISSIONS, PERMISSIONS, Permissions, Resource
from llmbatch.kube.transport import AnswerTooLargeError, Transport

__all__ = ["Cluster", "ClusterError", "Json", "StatusRefusedError"]

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
FIELD_MANAGER = "llmbatch"
PAGE = 500
"""Objects of a list that are read at one time, at most."""
MOST_PAGE_BYTES = 8 * 1024 * 1024
"""Of a page; fewer objects are read at one time where it has more. An object may have 1.5 MB, whoever made it."""


class StatusRefusedError(ClusterError):
    """The API server answered that it won't store a status: a policy, a webhook that is down, a quota, full storage."""


NO_REFUSAL = frozenset({0, 404, 409, 429, 502, 503})
"""No answer, the object is gone, it has moved on, slow down, out of order: nothing that a status write alone would meet."""


class NoClusterError(Exception):
    """Nothing says where the API server is."""


class Cluster:
    """Calls to the API server, each within the declared permissions and a time limit."""

    def __init__(self, api: Any, declared: Sequence[Permissions] = (PERMISSIONS, OWN_PERMISSIONS)) -> None:  # noqa: ANN401 - the generated client has no type information
        """Use a configured kubernetes.aio ApiClient, for what is declared."""
        self._clock = Clock()
        self.transport = Transport(api, self._clock, declared)

    def now(self) -> datetime:
        """Give the moment by the API server's clock."""
        return self._clock.now()

    @classmethod
    async def connect(cls, declared: Sequence[Permissions] = (PERMISSIONS, OWN_PERMISSIONS)) -> Self:
        """Connect with the pod's service account, or with KUBECONFIG outside a cluster.

        Raises:
            NoClusterError: There is neither.
        """
        return cls(kubernetes_client.ApiClient(await _configuration()), declared)

    async def close(self) -> None:
        """Close the connections."""
        await self.transport.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """Read an object; None when it does not exist."""
        try:
            return await self.transport.call("get", resource, namespace, name)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    async def page(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        selector: str = "",
        fields: str = "",
        limit: int = PAGE,
        after: str = "",
    ) -> tuple[list[Json], str]:
        """List a page of objects; answers them and where the next page begins ("" at the end)."""
        query = {"labelSelector": selector, "fieldSelector": fields, "continue": after}
        found, _ = await _listed(self.transport, resource, namespace, query, limit)
        return found["items"], _next(found)

    async def each(self, resource: Resource, namespace: str | None, *, selector: str = "") -> AsyncIterator[Json]:
        """Give all objects, read page by page."""
        async for page in self.pages(resource, namespace, selector=selector):
            for item in page["items"]:
                yield item

    async def pages(self, resource: Resource, namespace: str | None, *, selector: str = "") -> AsyncIterator[Json]:
        """Give all pages of a list, each with the resourceVersion that it is of."""
        query, after, limit = {"labelSelector": selector}, "?", PAGE
        while after:
            found, limit = await _listed(self.transport, resource, namespace, query, limit)
            yield found
            query["continue"] = after = _next(found)

    async def create(self, resource: Resource, namespace: str, body: Json) -> Json:
        """Make an object; 409 when it exists."""
        return await self.transport.call("create", resource, namespace, body=body)

    async def update(self, resource: Resource, namespace: str, name: str, body: Json) -> Json:
        """Replace an object, if it still has the resourceVersion that the body has (else 409)."""
        return await self.transport.call("update", resource, namespace, name, body=body)

    async def apply(self, resource: Resource, namespace: str, name: str, body: Json) -> Json:
        """Make or update an object of ours (server-side apply)."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self.transport.call(
            "patch", resource, namespace, name, body=body, content_type=APPLY_PATCH, query=query
        )

    async def patch(self, resource: Resource, namespace: str, name: str, body: list[Json]) -> Json:
        """Change an object by a JSON patch; 422 when one of its tests fails."""
        return await self.transport.call("patch", resource, namespace, name, body=body, content_type=JSON_PATCH)

    async def patch_status(
        self, resource: Resource, namespace: str, name: str, status: Json, *, resource_version: str | None = None
    ) -> Json:
        """Change an object's status by a merge patch; with a resourceVersion only if that is still current (else 409).

        Raises:
            StatusRefusedError: The API server won't store it.
            ClusterError: It gave no answer, or the object is gone or has moved on.
        """
        body: Json = {"status": status}
        if resource_version is not None:
            body["metadata"] = {"resourceVersion": resource_version}
        try:
            return await self.transport.call(
                "patch", resource, namespace, name, "status", body=body, content_type=MERGE_PATCH
            )
        except ClusterError as error:
            if error.status in NO_REFUSAL:
                raise
            raise StatusRefusedError(error.status, error.reason, str(error)) from error

    async def patch_status_where(
        self, resource: Resource, namespace: str, name: str, tests: list[Json], steps: list[Json]
    ) -> Json:
        """Change an object's status by a JSON patch, whose tests have to hold (else 422), whatever else has changed."""
        body = [*tests, *steps]
        return await self.transport.call(
            "patch", resource, namespace, name, "status", body=body, content_type=JSON_PATCH
        )

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object and, in the background, what it owns; one that is gone already is fine."""
        try:
            await self.transport.call("delete", resource, namespace, name, body={"propagationPolicy": "Background"})
        except ClusterError as error:
            if error.status != 404:
                raise

    async def may(self, resource: Resource, subresource: str, verb: str, namespace: str) -> bool:
        """Ask whether the operator has a permission (every account may ask about itself)."""
        attributes = {"group": resource.group, "resource": resource.plural, "verb": verb}
        attributes |= {"subresource": subresource} if subresource else {}
        attributes |= {"namespace": namespace} if namespace else {}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await self.transport.request(
            "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body
        )
        return bool(answer.get("status", {}).get("allowed"))

    async def served(self, resource: Resource) -> bool:
        """Tell whether the API server serves a kind of object."""
        try:
            found = await self.transport.request("GET", resource.prefix)
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return any(item.get("name") == resource.plural for item in found.get("resources", []))


def apart(cluster: Cluster) -> Cluster:
    """Give a client with connections of its own, which waits for no call of another one."""
    return Cluster(*cluster.transport.apart())


async def _configuration() -> kubernetes_client.Configuration:
    """Find out where the API server is and how it is spoken to; NoClusterError: nowhere."""
    configuration = kubernetes_client.Configuration()
    # Our own work queue retries, with the state read anew.
    configuration.retries = None
    # Else aiohttp looks for a ~/.netrc, and for proxies in the environment, at every single call.
    configuration.client_session_kwargs = {"trust_env": False}
    try:
        kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # the package is untyped
    except kubernetes_config.ConfigException as outside:
        try:
            await kubernetes_config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # as above
        except Exception as error:  # whatever the package makes of that file
            found = f"this is no pod with a service account ({outside}), and KUBECONFIG can't be used"
            raise NoClusterError(f"No API server: {found}: {one_line(str(error))}") from error
    configuration.proxy = configuration.proxy or proxy_for(configuration.host, os.environ)
    return configuration


async def _listed(
    transport: Transport, resource: Resource, namespace: str | None, query: Json, limit: int
) -> tuple[Json, int]:
    """Read a page of as many objects as memory is good for, at most `limit`; answers it, and how many that were."""
    while True:
        asked = {**query, "limit": str(limit)}
        most = MOST_PAGE_BYTES if limit > 1 else None
        try:
            found = await transport.call("list", resource, namespace, query=asked, most_bytes=most)
        except AnswerTooLargeError:
            limit = max(1, limit // 8)
            continue
        if "items" not in found:
            raise ClusterError(0, "NoAnswer", f"the answer to a list of {resource.plural} is no list")
        return {**found, "items": found["items"] or []}, limit


def _next(listed: Json) -> str:
    """Say where the page after one begins; "": it is the last."""
    return str((listed.get("metadata") or {}).get("continue") or "")
