"""`helm test` says whether a release works, says why not, and leaves nothing behind."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from llmbatch.kube.client import Cluster
from llmbatch.kube.permissions import TEST_OWN_PERMISSIONS, TEST_PERMISSIONS
from llmbatch.process.selftest import Asked, SelfTest
from llmbatch.runtime.probes import ProbeServer
from llmbatch.settings import Settings
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Operator, cluster_of, kubeconfig

Json = dict[str, Any]

OWN = "llmbatch-system"
PODS = "app.kubernetes.io/component=operator"
NAME = "llmbatch-test"
MADE = (("batchjobs", NAME), ("batchgateways", NAME), ("configmaps", NAME), ("configmaps", f"{NAME}-results"))


class Probed:
    """An operator's probes, which say what they are told to."""

    def __init__(self) -> None:
        self.wrong = ""
        self._server = ProbeServer("", 0, CollectorRegistry(), alive=str, ready=lambda: self.wrong)
        self.port, self.close = self._server.port, self._server.close


@pytest.fixture
def probed() -> Iterator[Probed]:
    with contextlib.closing(Probed()) as made:
        yield made


@pytest.fixture
def quick(emulator: EmulatorServer) -> Instance:
    return emulator.instance(validating_seconds=0, in_progress_seconds=0, finalizing_seconds=0)


@pytest.fixture
async def cluster(api: ApiServer) -> AsyncIterator[Cluster]:
    made = cluster_of(api, TEST_PERMISSIONS, TEST_OWN_PERMISSIONS)
    yield made
    await made.close()


def operator_pod(api: ApiServer, name: str = "llmbatch-1", address: str = "127.0.0.1", **metadata: Any) -> None:
    labels = dict([PODS.split("=")])
    status = {"podIP": address} if address else {}
    api.put("pods", {"metadata": {"name": name, "namespace": OWN, "labels": labels, **metadata}, "status": status})


def look(cluster: Cluster, probed: Probed, *, url: str = "", seconds: float = 30.0) -> SelfTest:
    settings = Settings(namespace=OWN, watch_namespaces=(NAMESPACE, "team-b"), metrics_port=probed.port)
    return SelfTest(settings, cluster, Asked(PODS, url, NAME, seconds), pause_seconds=0.01)


def left(api: ApiServer) -> list[tuple[str, str]]:
    return [(plural, name) for plural, name in MADE if api.get(plural, name) is not None]


# --- operators and definitions ----------------------------------------------------------------------------------------


async def test_a_release_whose_operators_are_ready_is_well(api: ApiServer, cluster: Cluster, probed: Probed) -> None:
    operator_pod(api)
    operator_pod(api, "llmbatch-2", "127.0.0.2")
    assert await look(cluster, probed).run() == []
    assert api.writes("batchjobs") == [], "no job without a gateway that costs nothing"


async def test_operators_that_come_up_are_waited_for(api: ApiServer, cluster: Cluster, probed: Probed) -> None:
    probed.wrong = "the watch has not begun yet"
    operator_pod(api)
    running = asyncio.create_task(look(cluster, probed).run())
    while len([call for call in api.calls if call.plural == "pods"]) < 3:  # noqa: ASYNC110 - the server has no event
        await asyncio.sleep(0.01)
    assert not running.done()
    probed.wrong = ""
    assert await running == []


async def test_one_that_is_not_ready_is_named_with_its_reason(api: ApiServer, cluster: Cluster, probed: Probed) -> None:
    probed.wrong = "the API server does not answer about the lease"
    operator_pod(api)
    assert await look(cluster, probed, seconds=0.1).run() == [
        "Pod llmbatch-1 is not ready: the API server does not answer about the lease."
    ]


async def test_one_that_has_not_started_or_does_not_answer_is_named_and_one_that_goes_is_not(
    api: ApiServer, cluster: Cluster, probed: Probed
) -> None:
    operator_pod(api, "pending", "")
    operator_pod(api, "deaf", "127.0.0.3")
    operator_pod(api, "leaving", "", deletionTimestamp="2026-03-01T12:00:00Z")
    probed.close()
    pending, deaf = sorted(await look(cluster, probed, seconds=0.1).run(), reverse=True)
    assert "Pod pending has not started" in pending
    assert f"Pod deaf does not answer at http://127.0.0.3:{probed.port}/readyz" in deaf
    assert "networkPolicy.metricsFrom" in deaf


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
async def test_a_pod_that_has_ended_is_not_asked(api: ApiServer, cluster: Cluster, probed: Probed, phase: str) -> None:
    operator_pod(api)
    operator_pod(api, "evicted", "")
    evicted = api.get("pods", "evicted", OWN) or {}
    api.put("pods", {**evicted, "status": {"phase": phase, "podIP": "127.0.0.9"}})
    assert await look(cluster, probed, seconds=0.1).run() == []


async def test_a_release_without_operators_is_not_well(cluster: Cluster, probed: Probed) -> None:
    (problem,) = await look(cluster, probed, seconds=0.1).run()
    assert f"Namespace {OWN} has no pod {PODS}" in problem


async def test_without_the_definitions_nothing_else_is_looked_at(
    api: ApiServer, cluster: Cluster, probed: Probed
) -> None:
    api.unserved = {"batchgateways"}
    (problem,) = await look(cluster, probed, seconds=0.1).run()
    assert "does not serve batchgateways.llmbatch.io/v1alpha1: install the CRDs" in problem


async def test_what_is_not_there_at_once_after_an_install_is_waited_for(
    api: ApiServer, cluster: Cluster, probed: Probed
) -> None:
    operator_pod(api)
    api.fault("status", "list", "pods", status=403, times=2)
    assert await look(cluster, probed).run() == []
    api.fault("status", "list", "pods", status=403, times=-1)
    assert await look(cluster, probed, seconds=0.1).run() == ["The test can not go on: made to fail"]


