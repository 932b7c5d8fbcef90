"""After an uninstall no BatchJob is held, and whoever owns one is told what is at the provider."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmbatch.api import FINALIZER
from llmbatch.api.base import timestamp
from llmbatch.api.reasons import Reason
from llmbatch.kube.client import Cluster
from llmbatch.kube.events import Recorder
from llmbatch.process.release import InstalledError, Release
from llmbatch.settings import Settings
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import cluster_of

Json = dict[str, Any]

OWN = "llmbatch-system"
PODS = "app.kubernetes.io/component=operator"


@pytest.fixture
async def cluster(api: ApiServer) -> AsyncIterator[Cluster]:
    made = cluster_of(api)
    yield made
    await made.close()


def release(cluster: Cluster, *namespaces: str) -> Release:
    settings = Settings(namespace=OWN, pod_name="uninstall", watch_namespaces=namespaces)
    return Release(settings, cluster, Recorder(cluster, OWN, "uninstall"), pause_seconds=0.01)


def job(name: str, status: Json, *others: str, namespace: str = "team-a", **metadata: Any) -> Json:
    made = build.batchjob(name, namespace, metadata={"finalizers": [*others, FINALIZER], **metadata})
    return {**made, "status": status}


def operator_pod(api: ApiServer, **metadata: Any) -> None:
    labels = dict([PODS.split("=")])
    api.put("pods", {"metadata": {"name": "llmbatch-1", "namespace": OWN, "labels": labels, **metadata}})


def finalizers(api: ApiServer, name: str, namespace: str = "team-a") -> list[str]:
    found = api.get("batchjobs", name, namespace)
    assert found is not None
    return found["metadata"].get("finalizers") or []


async def test_every_job_is_let_go_and_finalizers_of_others_stay(api: ApiServer, cluster: Cluster) -> None:
    api.put("batchjobs", job("running", build.submitted().dump()))
    api.put("batchjobs", job("shared", build.submitted().dump(), "example.com/others"))
    work = release(cluster)
    assert await work.run("", 0) == 0
    assert work.released == 2
    assert finalizers(api, "running") == []
    assert finalizers(api, "shared") == ["example.com/others"]


async def test_who_has_something_under_way_is_told_and_nobody_else(api: ApiServer, cluster: Cluster) -> None:
    api.put("batchjobs", job("running", build.submitted().dump()))
    api.put("batchjobs", job("owed", build.owed().dump()))
    api.put("batchjobs", job("new", {}))
    api.put("batchjobs", job("ended", build.ended().dump()))
    await release(cluster).run("", 0)
    told = {event["involvedObject"]["name"]: event for event in api.objects("events")}
    assert set(told) == {"running", "owed"}
    assert told["running"]["reason"] == Reason.RELEASED
    assert "batch batch-1, file file-in stay at the provider" in told["running"]["message"]
    assert "perhaps a batch of input file file-in" in told["owed"]["message"]


async def test_a_job_that_is_being_deleted_is_gone_and_what_it_leaves_is_told(api: ApiServer, cluster: Cluster) -> None:
    api.put("batchjobs", job("job", build.submitted().dump(), deletionTimestamp=timestamp(build.NOW)))
    assert await release(cluster).run("", 0) == 0
    assert api.get("batchjobs", "job") is None
    (event,) = api.objects("events")
    assert (event["type"], event["reason"]) == ("Warning", Reason.REMOTE_FILES_RETAINED)
    assert "left at the provider: batch batch-1, file file-in" in event["message"]


async def test_with_watch_namespaces_the_jobs_of_others_are_left_alone(api: ApiServer, cluster: Cluster) -> None:
    for namespace in ("team-a", "team-b", "team-c"):
        api.put("batchjobs", job("job", {}, namespace=namespace))
    await release(cluster, "team-a", "team-b").run("", 0)
    assert [finalizers(api, "job", name) for name in ("team-a", "team-b", "team-c")] == [[], [], [FINALIZER]]


async def test_nothing_is_done_while_a_pod_of_the_operator_is_left(api: ApiServer, cluster: Cluster) -> None:
    operator_pod(api)
    api.put("batchjobs", job("job", {}))
    running = asyncio.create_task(release(cluster).run(PODS, 60))
    while len([call for call in api.calls if call.plural == "pods"]) < 3:  # noqa: ASYNC110 - the server has no event
        await asyncio.sleep(0.01)
    assert finalizers(api, "job") == [FINALIZER]
    api.remove("pods", "llmbatch-1", OWN)
    assert await running == 0
    assert finalizers(api, "job") == []


async def test_a_pod_that_never_ends_is_not_waited_for_for_ever(api: ApiServer, cluster: Cluster) -> None:
    operator_pod(api, deletionTimestamp=timestamp(build.NOW), finalizers=["example.com/node"])
    api.put("batchjobs", job("job", {}))
    assert await release(cluster).run(PODS, 0.05) == 0
    assert finalizers(api, "job") == []


async def test_no_job_is_let_go_by_what_was_applied_beside_an_operator_that_stays(
    api: ApiServer, cluster: Cluster
) -> None:
    """`helm template | kubectl apply` applies what an uninstall is to make, too."""
    operator_pod(api)
    api.put("batchjobs", job("running", build.submitted().dump()))
    with pytest.raises(InstalledError, match=r"nobody deletes its pods \(llmbatch-1\).* --no-hooks"):
        await release(cluster).run(PODS, 0.05)
    assert finalizers(api, "running") == [FINALIZER]
    assert api.objects("events") == []


async def test_a_job_that_changes_meanwhile_is_read_anew(api: ApiServer, cluster: Cluster) -> None:
    api.put("batchjobs", job("job", build.submitted().dump()))
    api.fault("status", "patch", "batchjobs", status=422, times=2)
    api.fault("status", "list", "batchjobs", status=503, times=1)
    assert await release(cluster).run("", 0) == 0
    assert finalizers(api, "job") == []
    assert len(api.objects("events")) == 1, "told once"


async def test_a_job_that_an_operator_still_holds_is_looked_at_again(api: ApiServer, cluster: Cluster) -> None:
    """A pod that was not seen has put the finalizer back."""
    api.put("batchjobs", job("job", build.submitted().dump()))
    times = 2

    def put_back(_: str, found: Json) -> None:
        nonlocal times
        if found["_plural"] == "batchjobs" and not found["metadata"].get("finalizers") and times:
            times -= 1
            asyncio.get_running_loop().call_soon(
                lambda: api.edit("batchjobs", "job", {"metadata": {"finalizers": [FINALIZER]}})
            )

    api.on_change.append(put_back)
    assert await release(cluster).run("", 0) == 0
    assert finalizers(api, "job") == []
    assert len(api.objects("events")) == 1


async def test_what_can_not_be_let_go_is_counted(api: ApiServer, cluster: Cluster) -> None:
    api.put("batchjobs", job("job", {}))
    api.fault("status", "patch", "batchjobs", status=409, times=-1)
    assert await release(cluster).run("", 0) == 1


async def test_without_the_definitions_there_is_nothing_to_do(api: ApiServer, cluster: Cluster) -> None:
    api.unserved = {"batchjobs", "batchgateways"}
    assert await release(cluster).run("", 0) == 0
