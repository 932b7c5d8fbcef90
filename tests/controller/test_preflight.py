"""An operator that lacks something says what, one by one, and doesn't begin."""

from collections.abc import AsyncIterator

import pytest

from llmbatch.kube.client import Cluster
from llmbatch.kube.permissions import DISPENSABLE, OWN_PERMISSIONS, PERMISSIONS, Resource
from llmbatch.process.preflight import check
from tests.support.apiserver import ApiServer
from tests.support.inprocess import cluster_of

ALL = [
    pytest.param(
        where, (resource, subresource), verb, id=f"{verb} {resource.plural}{'/' if subresource else ''}{subresource}"
    )
    for where, needed in (("in all namespaces", PERMISSIONS), ("in namespace llmbatch-system", OWN_PERMISSIONS))
    for (resource, subresource), verbs in needed.items()
    for verb in sorted(verbs - DISPENSABLE.get((resource, subresource), frozenset()))
    if needed is PERMISSIONS or verb not in PERMISSIONS.get((resource, subresource), ())
]


@pytest.fixture
async def cluster(api: ApiServer) -> AsyncIterator[Cluster]:
    made = cluster_of(api)
    yield made
    await made.close()


async def test_nothing_is_missing(cluster: Cluster) -> None:
    assert await check(cluster, (), "llmbatch-system") == []


@pytest.mark.parametrize(("where", "permission", "verb"), ALL)
async def test_each_missing_permission_is_named(
    api: ApiServer, cluster: Cluster, where: str, permission: tuple[Resource, str], verb: str
) -> None:
    resource, subresource = permission
    name = f"{resource.plural}/{subresource}" if subresource else resource.plural
    api.denied = {(verb, name)}
    (said,) = await check(cluster, (), "llmbatch-system")
    assert f"may not {verb} {name}.{resource.group or 'core'} {where}" in said


async def test_what_it_can_do_without_is_not_asked_for(api: ApiServer, cluster: Cluster) -> None:
    api.denied = {("watch", "jobs")}
    assert await check(cluster, (), "llmbatch-system") == []


async def test_each_namespace_is_asked_for(api: ApiServer, cluster: Cluster) -> None:
    api.denied = {("get", "secrets")}
    said = await check(cluster, ("team-a", "team-b"), "llmbatch-system")
    assert [line.split(" in ")[1].split(":")[0] for line in said] == ["namespace team-a", "namespace team-b"]


async def test_what_is_used_in_the_own_namespace_too_is_asked_for_there(api: ApiServer, cluster: Cluster) -> None:
    api.denied = {("create", "events")}
    for namespaces, where in (
        (("team-a",), ["team-a", "llmbatch-system"]),
        (("llmbatch-system",), ["llmbatch-system"]),
    ):
        said = await check(cluster, namespaces, "llmbatch-system")
        assert [line.split(" in namespace ")[1].split(":")[0] for line in said] == where


async def test_a_crd_that_is_not_served_is_named(api: ApiServer, cluster: Cluster) -> None:
    api.unserved = {"batchgateways"}
    (said,) = await check(cluster, (), "llmbatch-system")
    assert said.startswith("The API server does not serve batchgateways.llmbatch.io/v1alpha1: install the CRDs")
