"""Jobs that are deleted while a pod uploads, when their gateway is gone and nobody remembers it."""

from pathlib import Path

import pytest

from tests.controller.conftest import FIVE
from tests.controller.test_split import SMALL, split_job
from tests.controller.test_split_volumes import IN, OUT
from tests.controller.test_strays import left
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all
from tests.support.kubelet import Kubelet

VOLUME_OUT: Json = {"input": IN, "output": OUT}
SECRET_OUT: Json = {"input": IN}


@pytest.fixture(autouse=True)
def volume(kubelet: Kubelet) -> Path:
    folder = kubelet.volume("data")
    (folder / "in").mkdir()
    (folder / "in" / "batch.jsonl").write_bytes(FIVE)
    return folder


def at_work(api: ApiServer) -> list[Json]:
    """Give the transfer Jobs that have not ended; one that has is left to its time to live."""
    return [job for job in api.objects("jobs") if not (job.get("status") or {}).get("conditions")]


async def uploading_when_the_operator_stops(api: ApiServer, kong: Instance, folder: Path, job: Json) -> Json:
    """Have a pod at work on an upload, whose answer comes late, when the operator stops; answers the gateway that is gone."""
    async with Operator(api, folder).running() as first:
        kong.fault("hang_after", "files.create", seconds=30)
        apply_all(api, kong, FIVE, job, **(SMALL if "splitPolicy" in job["spec"] else {}))
        await first.until(lambda: len(kong.files()) > 0)
    gateway = api.get("batchgateways", "kong")
    assert gateway is not None
    api.remove("batchgateways", "kong")
    api.remove("batchjobs", "job")
    return gateway


@pytest.mark.parametrize("given", [VOLUME_OUT, SECRET_OUT], ids=["to a volume", "to a Secret"])
@pytest.mark.parametrize("make", [build.batchjob, split_job], ids=["one batch", "several"])
async def test_its_pod_is_stopped_and_what_it_may_have_left_is_told(
    api: ApiServer, kong: Instance, tmp_path: Path, make: object, given: Json
) -> None:
    assert callable(make)
    job = make(**given, deletionPolicy={"cleanupTimeoutSeconds": 4})
    await uploading_when_the_operator_stops(api, kong, tmp_path, job)
    uid = str((api.get("batchjobs", "job") or {})["metadata"]["uid"])
    async with Operator(api, tmp_path).running() as second:
        await second.until(lambda: not at_work(api), None)
        assert api.get("batchjobs", "job") is not None, "its file may still be looked for, should the gateway come back"
        await second.until_gone()
    assert any(uid in name for name in left(kong))
    (told,) = [event["message"] for event in api.objects("events") if event["reason"] == "RemoteFilesRetained"]
    assert f"perhaps a file whose name begins with {uid}" in told


@pytest.mark.parametrize("make", [build.batchjob, split_job], ids=["one batch", "several"])
async def test_its_file_is_deleted_when_the_gateway_comes_back_in_time(
    api: ApiServer, kong: Instance, tmp_path: Path, make: object
) -> None:
    assert callable(make)
    gateway = await uploading_when_the_operator_stops(api, kong, tmp_path, make(**VOLUME_OUT))
    async with Operator(api, tmp_path, cleanup_timeout_seconds=60).running() as second:
        await second.until(lambda: not at_work(api), None)
        kong.clear_faults()
        api.put("batchgateways", {"metadata": {"name": "kong", "namespace": "team-a"}, "spec": gateway["spec"]})
        await second.until_gone()
    assert left(kong) == []
    assert "RemoteFilesRetained" not in [event["reason"] for event in api.objects("events")]


async def test_a_job_that_has_ended_waits_for_no_gateway(
    api: ApiServer, kong: Instance, volume: Path, tmp_path: Path
) -> None:
    (volume / "in" / "batch.jsonl").write_bytes(b"no JSON\n")
    async with Operator(api, tmp_path).running() as first:
        apply_all(api, kong, FIVE, build.batchjob(**SECRET_OUT, deletionPolicy={"output": "Delete"}))
        await first.until_ended()
    api.remove("batchgateways", "kong")
    api.remove("batchjobs", "job")
    async with Operator(api, tmp_path, cleanup_timeout_seconds=600).running() as second:
        await second.until_gone()
