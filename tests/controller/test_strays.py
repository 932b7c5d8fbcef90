"""Files of uploads whose answer was lost are found by their name, and deleted with the others at the end."""

from pathlib import Path

import httpx
import pytest

from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all


def left(kong: Instance) -> list[str]:
    return [file["filename"] for file in kong.files() if not file["deleted"]]


def lost(kong: Instance) -> None:
    """Lose an upload's answer, and the list in which it would be found."""
    kong.fault("reset_after", "files.create")
    kong.fault("status", "files.list", status=404, times=-1)


def somebody_elses(kong: Instance, name: str) -> None:
    part = {"file": (name, b"{}\n", "application/jsonl")}
    httpx.post(f"{kong.url}/files", data={"purpose": "batch"}, files=part).raise_for_status()


@pytest.mark.parametrize("dialect", ["azure", "openai"])
async def test_a_lost_upload_is_deleted_at_the_end_and_nobody_elses(
    operator: Operator, api: ApiServer, kong: Instance, dialect: str
) -> None:
    kong.configure(dialect=dialect)
    somebody_elses(kong, f"{build.UID}-0-1.jsonl")
    lost(kong)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    assert len(left(kong)) == 3
    kong.clear_faults()
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == "Succeeded"
    assert left(kong) == [f"{build.UID}-0-1.jsonl"]


async def test_a_lost_upload_is_deleted_with_the_job_that_never_learned_of_it(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("reset_after", "files.create", times=-1)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: kong.calls("files.create"))
    api.remove("batchjobs", "job")
    await operator.until_gone()
    assert left(kong) == []


async def test_files_that_are_to_be_retained_are_not_looked_for(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    lost(kong)
    apply_all(api, kong, FIVE, build.batchjob(remoteFiles="Retain"))
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.clear_faults()
    kong.advance(3600)
    await operator.until_ended()
    assert len(left(kong)) == 3


async def test_a_list_that_fails_is_asked_for_again_before_the_end(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("reset_after", "files.create")
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.fault("status", "files.list", status=503, times=3)
    kong.advance(3600)
    await operator.until_ended()
    assert left(kong) == []


async def test_a_gateway_that_lists_no_files_holds_nothing_up(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "files.list", status=404, times=-1)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    assert left(kong) == []


async def test_an_upload_that_arrives_after_the_process_that_sent_it_has_died_is_waited_for(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    # Whoever is killed has perhaps sent all of it; a proxy hands it on a little later.
    first = Operator(api, tmp_path)
    await first.start()
    kong.fault("status", "files.create", status=503, times=-1)
    apply_all(api, kong, FIVE)
    await first.until(lambda: kong.calls("files.create"))
    await first.stop()
    kong.clear_faults()
    api.remove("batchjobs", "job")
    async with Operator(api, tmp_path, settle_seconds=2).running() as second:
        await second.until(lambda: kong.calls("files.list"))
        assert api.get("batchjobs", "job") is not None, "what may be under way is waited for"
        somebody_elses(kong, f"{second.job()['metadata']['uid']}-0-1.jsonl")
        await second.until_gone()
    assert left(kong) == []


async def test_a_job_whose_uploads_were_all_answered_is_let_go_at_once(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.fault("status", "files.create", status=400, message="No.", times=-1)
    async with Operator(api, tmp_path, settle_seconds=60, cleanup_timeout_seconds=300).running() as operator:
        apply_all(api, kong, FIVE)
        await operator.until(lambda: kong.calls("files.create"))
        await operator.quiet()
        api.remove("batchjobs", "job")
        await operator.until_gone()
