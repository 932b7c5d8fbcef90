"""When in doubt: nothing at the provider is deleted, nothing is submitted twice, nothing is held for ever."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from llmbatch.api import FINALIZER
from llmbatch.api.base import timestamp
from llmbatch.api.batchjob_status import Phase
from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.conftest import FIVE, jsonl
from tests.controller.test_gone_results import ended
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all


def left(kong: Instance) -> list[str]:
    return [file["id"] for file in kong.files() if not file["deleted"]]


async def test_a_page_in_place_of_the_results_is_no_result_and_deletes_nothing(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.apply(api)
    await among.submitted(operator)
    await among.all_submitted(operator)
    kong.advance(3600)
    kong.fault("not_json", "files.content", times=-1, about=ended(among)["output_file_id"])
    await among.until_reason(operator, Reason.RESULTS_UNREADABLE)
    assert len(left(kong)) == 2 * among.count
    assert operator.status().output is None
    kong.clear_faults()
    await among.ended(operator, seconds=0)
    assert operator.status().phase is Phase.COMPLETE
    assert left(kong) == []


async def test_what_has_no_readable_result_line_stays_at_the_provider(
    operator: Operator, api: ApiServer, among: Among
) -> None:
    among.apply(api, jsonl("one", "two--malformed", "three"))
    await among.submitted(operator)
    await among.ended(operator)
    output = operator.status().output
    assert output is not None
    assert output.missing_requests == 1
    assert among.kept(operator)
    await operator.until(lambda: ("Warning", "RemoteFilesRetained") in operator.events(), None)


async def test_a_left_over_annotation_does_not_submit_again(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    among.fault("reset_after", "batches.create")
    among.apply(api)
    api.edit("batchjobs", "job", {"metadata": {"annotations": {"llmbatch.io/resubmit": among.call(2)}}})
    kong.advance(1)
    await among.submitted(operator)
    await among.ended(operator)
    assert len(among.states()) == 1


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
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    kong.fault("status", "files.delete", status=503, times=-1)
    async with Operator(api, tmp_path).running() as first:
        among.apply(api)
        await among.all_submitted(first)
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
