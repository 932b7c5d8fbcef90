"""The API server, by the person's own kubeconfig. JSON in, JSON out; nothing here has rights of its own."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import urllib3
from kubernetes import client, config
from kubernetes.config import kube_config

from llmbatch.cli import objects
from llmbatch.cli.told import CommandError, note
from llmbatch.common.depth import bounded
from llmbatch.common.text import folded, one_line
from llmbatch.kube.permissions import JOBS, Resource

Json = dict[str, Any]

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
QUOTAS = Resource("", "v1", "resourcequotas")
REQUEST_SECONDS = 30
UNSERVED = "the server could not find the requested resource"
"""What kubectl makes of a path that is not served, too."""
EVERYWHERE = "*"
"""In place of a namespace: all of them, or of what is in none."""


@dataclass(frozen=True)
class Target:
    """Which cluster and namespace, as the options say; None: as the kubeconfig does."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


class ApiError(CommandError):
    """The API server refused a call, or did not answer; `status` is the HTTP status, or 0."""

    def __init__(self, status: int, message: str) -> None:
        """Keep what it said."""
        super().__init__(message)
        self.status = status


class Cluster:
    """Calls to the API server, each of them once and within a time limit."""

    def __init__(self, api: Any, namespace: str) -> None:  # noqa: ANN401 - the generated client has no type information
        """Use a configured ApiClient; `namespace` is the one that commands are about."""
        self.api = api
        self.namespace = namespace
        self.clock = datetime.now(UTC)
        """The moment of the last answer, by the API server's clock."""

    def told_to(self, command: str, name: str) -> str:
        """Name a command about a BatchJob, so that it can be run as it stands."""
        return f"kubectl llmbatch {command} {name} -n {self.namespace}"

    @classmethod
    def connect(cls, target: Target) -> Self:
        """Read the kubeconfig.

        Raises:
            CommandError: There is none, or it can't be used.
        """
        # The package reads the variable when it is imported, which may be long ago.
        file = target.kubeconfig or os.environ.get("KUBECONFIG") or None
        configuration = client.Configuration()
        configuration.retries = False
        try:
            config.load_kube_config(file, target.context, configuration)  # type: ignore[no-untyped-call]  # the package is untyped
            used = _context(file, target.context)
        except Exception as error:  # noqa: BLE001 - the package reads whatever is there as if it were as it should be
            told = folded(str(error)).rstrip(".") or type(error).__name__
            raise CommandError(
                f"kubeconfig {file or '~/.kube/config'} can't be used: {told}; name one with --kubeconfig, and a context"
                " of it with --context"
            ) from None
        namespace = target.namespace or str(used.get("namespace") or "default")
        objects.check_name(namespace, "namespace")
        return cls(client.ApiClient(configuration), namespace)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Json | None:
        """Read an object; None: it does not exist.

        Raises:
            CommandError: The name is empty: all objects would be listed; or no object can have it.
        """
        if not name:
            raise CommandError(f"a name is empty where one of {resource.plural} is to be named: give its name")
        objects.check_name(name, resource.plural)
        try:
            return self.request("GET", self._path(resource, namespace, name))
        except ApiError as error:
            if error.status == 404 and f'"{name}"' in str(error):
                return None
            raise

    def job(self, name: str) -> Json:
        """Read a BatchJob.

        Raises:
            CommandError: There is none.
        """
        if (found := self.get(JOBS, name)) is None:
            raise CommandError(
                f"BatchJob {self.namespace}/{name} does not exist: kubectl get bj -n {self.namespace} lists those that do"
            )
        return found

    def items(self, resource: Resource, namespace: str = "", selector: str = "") -> list[Json]:
        """List objects."""
        found: list[Json] = []
        query = {"labelSelector": selector, "limit": "500"}
        while True:
            page = self.request("GET", self._path(resource, namespace), query=query)
            found += page.get("items") or []
            if not (more := (page.get("metadata") or {}).get("continue")):
                return found
            query["continue"] = more

    def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        """Make an object; with `dry_run` it is only judged by all rules of the API server."""
        query = {"dryRun": "All"} if dry_run else {}
        return self.request("POST", self._path(resource, ""), body=body, query=query)

    def delete(self, resource: Resource, name: str) -> None:
        """Delete an object; one that is gone already is fine."""
        try:
            self.request("DELETE", self._path(resource, "", name))
        except ApiError as error:
            if error.status != 404:
                raise

    def clear(self, resource: Resource, name: str) -> None:
        """Delete what is of no use any more; that it can't be is only told, and takes no other error's place."""
        try:
            self.delete(resource, name)
        except ApiError as error:
            what = f"{resource.plural}/{name}"
            note(f"{what} may be left: {error}; look, and delete it: kubectl delete -n {self.namespace} {what}")

    def may(self, verb: str, resource: Resource, subresource: str = "") -> bool:
        """Ask whether the person may do something in the namespace."""
        asked = {
            "namespace": self.namespace,
            "verb": verb,
            "group": resource.group,
            "resource": resource.plural,
            "subresource": subresource,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = self.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        return bool((answer.get("status") or {}).get("allowed"))

    def request(self, method: str, path: str, *, body: Json | None = None, query: dict[str, str] | None = None) -> Json:
        """Send a request, and give what is answered.

        Raises:
            ApiError: The API server refused it, or did not answer.
        """
        given = [(key, value) for key, value in (query or {}).items() if value]
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        verb, url, prepared, _, _ = self.api.param_serialize(
            method, path, query_params=given, header_params=headers, auth_settings=["BearerToken"]
        )
        try:
            response = self.api.call_api(verb, url, prepared, body, _request_timeout=REQUEST_SECONDS)
            raw = response.read()
        except (client.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            why = folded(str(getattr(error, "reason", None) or error))
            raise ApiError(
                0, f"no answer from the API server {self.api.configuration.host}: {why}; is it the right --context?"
            ) from None
        if date := response.headers.get("Date"):
            self.clock = parsedate_to_datetime(date)
        try:
            parsed = json.loads(bounded(raw))
        except ValueError:
            parsed = None
        if not 200 <= response.status <= 299:
            raise _refused(response.status, _complaint(response.status, parsed, raw))
        if not isinstance(parsed, dict):
            raise ApiError(response.status, f"what answers at {self.api.configuration.host} is no API server")
        return parsed

    def _path(self, resource: Resource, namespace: str, name: str = "") -> str:
        inside = () if namespace == EVERYWHERE else ("namespaces", namespace or self.namespace)
        return "/".join(part for part in (resource.prefix, *inside, resource.plural, name) if part)


def _context(file: str | None, name: str | None) -> Json:
    """Give a context of a kubeconfig; only without a name has there to be a current one."""
    if name is None:
        _, active = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call]  # the package is untyped
        return dict(active["context"])
    merged = kube_config.KubeConfigMerger(file or kube_config.KUBE_CONFIG_DEFAULT_LOCATION).config  # type: ignore[no-untyped-call]  # as above
    return dict(merged["contexts"].get_with_name(name)["context"].value)


def _complaint(status: int, parsed: object, raw: bytes) -> str:
    """Give the words of a refusal. It need not be a Status: a path that is not served, an API server that is busy, and what
    stands before it answer as they like.
    """
    if isinstance(parsed, dict):
        return folded(str(parsed.get("message") or f"status {status}"))
    if status == 404:
        return UNSERVED
    told = raw[:1024].decode(errors="replace")
    return f"status {status}" if not told.strip() or "<" in told else f"status {status}: {one_line(told)}"


def _refused(status: int, message: str) -> ApiError:
    remedy = ""
    if status == 401:
        remedy = "; log in again: the credentials of your kubeconfig are not accepted"
    elif status == 403 and "cannot" in message:
        remedy = "; ask for that permission (kubectl llmbatch doctor names all that are missing)"
    elif message == UNSERVED:
        remedy = "; install llmbatch's chart in this cluster, or name another with --context"
    return ApiError(status, f"{message}{remedy}")