# --- a BatchJob -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("operator")
async def test_a_job_is_run_to_its_end_and_nothing_of_it_is_left(
    api: ApiServer, cluster: Cluster, probed: Probed, quick: Instance
) -> None:
    operator_pod(api)
    assert await look(cluster, probed, url=quick.url).run() == []
    assert len(quick.batches()) == 1
    assert all(file["deleted"] for file in quick.files())
    assert left(api) == []


async def test_what_an_earlier_test_has_left_is_removed_first(
    api: ApiServer, cluster: Cluster, probed: Probed, operator: Operator, quick: Instance
) -> None:
    operator_pod(api)
    earlier = look(cluster, probed, url="http://127.0.0.1:9")
    for plural, (_, body) in zip(("configmaps", "batchgateways", "batchjobs"), earlier.objects(), strict=True):
        api.put(plural, body)
    await operator.until(lambda: operator.reason(NAME), NAME)
    assert await look(cluster, probed, url=quick.url).run() == []
    assert left(api) == []


@pytest.mark.usefixtures("operator")
async def test_a_job_that_fails_is_told_with_its_reason_and_removed(
    api: ApiServer, cluster: Cluster, probed: Probed, emulator: EmulatorServer
) -> None:
    other = emulator.instance(models=["another"], validating_seconds=0, in_progress_seconds=0, finalizing_seconds=0)
    operator_pod(api)
    (problem,) = await look(cluster, probed, url=other.url).run()
    assert f"BatchJob {NAME} in namespace {NAMESPACE} failed: " in problem
    assert left(api) == []


@pytest.mark.usefixtures("operator")
async def test_a_job_that_takes_too_long_is_told_with_what_it_waits_for_and_removed(
    api: ApiServer, cluster: Cluster, probed: Probed
) -> None:
    operator_pod(api)
    (problem,) = await look(cluster, probed, url="http://127.0.0.1:9", seconds=1.0).run()
    assert "was not Complete after 1 s: Gateway" in problem
    assert left(api) == []


async def test_that_nobody_looks_at_it_is_told_too(api: ApiServer, cluster: Cluster, probed: Probed) -> None:
    operator_pod(api)
    (problem,) = await look(cluster, probed, url="http://127.0.0.1:9", seconds=0.2).run()
    assert "no operator has looked at it" in problem
    assert left(api) == []


@pytest.mark.usefixtures("operator")
async def test_a_silence_of_the_api_server_is_no_verdict_and_a_refusal_is(
    api: ApiServer, cluster: Cluster, probed: Probed, quick: Instance
) -> None:
    operator_pod(api)
    api.fault("status", "get", "batchjobs", status=503, times=3)
    assert await look(cluster, probed, url=quick.url).run() == []
    api.fault("status", "create", "batchgateways", status=403)
    (problem,) = await look(cluster, probed, url=quick.url).run()
    assert problem == "The test can not go on: made to fail"
    assert left(api) == []


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("plural", ["batchjobs", "batchgateways", "configmaps"])
async def test_a_silence_of_the_api_server_leaves_nothing_behind(
    api: ApiServer, cluster: Cluster, probed: Probed, quick: Instance, plural: Any
) -> None:
    operator_pod(api)
    api.fault("status", "delete", plural, status=503, times=2)
    assert await look(cluster, probed, url=quick.url).run() == []
    assert left(api) == []


async def test_what_an_earlier_test_has_left_is_not_waited_for_beyond_the_time(
    api: ApiServer, cluster: Cluster, probed: Probed
) -> None:
    operator_pod(api)
    earlier = look(cluster, probed, url="http://127.0.0.1:9", seconds=0.2)
    _, body = earlier.objects()[-1]
    api.put("batchjobs", {**body, "metadata": {**body["metadata"], "finalizers": ["llmbatch.io/cleanup"]}})
    (problem,) = await asyncio.wait_for(earlier.run(), 20)
    assert "was deleted, and is still there" in problem


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "code"), [("", 0), ("stopping", 1)])
async def test_the_command_answers_by_its_exit_code(
    api: ApiServer, probed: Probed, tmp_path: Path, wrong: str, code: int
) -> None:
    probed.wrong = wrong
    operator_pod(api)
    given = {"LLMBATCH_NAMESPACE": OWN, "LLMBATCH_METRICS_PORT": str(probed.port)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmbatch", "selftest", f"--operator-pods={PODS}", "--wait-seconds=0.1"),
        env={**os.environ, **given, "KUBECONFIG": kubeconfig(api, tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == code, told.decode()
    assert ("Pod llmbatch-1 is not ready: stopping." in told.decode()) == bool(wrong)


async def test_a_command_that_is_told_to_stop_leaves_nothing_behind(
    api: ApiServer, probed: Probed, tmp_path: Path
) -> None:
    operator_pod(api)
    given = {"LLMBATCH_NAMESPACE": OWN, "LLMBATCH_METRICS_PORT": str(probed.port)}
    given["LLMBATCH_WATCH_NAMESPACES"] = NAMESPACE
    command = ["selftest", f"--operator-pods={PODS}", "--gateway-url=http://127.0.0.1:9", f"--name={NAME}"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmbatch", *command),
        env={**os.environ, **given, "KUBECONFIG": kubeconfig(api, tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    while api.get("batchjobs", NAME) is None:  # noqa: ASYNC110 - the server has no event
        await asyncio.sleep(0.01)
    process.terminate()
    _, told = await process.communicate()
    assert (process.returncode, left(api)) == (1, []), told.decode()
    assert "The test was told to stop before its end." in told.decode()
