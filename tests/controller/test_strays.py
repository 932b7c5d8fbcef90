"""Files of uploads whose answer was lost are found by their name, and deleted with the others at the end."""

from pathlib import Path

import httpx
import pytest

from tests.controller.among import Among
from tests.controller.conftest import FIVE
from tests.controller.test_duplicates import cancels
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Json, Operator, apply_all
from tests.support.kubelet import Kubelet


def left(kong: Instance) -> list[str]:
    return [file["filename"] for file in kong.files() if not file["deleted"]]


def lost(kong: Instance, among: Among) -> None:
    """Lose an upload's answer, and the list in which it would be found."""
    among.fault("reset_after", "files.create")
    kong.fault("status", "files.list", status=404, times=-1)


def somebody_elses(kong: Instance, name: str) -> None:
    part = {"file": (name, b"{}\n", "application/jsonl")}
    httpx.post(f"{kong.url}/files", data={"purpose": "batch"}, files=part).raise_for_status()


@pytest.mark.parametrize("dialect", ["azure", "openai"])
async def test_a_lost_upload_is_deleted_at_the_end_and_nobody_elses(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, dialect: str
) -> None:
    kong.configure(dialect=dialect)
    somebody_elses(kong, f"{build.UID}-0-1.jsonl")
    lost(kong, among)
    among.apply(api)
    await among.submitted(operator)
    assert len(among.copies()) == (2 if among.several else 3)
    kong.clear_faults()
    await among.ended(operator)
    assert among.reason(operator) == "Succeeded"
    assert left(kong) == [f"{build.UID}-0-1.jsonl"]


async def test_a_lost_upload_is_deleted_with_the_job_that_never_learned_of_it(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("reset_after", "files.create", times=-1)
    among.apply(api)
    # The file before it may be uploaded, but its batch not yet made.
    await operator.until(
        lambda: len(kong.calls("files.create")) > among.index and len(kong.calls("batches.create")) == among.index
    )
    api.remove("batchjobs", "job")
    await operator.until(lambda: len(set(cancels(kong))) == among.index)
    kong.advance(60)
    await operator.until_gone()
    assert left(kong) == []


async def test_files_that_are_to_be_retained_are_not_looked_for(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    lost(kong, among)
    among.apply(api, job=among.job(remoteFiles="Retain"))
    await among.submitted(operator)
    kong.clear_faults()
    await among.ended(operator)
    assert len(among.copies()) == 2
    assert len(left(kong)) == 1 + 2 * among.count


async def test_a_list_that_fails_is_asked_for_again_before_the_end(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("reset_after", "files.create")
    among.apply(api)
    await among.submitted(operator)
    kong.fault("status", "files.list", status=503, times=3)
    await among.ended(operator)
    assert left(kong) == []


async def test_a_gateway_that_lists_no_files_holds_nothing_up(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    kong.fault("status", "files.list", status=404, times=-1)
    among.apply(api)
    await among.submitted(operator)
    await among.ended(operator)
    assert left(kong) == []


async def test_an_upload_that_arrives_after_the_process_that_sent_it_has_died_is_waited_for(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    # Whoever is killed has perhaps sent all of it; a proxy hands it on a little later.
    first = Operator(api, tmp_path)
    await first.start()
    among.fault("status", "files.create", status=503, times=-1)
    among.apply(api)
    await first.until(lambda: len(kong.calls("files.create")) > among.index)
    await first.stop()
    kong.clear_faults()
    api.remove("batchjobs", "job")
    async with Operator(api, tmp_path, settle_seconds=2).running() as second:
        await second.until(lambda: kong.calls("files.list"))
        assert api.get("batchjobs", "job") is not None, "what may be under way is waited for"
        somebody_elses(kong, f"{second.job()['metadata']['uid']}-{among.index}-1.jsonl")
        await second.until(lambda: len(set(cancels(kong))) == among.index)
        kong.advance(60)
        await second.until_gone()
    assert left(kong) == []


async def test_a_job_whose_uploads_were_all_answered_is_let_go_at_once(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    among.fault("status", "files.create", status=400, message="No.", times=-1)
    async with Operator(api, tmp_path, settle_seconds=60, cleanup_timeout_seconds=300).running() as operator:
        among.apply(api)
        await operator.until(lambda: len(kong.calls("files.create")) > among.index)
        await operator.quiet()
        api.remove("batchjobs", "job")
        await operator.until(lambda: len(set(cancels(kong))) == among.index)
        kong.advance(60)
        await operator.until_gone()


async def deleted_under_way(operator: Operator, api: ApiServer, kong: Instance, *before: Json) -> str:
    """Delete a job while its upload is under way, which gets through; answers the file's name."""
    kong.fault("hang_after", "files.create", seconds=2)
    api.put("batchjobs", build.batchjob_apart("uploads"))
    await operator.until(lambda: len(kong.files()) > len(before), None)
    uid = operator.job("uploads")["metadata"]["uid"]
    api.remove("batchjobs", "uploads")
    return f"{uid}-0-1.jsonl"


async def test_one_whose_clean_up_has_to_wait_is_not_let_go_before_its_file_was_looked_for(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, cleanup_timeout_seconds=120).running() as operator:
        apply_all(api, kong, FIVE, build.batchjob_apart("refused"))
        kong.fault("status", "files.delete", status=429, retry_after=2)
        kong.configure(forced_errors=[{"code": "model_mismatch", "message": "Not this model."}], validating_seconds=0)
        await operator.until(lambda: kong.calls("files.delete"), "refused")
        file = await deleted_under_way(operator, api, kong, *kong.files())
        await operator.until_gone("uploads")
        assert file in [file["filename"] for file in kong.files()]
        assert file not in left(kong)


async def test_one_that_is_let_go_before_its_file_could_be_looked_for_says_so(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE, build.batchjob_apart("other"))
    await operator.until(lambda: operator.status("other").batches, "other")
    kong.fault("status", "files.list", status=503, times=-1)
    file = await deleted_under_way(operator, api, kong, *kong.files())
    await operator.until_gone("uploads")
    assert file in left(kong)
    (told,) = [event["message"] for event in api.objects("events") if event["reason"] == "RemoteFilesRetained"]
    assert file[:36] in told


async def test_one_whose_upload_pod_has_died_is_waited_for_once_and_not_till_the_end_of_its_time(
    api: ApiServer, kong: Instance, kubelet: Kubelet, tmp_path: Path
) -> None:
    (kubelet.volume("data") / "in.jsonl").write_bytes(FIVE)
    source = {"persistentVolumeClaim": {"claimName": "data", "path": "in.jsonl"}}
    async with Operator(api, tmp_path, settle_seconds=2, cleanup_timeout_seconds=600).running() as operator:
        kong.fault("hang_after", "files.create", seconds=600)
        apply_all(api, kong, FIVE, build.batchjob(input=source))
        await operator.until(lambda: len(kong.files()) > 0)
        # No report: whoever looks at the Job sees each time that it has failed.
        api.remove("batchjobs", "job")
        kubelet.kill()
        await operator.until_gone()
    assert left(kong) == []
    assert "RemoteFilesRetained" not in [event["reason"] for event in api.objects("events")]
