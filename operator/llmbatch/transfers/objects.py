"""Stores results in a Secret or a ConfigMap of the BatchJob's own."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from llmbatch.api.reasons import Reason
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.permissions import SECRETS, Resource
from llmbatch.transfer.pure import naming
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.report import Problem

Json = dict[str, Any]


async def store(
    cluster: Cluster,
    resource: Resource,
    owner: Owner,
    name: str,
    data: Mapping[str, bytes | None],
    *,
    owned: bool = False,
) -> Problem | None:
    """Write data into an object of the BatchJob's own; one that exists and isn't is never overwritten.

    Answers the problem that kept the data from being stored, None once it is durably stored. Under a key whose value is None
    there is nothing then, though an earlier try may have put something there. An owned object goes with the BatchJob, one
    that isn't outlives it.
    """
    kind = "Secret" if resource is SECRETS else "ConfigMap"
    body = _body(resource, owner, name, data, owned=owned)
    try:
        # Not by apply: something that isn't this job's must not be overwritten.
        if await _made(cluster, resource, owner.namespace, body):
            return None
        found = await cluster.get(resource, owner.namespace, name)
        if found is None:
            await cluster.create(resource, owner.namespace, body)
        elif (problem := _taken(found, kind, owner, name)) is not None:
            return problem
        else:
            await _clear(cluster, resource, found, body, data)
            # That very object: one that takes its place meanwhile is not this job's.
            same = {**body, "metadata": {**body["metadata"], "uid": found["metadata"]["uid"]}}
            await cluster.apply(resource, owner.namespace, name, same)
            # What was made once is not taken away by that.
            await settle_ownership(cluster, resource, owner, name, owned=owned)
    except ClusterError as error:
        if error.status == 413 or "Too long" in str(error) or "too large" in str(error).lower():
            size = sum(len(value or b"") for value in data.values())
            message = (
                f"The results ({size} bytes) don't fit into a {kind}; name a PersistentVolumeClaim in spec.output."
            )
            return Problem(reason=Reason.OUTPUT_TOO_LARGE, message=message)
        if error.refuses:
            message = f"{kind} {owner.namespace}/{name} can't be written: {error}"
            return Problem(reason=Reason.OUTPUT_INVALID, message=message)
        raise
    return None


async def _made(cluster: Cluster, resource: Resource, namespace: str, body: Json) -> bool:
    """Make an object, unless there is one of its name; where no further one may be made (a quota), that is to be looked at."""
    try:
        await cluster.create(resource, namespace, body)
    except ClusterError as error:
        if error.status in (403, 409) and not error.namespace_ends:
            return False
        raise
    return True


async def _clear(cluster: Cluster, resource: Resource, found: Json, body: Json, keys: Iterable[str]) -> None:
    """Take away what was made under these keys and is not written again; to apply takes away nothing that was made otherwise."""
    metadata = found["metadata"]
    stale = [
        {"op": "remove", "path": f"/{member}/{key}"}
        for member in ("data", "binaryData")
        for key in keys
        if key in (found.get(member) or {}) and key not in body.get(member, {})
    ]
    if stale:
        test = {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]}
        await cluster.patch(resource, metadata["namespace"], metadata["name"], [test, *stale])


async def taken(cluster: Cluster, resource: Resource, owner: Owner, name: str) -> Problem | None:
    """Say whether the object exists and is not the BatchJob's; asked before the results are downloaded for nothing."""
    found = await cluster.get(resource, owner.namespace, name)
    return None if found is None else _taken(found, "Secret" if resource is SECRETS else "ConfigMap", owner, name)


async def settle_ownership(cluster: Cluster, resource: Resource, owner: Owner, name: str, *, owned: bool) -> None:
    """Have stored results go with the BatchJob, or outlive it, as its spec says now that it can't change any more.

    It may have been changed while they were being stored.
    """
    found = await cluster.get(resource, owner.namespace, name)
    if found is None or _taken(found, "", owner, name) is not None or _is_owned(found, owner) == owned:
        return
    references = [item for item in found["metadata"].get("ownerReferences") or [] if item.get("uid") != owner.uid]
    patch = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]},
        {"op": "add", "path": "/metadata/ownerReferences", "value": references + [owner.reference()] * owned},
    ]
    await cluster.patch(resource, owner.namespace, name, patch)


def _taken(found: Json, kind: str, owner: Owner, name: str) -> Problem | None:
    labels = found.get("metadata", {}).get("labels") or {}
    maker = labels.get(naming.LABEL_UID)
    if maker == owner.uid or _is_owned(found, owner):
        return _unfit(found, kind, owner, name)
    whose = "is not this job's"
    if labels.get(naming.LABEL_MANAGED_BY) == naming.MANAGER and maker:
        whose = f"has the results of another BatchJob (uid {maker}), which may be deleted already and has left them"
    message = (
        f"{kind} {owner.namespace}/{name}, which spec.output names, exists and {whose}: it is not overwritten."
        " Name another one in spec.output, or delete it, and the job goes on."
    )
    return Problem(reason=Reason.OUTPUT_EXISTS, message=message)


def _unfit(found: Json, kind: str, owner: Owner, name: str) -> Problem | None:
    """Say why an object of the BatchJob's own can't be written any more."""
    if found.get("immutable"):
        why = "is immutable"
    elif found.get("type", "Opaque") != "Opaque":
        why = f"is of type {found['type']}"
    elif found.get("metadata", {}).get("deletionTimestamp"):
        why = "is being deleted"
    else:
        return None
    message = (
        f"{kind} {owner.namespace}/{name}, which spec.output names, {why}: results can't be written to it."
        " Name another one in spec.output, or delete it, and the job goes on."
    )
    return Problem(reason=Reason.OUTPUT_INVALID, message=message)


def _is_owned(found: Json, owner: Owner) -> bool:
    references = found.get("metadata", {}).get("ownerReferences") or []
    return any(reference.get("uid") == owner.uid for reference in references)


def _body(resource: Resource, owner: Owner, name: str, given: Mapping[str, bytes | None], *, owned: bool) -> Json:
    body: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": owner.metadata(name, owned=owned)}
    data = {key: value for key, value in given.items() if value is not None}
    if resource is SECRETS:
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        return {**body, "kind": "Secret", "type": "Opaque", "data": encoded}
    # Results are UTF-8 unless the provider broke its own rules; then nothing of them may be lost either.
    try:
        return {**body, "data": {key: value.decode() for key, value in data.items()}}
    except UnicodeDecodeError:
        return {**body, "binaryData": {key: base64.b64encode(value).decode() for key, value in data.items()}}
