"""Results: stored before anything is deleted, in a place that can take them, and judged line by line."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.observation import Limits
from tests.controller.conftest import FIVE, jsonl
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, config_map, secret


async def run_to_results(operator: Operator, kong: Instance) -> None:
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)


async def test_results_are_in_the_order_of_the_input_and_outlive_the_job(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await run_to_results(operator, kong)
    await operator.until_ended()
    results = api.data("secrets", "results", "r.jsonl").decode().splitlines()
    assert [line.split('"custom_id"')[1].split('"')[1] for line in results] == ["one", "two", "three", "four", "five"]
    made = api.get("secrets", "results")
    assert made is not None
    assert "ownerReferences" not in made["metadata"], "the garbage collector would take them with the job"
    assert made["metadata"]["labels"]["llmbatch.io/batchjob-uid"] == operator.job()["metadata"]["uid"]


async def test_failed_lines_go_beside_the_results(operator: Operator, api: ApiServer, kong: Instance) -> None:
    job = build.batchjob(output={"configMap": {"name": "results", "key": "r.jsonl"}})
    apply_all(api, kong, jsonl("a", "b--status-400", "c--missing"), job)
    await run_to_results(operator, kong)
    status = await operator.until_ended()
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert status.holds("Complete")
    assert len(api.data("configmaps", "results", "r.jsonl").splitlines()) == 1
    assert len(api.data("configmaps", "results", "r.jsonl.errors").splitlines()) == 2
    assert {failure.custom_id for failure in status.failures} == {"b--status-400", "c--missing"}


async def test_a_completed_batch_in_which_nothing_succeeded_has_failed(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, jsonl("a--status-500", "b--status-400"))
    await run_to_results(operator, kong)
    status = await operator.until_ended()
    assert (operator.reason(), status.holds("Failed")) == (Reason.ALL_REQUESTS_FAILED, True)
    assert len(api.data("secrets", "results", "r.jsonl.errors").splitlines()) == 2


async def test_a_batch_that_the_provider_refuses_fails_with_its_words(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(forced_errors=[{"code": "model_mismatch", "message": "Not this model.", "line": 2}])
    apply_all(api, kong, FIVE)
    await run_to_results(operator, kong)
    status = await operator.until_ended()
    failed = status.condition("Failed")
    assert failed is not None
    assert failed.reason == Reason.BATCH_FAILED
    assert "model_mismatch (line 2): Not this model." in failed.message
    assert all(file["deleted"] for file in kong.files())


@pytest.mark.parametrize("refused", ["batch", "file", "request"])
async def test_many_refusals_at_a_time_end_one_job_each_as_soon_as_the_list_of_files_may_be_read(
    operator: Operator, api: ApiServer, kong: Instance, refused: str
) -> None:
    error = {"code": "model_mismatch", "message": "Not this model.", "line": 2}
    match refused:
        case "batch":
            kong.configure(forced_errors=[error])
        case "file":
            kong.configure(file_final_status="error")
        case "request":
            kong.fault("status", "batches.create", status=400, message="No such deployment.", times=-1)
    # As long as it takes, ten times as long is it left in peace.
    kong.fault("delay", "files.list", seconds=0.05, times=-1)
    names = [f"job-{number}" for number in range(4)]
    apply_all(api, kong, FIVE, *(build.batchjob_apart(name) for name in names))
    if refused == "batch":
        await operator.until(lambda: all(operator.status(name).summary.submission_time for name in names), None)
        kong.advance(3600)
        for name in names:
            await operator.look(name)
    # No look from outside: each job has to come back to it by itself.
    await operator.until(lambda: all(operator.status(name).holds("Failed") for name in names), None)
    assert all(file["deleted"] for file in kong.files())
    assert len(kong.calls("batches.create")) == (0 if refused == "file" else len(names))


async def test_an_object_that_is_not_ours_is_never_overwritten_and_the_job_goes_on_when_it_is_gone(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    api.put("secrets", secret("results", mine="precious"))
    kong.advance(3600)
    await operator.until_reason(Reason.OUTPUT_EXISTS)
    assert operator.status().holds("Stalled")
    assert api.data("secrets", "results", "mine") == b"precious"
    assert not kong.calls("files.delete"), "the results stay where they are"
    api.remove("secrets", "results")
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED


async def test_results_too_large_wait_at_the_provider_until_the_spec_names_another_place(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, jsonl("a--large-700000", "b--large-700000", "c"))
    await run_to_results(operator, kong)
    await operator.until_reason(Reason.OUTPUT_TOO_LARGE)
    downloads = len(kong.calls("files.content"))
    for _ in range(3):
        await operator.look()
        await operator.quiet()
    assert len(kong.calls("files.content")) == downloads, "what is known not to fit is not downloaded again"
    assert not kong.calls("files.delete")
    api.put("persistentvolumeclaims", config_map("data", "unused", b""))
    volume = {"persistentVolumeClaim": {"claimName": "data", "path": "out/r.jsonl"}, "secret": None}
    api.edit("batchjobs", "job", {"spec": {"output": volume}})
    await operator.until(lambda: api.objects("jobs"))
    assert operator.status().holds("Reconciling")


async def test_a_provider_that_is_away_while_cleaning_up_keeps_no_job_from_its_end(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    kong.fault("status", "files.delete", status=503, times=-1)
    await run_to_results(operator, kong)
    await operator.until_reason(Reason.CLEANING_UP)
    assert operator.status().output is not None
    kong.clear_faults()
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED


async def test_remote_files_are_left_when_patience_is_over(api: ApiServer, kong: Instance, operator: Operator) -> None:
    operator.runtime.reconciler.observer.limits = Limits(0.3, 0.05, 0.1)
    apply_all(api, kong, FIVE)
    kong.fault("status", "files.delete", status=503, times=-1)
    await run_to_results(operator, kong)
    await operator.until_ended()
    await operator.until(lambda: ("Warning", "RemoteFilesRetained") in operator.events(), None)
    assert operator.reason() == Reason.SUCCEEDED


async def test_a_download_that_breaks_off_is_tried_again(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.fault("truncate", "files.content", bytes=100)
    apply_all(api, kong, FIVE)
    await run_to_results(operator, kong)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED


async def test_a_lost_answer_to_the_store_is_harmless(operator: Operator, api: ApiServer, kong: Instance) -> None:
    api.fault("cut after", "create", "secrets")
    apply_all(api, kong, FIVE)
    await run_to_results(operator, kong)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED


async def test_a_batch_cancelled_at_the_provider_keeps_what_was_answered(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.configure(expires=True, window_seconds=120)
    kong.advance(100_000)
    await operator.until_ended()
    assert operator.reason() == Reason.BATCH_EXPIRED
    assert operator.status().output is not None


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of two pages."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount one")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(folder)], check=True)
    yield folder
    left = list(folder.iterdir())
    subprocess.run(["umount", "-l", str(folder)], check=True)
    assert left == []


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)


async def test_a_full_disk_of_the_operators_own_is_told_for_what_it_is_and_waited_for(
    operator: Operator, api: ApiServer, kong: Instance, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    monkeypatch.setattr(tempfile, "tempdir", str(small))
    kong.advance(3600)
    await operator.until_reason(Reason.TRANSFER_FAILED)
    ready = operator.status().condition("Ready")
    assert ready is not None
    assert "in /tmp" in ready.message
    assert "enlarge its claim" not in ready.message
    enlarge(small)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
