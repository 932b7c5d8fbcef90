"""What the BatchJobs of a namespace need, looked at one by one: a line for each, and what to do where something is missing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from llmbatch import __version__
from llmbatch.api import BATCHGATEWAYS, BATCHJOBS, GROUP, VERSION, crd
from llmbatch.api.batchgateway import BatchGatewaySpec, BatchGatewayStatus
from llmbatch.cli import installation, objects
from llmbatch.cli.cluster import CRDS, EVERYWHERE, QUOTAS, ApiError, Cluster, Json
from llmbatch.cli.installation import Installation
from llmbatch.cli.told import NO, YES, say
from llmbatch.kube.permissions import CLAIMS, CONFIGMAPS, GATEWAYS, JOBS, LEASES, PODS, SECRETS, Resource
from llmbatch.transfer.pure.pod_template import amount

SILENT_SECONDS = 60
"""A Lease that was not renewed for so long has no holder that works."""
OURS = {BATCHJOBS: crd.batchjob, BATCHGATEWAYS: crd.batchgateway}
NEEDED: tuple[tuple[str, Resource, str, str], ...] = (
    ("get", JOBS, "", "watch, results, errors and retry"),
    ("create", JOBS, "", "submit and retry"),
    ("get", GATEWAYS, "", "submit"),
    ("list", GATEWAYS, "", "doctor"),
    ("create", CONFIGMAPS, "", "submit"),
    ("delete", CONFIGMAPS, "", "submit, when the BatchJob is refused"),
    ("get", CONFIGMAPS, "", "results from a ConfigMap, and retry"),
    ("get", SECRETS, "", "results from a Secret"),
    ("get", CLAIMS, "", "results from a volume"),
    ("create", PODS, "", "results from a volume"),
    ("get", PODS, "", "results from a volume"),
    ("delete", PODS, "", "results from a volume"),
    # By a WebSocket it is the one or the other, as the release of Kubernetes has it.
    ("get", PODS, "exec", "results from a volume"),
    ("create", PODS, "exec", "results from a volume"),
)
"""What the commands do in the cluster: verb, resource, subresource, and for what."""
_LIMITING = ("pods", "count/pods", "count/jobs.batch", "secrets", "count/secrets", "configmaps", "count/configmaps")
"""Of a ResourceQuota: what keeps transfer pods and results from being made when it is used up."""


@dataclass(frozen=True)
class Line:
    """What was found about one thing."""

    verdict: Literal["ok", "problem", "unseen"]
    what: str
    found: str

    @property
    def told(self) -> str:
        """The line as it is written."""
        return f"{self.verdict:8}{self.what}: {self.found}"


def examine(cluster: Cluster, operator_namespace: str) -> int:
    """Look at everything, and say what was found."""
    problems = 0
    for line in _lines(cluster, operator_namespace):
        say(line.told)
        problems += line.verdict == "problem"
    say(f"{problems or 'no'} problem{'s' if problems != 1 else ''} in namespace {cluster.namespace}")
    return NO if problems else YES


def _lines(cluster: Cluster, operator_namespace: str) -> Iterator[Line]:
    version = cluster.request("GET", "/version").get("gitVersion", "of an unknown release")
    yield Line("ok", "API server", f"{cluster.api.configuration.host}, Kubernetes {version}")
    served = _served(cluster)
    for plural, ours in OURS.items():
        yield _definition(cluster, plural, ours(), is_served=plural in served)
    yield from _operators(cluster, operator_namespace)
    if BATCHGATEWAYS in served:
        yield from _or_unseen("BatchGateways", _gateways(cluster))
    yield from _or_unseen("ResourceQuotas", _quotas(cluster))
    yield from _permissions(cluster)


def _or_unseen(what: str, lines: Iterator[Line]) -> Iterator[Line]:
    try:
        yield from lines
    except ApiError as error:
        if error.status != 403:
            raise
        yield Line("unseen", what, "you may not list them")


# --- the definitions -------------------------------------------------------------------------------------------------


def _served(cluster: Cluster) -> set[str]:
    try:
        listed = cluster.request("GET", f"/apis/{GROUP}/{VERSION}")
    except ApiError as error:
        if error.status != 404:
            raise
        return set()
    return {str(item["name"]) for item in listed.get("resources") or []}


def _definition(cluster: Cluster, plural: str, ours: Json, *, is_served: bool) -> Line:
    name = f"{plural}.{GROUP}"
    what = f"CustomResourceDefinition {name}"
    if not is_served:
        return Line("problem", what, f"{VERSION} is not served; install the chart, or kubectl apply -f crds/")
    try:
        found = cluster.get(CRDS, name, EVERYWHERE)
    except ApiError as error:
        if error.status != 403:
            raise
        return Line("ok", what, f"{VERSION} is served; you may not see whether it is the one of llmbatch {__version__}")
    known, here = _members(_schema(found or {})), _members(_schema(ours))
    if missing := sorted(here - known):
        remedy = "upgrade the chart, or install the release of llmbatch[cli] that the cluster has"
        return Line("problem", what, f"has no {_few(missing)}, which llmbatch {__version__} has; {remedy}")
    if more := sorted(known - here):
        remedy = "install the release of llmbatch[cli] that the cluster has"
        return Line("problem", what, f"has {_few(more)}, which llmbatch {__version__} has not; {remedy}")
    return Line("ok", what, f"{VERSION}, as of llmbatch {__version__}")


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _schema(definition: Json) -> Json:
    versions = (definition.get("spec") or {}).get("versions") or []
    found: Json = next((item for item in versions if item["name"] == VERSION), {})
    schema: Json = (found.get("schema") or {}).get("openAPIV3Schema") or {}
    return schema


def _members(schema: Any, path: str = "") -> set[str]:  # noqa: ANN401 - JSON has no narrower type
    """Give the paths of all fields: an API server may store the rest in words of its own."""
    if not isinstance(schema, dict):
        return set()
    found: set[str] = set()
    for name, inner in (schema.get("properties") or {}).items():
        below = f"{path}.{name}" if path else name
        found |= {below, *_members(inner, below)}
    found |= _members(schema.get("items"), f"{path}[]")
    return found | _members(schema.get("additionalProperties"), f"{path}{{}}")


# --- the operator ----------------------------------------------------------------------------------------------------


def _operators(cluster: Cluster, namespace: str) -> Iterator[Line]:
    try:
        found = installation.find(cluster, namespace)
    except ApiError as error:
        if error.status != 403:
            raise
        yield Line("unseen", "operator", "you may not list Deployments; whether it works shows at the BatchGateways")
        return
    if not found:
        remedy = (
            "install the chart; if it is there in a namespace that you may not see, name it with --operator-namespace"
        )
        yield Line("problem", "operator", f"no Deployment of it was found; {remedy}")
        return
    # Others, in other people's namespaces, are other people's.
    ours = [item for item in found if item.watches(cluster.namespace)]
    if not ours:
        remedy = "add it to the chart's watchNamespaces"
        yield Line("problem", "operator", f"none works in namespace {cluster.namespace}; {remedy}")
    for item in ours:
        yield _deployment(item)
        yield _lease(cluster, item)


def _deployment(found: Installation) -> Line:
    what = f"Deployment {found.namespace}/{found.name}"
    told = f"{found.ready} of {found.replicas} pods are ready"
    if found.ready:
        return Line("ok", what, told)
    return Line("problem", what, f"{told}; kubectl describe pods -n {found.namespace} says why")


def _lease(cluster: Cluster, found: Installation) -> Line:
    what = f"Lease {found.namespace}/{found.settings.lease_name}"
    try:
        lease = cluster.get(LEASES, found.settings.lease_name, found.namespace)
    except ApiError as error:
        if error.status != 403:
            raise
        return Line("unseen", what, "you may not see it")
    spec = (lease or {}).get("spec") or {}
    remedy = f"kubectl logs -n {found.namespace} deployment/{found.name} says why"
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        return Line("problem", what, f"no operator holds it, so that none works; {remedy}")
    age = (cluster.clock - _moment(spec["renewTime"])).total_seconds()
    if age > SILENT_SECONDS:
        return Line("problem", what, f"{spec['holderIdentity']} has not renewed it for {age:.0f} s; {remedy}")
    return Line("ok", what, f"{spec['holderIdentity']} works")


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# --- gateways and quotas ---------------------------------------------------------------------------------------------


def _gateways(cluster: Cluster) -> Iterator[Line]:
    found = cluster.items(GATEWAYS)
    if not found:
        yield Line(
            "problem",
            "BatchGateways",
            f"there is none in namespace {cluster.namespace}; apply one, see docs/batchgateway.md",
        )
    for item in found:
        what = f"BatchGateway {item['metadata']['name']}"
        status = objects.parsed(BatchGatewayStatus, item.get("status") or {}, f"status of {what}")
        ready = status.condition("Ready")
        if ready is None or status.observed_generation != item["metadata"].get("generation"):
            yield Line("problem", what, "no operator has looked at it as it is now; see above whether one works here")
        elif ready.status != "True":
            yield Line("problem", what, f"{ready.reason}: {ready.message}")
        else:
            yield Line("ok", what, f"{ready.reason}, {status.active_batches or 0} batches under way")
        yield from _tokens(what, objects.parsed(BatchGatewaySpec, item["spec"], f"spec of {what}"), status)


def _tokens(what: str, spec: BatchGatewaySpec, status: BatchGatewayStatus) -> Iterator[Line]:
    limits = spec.limits
    if limits.max_active_batches and (status.active_batches or 0) >= limits.max_active_batches:
        told = f"all {limits.max_active_batches} of limits.maxActiveBatches are under way: further ones wait for an end"
        yield Line("ok", f"{what} slots", told)
    if not limits.max_enqueued_tokens:
        return
    most, used = status.learned_tokens or limits.max_enqueued_tokens, status.enqueued_tokens or 0
    told = f"{used} of {most} tokens are reserved, {status.queued_batches or 0} batches wait"
    if status.learned_tokens is not None:
        remedy = "set limits.maxEnqueuedTokens to what the provider really gives"
        told = f"{told}; the provider has refused a batch below limits.maxEnqueuedTokens ({limits.max_enqueued_tokens}): {remedy}"
        yield Line("problem", f"{what} quota", told)
        return
    yield Line("ok", f"{what} quota", told)


def _quotas(cluster: Cluster) -> Iterator[Line]:
    for item in cluster.items(QUOTAS):
        status, what = item.get("status") or {}, f"ResourceQuota {item['metadata']['name']}"
        hard, used = status.get("hard") or {}, status.get("used") or {}
        full = [
            f"{used[name]} of {hard[name]} {name}"
            for name in _LIMITING
            if name in hard and name in used and (amount(used[name]) or 0) >= (amount(hard[name]) or 0)
        ]
        if full:
            remedy = "transfer pods or results can't be made: delete what is not needed, or have it raised"
            yield Line("problem", what, f"{', '.join(full)} are used; {remedy}")
        else:
            yield Line("ok", what, "has room")


# --- the person ------------------------------------------------------------------------------------------------------


def _permissions(cluster: Cluster) -> Iterator[Line]:
    denied = [need for need in NEEDED if not cluster.may(need[0], need[1], need[2])]
    for verb, resource, subresource, use in denied:
        name = "/".join(part for part in (resource.plural, subresource) if part)
        of = f".{resource.group}" if resource.group else ""
        has_it = "the role edit in the namespace has it"
        if resource.group:
            has_it += ", or with watchNamespaces the chart's Role llmbatch-edit"
        remedy = f"needed for {use}; ask for it, {has_it}"
        yield Line("problem", f"you may not {verb} {name}{of}", remedy)
    if not denied:
        yield Line("ok", "your permissions", f"all that the commands need in namespace {cluster.namespace}")
