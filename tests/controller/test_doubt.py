"""When in doubt: nothing at the provider is deleted, nothing is submitted twice, nothing is held for ever."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from llmbatch.api import FINALIZER
from llmbatch.api.base import timestamp
from llmbatch.api.batchjob_status import Phase
from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE, jsonl
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all


def left(kong: Instance) -> list[str]:
    return [file["id"] for file in kong.files() if not file["deleted"]]


async def test_a_page_in_place_of_the_results_is_no_result_and_deletes_nothing(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.fault("not_json", "files.content", times=-1)
    kong.advance(3600)
    await operator.until_reason(Reason.RESULTS_UNREADABLE)
    assert len(left(kong)) == 2
    assert operator.status().output is None
    kong.clear_faults()
    await operator.until_ended()
    assert operator.status().phase is Phase.COMPLETE
    assert left(kong) == []


async def test_what_has_no_readable_result_line_stays_at_the_provider(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, jsonl("one", "two--malformed", "three"))
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    output = operator.status().output
    assert output is not None
    assert output.missing_requests == 1
    assert len(left(kong)) == 2
    await operator.until(lambda: ("Warning", "RemoteFilesRetained") in operator.events(), None)


async def test_a_left_over_annotation_does_not_submit_again(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.fault("reset_after", "batches.create")
    apply_all(api, kong, FIVE)
    api.edit("batchjobs", "job", {"metadata": {"annotations": {"llmbatch.io/resubmit": "2"}}})
    kong.advance(1)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    assert len(kong.batches()) == 1


async def test_an_object_whose_status_cannot_be_read_is_let_go_when_its_time_is_over(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    # Not the fixture, which holds every stored status to the rules: this one is none of ours.
    operator = Operator(api, tmp_path)
    await operator.start()
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    await operator.quiet()
    job = json.loads(json.dumps(operator.job()))
    job["status"]["phase"] = "APhaseOfANewerVersion"
    job["metadata"]["deletionTimestamp"] = timestamp(datetime.now(UTC) - timedelta(hours=1))
    assert job["metadata"]["finalizers"] == [FINALIZER]
    api.put("batchjobs", job)
    await operator.until_gone()
    await operator.until(lambda: ("Warning", "RemoteFilesRetained") in operator.events(), None)
    await operator.stop()


async def test_an_operator_that_was_away_tries_as_long_as_any_other_to_delete_files(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    kong.fault("status", "files.delete", status=503, times=-1)
    async with Operator(api, tmp_path).running() as first:
        apply_all(api, kong, FIVE)
        await first.until(lambda: first.status().summary.submission_time)
        kong.advance(3600)
        await first.until(lambda: first.status().output)
    # It was away for an hour after it had stored the results.
    job = first.job()
    job["status"]["output"]["storedTime"] = timestamp(datetime.now(UTC) - timedelta(hours=1))
    api.put("batchjobs", job)
    kong.clear_faults()
    kong.fault("status", "files.delete", status=503, times=2)
    async with Operator(api, tmp_path, cleanup_timeout_seconds=60).running() as second:
        await second.until_ended()
        assert left(kong) == []
