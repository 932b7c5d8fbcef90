"""An operator that lacks something says what, one by one, and doesn't begin."""

from collections.abc import AsyncIterator

import pytest

from llmbatch.controller.preflight import check
from llmbatch.edges.cluster import Cluster
from llmbatch.edges.permissions import PERMISSIONS, Resource
from tests.support.apiserver import ApiServer
from tests.support.inprocess import cluster_of

ALL = [
    pytest.param(resource, subresource, verb, id=f"{verb} {resource.plural}{'/' if subresource else ''}{subresource}")
    for (resource, subresource), verbs in PERMISSIONS.items()
    for verb in sorted(verbs)
]


@pytest.fixture
async def cluster(api: ApiServer) -> AsyncIterator[Cluster]:
    made = cluster_of(api)
    yield made
    await made.close()


async def test_nothing_is_missing(cluster: Cluster) -> None:
    assert await check(cluster, ()) == []


@pytest.mark.parametrize(("resource", "subresource", "verb"), ALL)
async def test_each_missing_permission_is_named(
    api: ApiServer, cluster: Cluster, resource: Resource, subresource: str, verb: str
) -> None:
    name = f"{resource.plural}/{subresource}" if subresource else resource.plural
    api.denied = {(verb, name)}
    (said,) = await check(cluster, ())
    assert f"may not {verb} {name}.{resource.group or 'core'} in all namespaces" in said


async def test_each_namespace_is_asked_for(api: ApiServer, cluster: Cluster) -> None:
    api.denied = {("get", "secrets")}
    said = await check(cluster, ("team-a", "team-b"))
    assert [line.split(" in ")[1].split(":")[0] for line in said] == ["namespace team-a", "namespace team-b"]


async def test_a_crd_that_is_not_served_is_named(api: ApiServer, cluster: Cluster) -> None:
    api.unserved = {"batchgateways"}
    (said,) = await check(cluster, ())
    assert said.startswith("The API server does not serve batchgateways.llmbatch.io/v1alpha1: install the CRDs")
