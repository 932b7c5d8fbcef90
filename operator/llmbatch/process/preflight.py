"""Checks before the work begins that the operator can do it: an operator that only seems to work is worse than none."""

from llmbatch.kube.client import Cluster
from llmbatch.kube.permissions import DISPENSABLE, GATEWAYS, JOBS, OWN_PERMISSIONS, PERMISSIONS, Permissions


async def check(cluster: Cluster, namespaces: tuple[str, ...], own_namespace: str) -> list[str]:
    """Say what is missing: a CRD that isn't served, or a permission.

    Args:
        cluster: The API server.
        namespaces: Where the operator is to work; empty: everywhere.
        own_namespace: Where it runs, and its Lease is.
    """
    missing = await unserved(cluster)
    for namespace in namespaces or ("",):
        missing += await _missing(cluster, PERMISSIONS, namespace)
    watched = not namespaces or own_namespace in namespaces
    # What is needed there anyway has been asked for.
    own = {
        key: verbs - (PERMISSIONS.get(key, frozenset()) if watched else frozenset())
        for key, verbs in OWN_PERMISSIONS.items()
    }
    return missing + await _missing(cluster, own, own_namespace)


async def unserved(cluster: Cluster) -> list[str]:
    """Say which CRDs aren't served."""
    return [
        f"The API server does not serve {resource.plural}.{resource.group}/{resource.version}:"
        " install the CRDs (chart value crds.install, or kubectl apply -f crds/)."
        for resource in (JOBS, GATEWAYS)
        if not await cluster.served(resource)
    ]


async def _missing(cluster: Cluster, needed: Permissions, namespace: str) -> list[str]:
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    missing = []
    for (resource, subresource), verbs in needed.items():
        name = f"{resource.plural}/{subresource}" if subresource else resource.plural
        missing += [
            f"The operator's service account may not {verb} {name}.{resource.group or 'core'} {where}: check its Role or ClusterRole."
            for verb in sorted(verbs - DISPENSABLE.get((resource, subresource), frozenset()))
            if not await cluster.may(resource, subresource, verb, namespace)
        ]
    return missing
