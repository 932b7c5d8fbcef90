"""The Kubernetes API: the one place that touches the kubernetes package. JSON in, JSON out."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from llmbatch.common import backoff
from llmbatch.kube.clock import Clock
from llmbatch.kube.permissions import OWN_PERMISSIONS, PERMISSIONS, Resource
from llmbatch.provider.pure import lenient, refusal

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
METHODS = {"get": "GET", "list": "GET", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
FIELD_MANAGER = "llmbatch"
REQUEST_SECONDS = 30


class ClusterError(Exception):
    """The API server refused a call, or did not answer.

    Attributes:
        status: HTTP status, or 0 when there was no answer.
        reason: The API server's reason, for example AlreadyExists.
        namespace_ends: Nothing can be made in the namespace any more: it is being deleted, or gone.
        retry_after: Seconds that the API server asks to wait; None: it doesn't say.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        namespace_ends: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """Keep what the API server said."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.namespace_ends = namespace_ends
        self.retry_after = retry_after

    @property
    def passes(self) -> bool:
        """Whether it says nothing about the object: no answer, slow down, out of order; or the object has moved on."""
        return self.status in (0, 404, 409, 429) or self.status >= 500


class StatusRefusedError(ClusterError):
    """The API server answered that it won't store a status: a policy, a webhook that is down, a quota, full storage."""


NO_REFUSAL = frozenset({0, 404, 409, 429, 502, 503})
"""No answer, the object is gone, it has moved on, slow down, out of order: nothing that a status write alone would meet."""


class Cluster:
    """Calls to the API server, each within the declared permissions and a time limit."""

    def __init__(self, api: Any) -> None:  # noqa: ANN401 - the generated client has no type information
        """Use a configured kubernetes.aio ApiClient."""
        self._api = api
        self._clock = Clock()

    def now(self) -> datetime:
        """Give the moment by the API server's clock."""
        return self._clock.now()

    @classmethod
    async def connect(cls) -> Self:
        """Connect with the pod's service account, or with KUBECONFIG outside a cluster."""
        configuration = kubernetes_client.Configuration()
        # Our own work queue retries, with the state read anew.
        configuration.retries = None
        try:
            kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # the package is untyped
        except kubernetes_config.ConfigException:
            await kubernetes_config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # as above
        return cls(kubernetes_client.ApiClient(configuration))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """Read an object; None when it does not exist."""
        try:
            return await self._call("get", resource, namespace, name)
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
        limit: int = 500,
        after: str = "",
    ) -> tuple[list[Json], str]:
        """List a page of objects; answers them and where the next page begins ("" at the end)."""
        query = {"labelSelector": selector, "fieldSelector": fields, "limit": str(limit), "continue": after}
        found = await self._call("list", resource, namespace, query=query)
        return found.get("items", []), found.get("metadata", {}).get("continue", "") or ""

    async def create(self, resource: Resource, namespace: str, body: Json) -> Json:
        """Make an object; 409 when it exists."""
        return await self._call("create", resource, namespace, body=body)

    async def update(self, resource: Resource, namespace: str, name: str, body: Json) -> Json:
        """Replace an object, if it still has the resourceVersion that the body has (else 409)."""
        return await self._call("update", resource, namespace, name, body=body)

    async def apply(self, resource: Resource, namespace: str, name: str, body: Json) -> Json:
        """Make or update an object of ours (server-side apply)."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._call("patch", resource, namespace, name, body=body, content_type=APPLY_PATCH, query=query)

    async def patch(self, resource: Resource, namespace: str, name: str, body: list[Json]) -> Json:
        """Change an object by a JSON patch; 422 when one of its tests fails."""
        return await self._call("patch", resource, namespace, name, body=body, content_type=JSON_PATCH)

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
            return await self._call("patch", resource, namespace, name, "status", body=body, content_type=MERGE_PATCH)
        except ClusterError as error:
            if error.status in NO_REFUSAL:
                raise
            raise StatusRefusedError(error.status, error.reason, str(error)) from error

    async def patch_status_where(
        self, resource: Resource, namespace: str, name: str, tests: list[Json], steps: list[Json]
    ) -> Json:
        """Change an object's status by a JSON patch, whose tests have to hold (else 422), whatever else has changed."""
        body = [*tests, *steps]
        return await self._call("patch", resource, namespace, name, "status", body=body, content_type=JSON_PATCH)

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object and, in the background, what it owns; one that is gone already is fine."""
        try:
            await self._call("delete", resource, namespace, name, body={"propagationPolicy": "Background"})
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
        answer = await self._request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        return bool(answer.get("status", {}).get("allowed"))

    async def served(self, resource: Resource) -> bool:
        """Tell whether the API server serves a kind of object."""
        try:
            found = await self._request("GET", resource.prefix)
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return any(item.get("name") == resource.plural for item in found.get("resources", []))

    async def _call(
        self,
        verb: str,
        resource: Resource,
        namespace: str | None,
        name: str = "",
        subresource: str = "",
        *,
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Json:
        declared = (PERMISSIONS.get((resource, subresource)), OWN_PERMISSIONS.get((resource, subresource)))
        if not any(verb in verbs for verbs in declared if verbs):
            raise PermissionError(f"{verb} {resource.plural}/{subresource} is not among the operator's permissions")
        parts = [resource.prefix, *(("namespaces", namespace) if namespace else ()), resource.plural, name, subresource]
        path = "/".join(part for part in parts if part)
        return await self._request(METHODS[verb], path, body=body, content_type=content_type, query=query)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Json:
        given = [(key, value) for key, value in (query or {}).items() if value]
        headers = {"Accept": "application/json", "Content-Type": content_type}
        prepared = await self._api.param_serialize(
            method, path, query_params=given, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        began = time.monotonic()
        try:
            response = await self._api.call_api(*prepared, _request_timeout=REQUEST_SECONDS)
            self._clock.learn(response.headers.get("Date"), time.monotonic() - began)
            raw = await response.read()
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            raise ClusterError(0, "NoAnswer", f"no answer from the API server to {method} {path}: {error!r}") from error
        try:
            parsed = json.loads(raw)
        except ValueError:
            parsed = {"message": raw[:200].decode(errors="replace")}
        if not isinstance(parsed, dict):
            parsed = {"message": "the answer is no object"}
        if not 200 <= response.status <= 299:
            message = str(parsed.get("message") or f"status {response.status}")
            ends = _namespace_ends(response.status, parsed.get("details"))
            wait = _retry_after(response.headers, parsed.get("details"))
            reason = str(parsed.get("reason", ""))
            raise ClusterError(response.status, reason, message, namespace_ends=ends, retry_after=wait)
        result: Json = parsed
        return result


def _retry_after(headers: Mapping[str, str], details: Any) -> float | None:  # noqa: ANN401 - JSON has no narrower type
    """Say how long the API server asks to wait, in its header or its body; never longer than its own longest."""
    wait = refusal.retry_after(headers, datetime.now(UTC))
    if wait is None and isinstance(details, dict):
        wait = lenient.number(details.get("retryAfterSeconds"))
    return None if wait is None else min(max(0.0, wait), backoff.LONGEST_SECONDS)


def _namespace_ends(status: int, details: Any) -> bool:  # noqa: ANN401 - JSON has no narrower type
    if not isinstance(details, dict):
        return False
    if status == 404:
        return details.get("kind") == "namespaces"
    causes = details.get("causes") or []
    return status == 403 and any(item.get("reason") == "NamespaceTerminating" for item in causes)
