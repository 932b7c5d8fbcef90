"""A batch that sends requests again meets what any other batch may meet: one is made, nothing is lost, nothing is left."""

import asyncio
from pathlib import Path

import httpx
import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import jsonl
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import LATER, cancels, states
from tests.controller.test_split import made, split_job, stored
from tests.controller.test_strays import left
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all

NAMES = ["one", "two--status-429-times-1", "three", "four--status-429-times-1", "five"]
AGAIN = [NAMES[1], NAMES[3]]


async def followed(operator: Operator, api: ApiServer, kong: Instance, *faults: Json) -> None:
    """Have a batch end two of whose requests are to be sent again; the faults meet the batch that sends them."""
    apply_all(api, kong, jsonl(*NAMES), split_job(backoffLimitPerRequest=1))
    await operator.until(lambda: len(made(operator)) == 1)
    for fault in faults:
        kong.fault(**{"operation": "batches.create", **fault})
    kong.advance(3600)


async def follower(operator: Operator) -> str:
    """Wait for the batch that sends requests again; answers its id."""
    await operator.until(lambda: len(made(operator)) == 2)
    return made(operator)[1]


async def succeeds(operator: Operator, api: ApiServer, kong: Instance) -> None:
    """Let it end, and see that there is one result of both attempts, and nothing left."""
    again = await follower(operator)
    kong.advance(3600)
    status = await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert stored(api) == NAMES
    assert status.request_counts is not None
    assert (status.request_counts.completed, status.request_counts.retried) == (5, 2)
    assert [batch.attempt for batch in status.batches] == [1, 2]
    alive = {name for name, state in states(kong).items() if state != "cancelled"}
    assert alive == {status.batches[0].id, again}
    assert left(kong) == []


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        pytest.param({"kind": "reset_after"}, 1, id="its answer is lost"),
        pytest.param({"kind": "accepted_status", "status": 504, "as": "kong"}, 1, id="a proxy gave up"),
        pytest.param({"kind": "accepted_status", "status": 400}, 1, id="a refusal hides it"),
        pytest.param({"kind": "reset_before"}, 2, id="the call is lost"),
    ],
)
async def test_whatever_becomes_of_its_create_call_there_is_one(
    operator: Operator, api: ApiServer, kong: Instance, fault: Json, calls: int
) -> None:
    await followed(operator, api, kong, fault)
    await succeeds(operator, api, kong)
    assert len(kong.calls("batches.create")) == 1 + calls
    assert counted(operator, "adoptions") == (calls == 1)
    assert cancels(kong) == []


async def test_a_duplicate_of_it_is_cancelled_and_no_other_batch(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await followed(operator, api, kong, {"kind": "repeat", "seconds": LATER})
    await operator.until(lambda: counted(operator, "duplicate_batches"))
    assert cancels(kong) == [kong.calls("batches.create")[-1]["answer_id"]]
    await succeeds(operator, api, kong)
    assert counted(operator, "duplicate_batches") == 1


async def test_a_deletion_while_it_runs_cancels_it_and_leaves_nothing(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await followed(operator, api, kong)
    again = await follower(operator)
    api.remove("batchjobs", "job")
    await operator.until(lambda: cancels(kong))
    kong.advance(60)
    await operator.until_gone()
    assert set(cancels(kong)) == {again}
    assert states(kong)[again] == "cancelled"
    assert left(kong) == []


async def test_a_deletion_while_its_answer_is_owed_finds_and_cancels_it(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await followed(operator, api, kong, {"kind": "reset_after"})
    await operator.until(lambda: len(kong.batches()) == 2)
    api.remove("batchjobs", "job")
    await operator.until(lambda: cancels(kong))
    kong.advance(60)
    await operator.until_gone()
    assert sorted(states(kong).values()) == ["cancelled", "completed"]
    assert left(kong) == []


async def test_a_want_of_quota_is_waited_for_and_costs_no_attempt(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await followed(
        operator, api, kong, {"kind": "status", "status": 429, "message": "token_limit_exceeded", "times": 2}
    )
    await operator.until_reason(Reason.QUOTA_EXCEEDED)
    await succeeds(operator, api, kong)
    assert operator.status().batches[1].create_calls == 1
    assert len(kong.calls("batches.create")) == 4


async def test_a_want_of_quota_that_is_told_late_costs_no_attempt_either(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await followed(operator, api, kong)
    kong.configure(only={"llmbatch_part": "0.2"}, forced_errors=[{"code": "token_limit_exceeded"}])
    refused = await follower(operator)
    kong.advance(100)
    await operator.until(lambda: operator.status().batches[1].refused_ids)
    kong.configure(forced_errors=[])
    await operator.until(lambda: made(operator)[1:] not in ([], [refused]))
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert stored(api) == NAMES
    assert len(kong.calls("batches.create")) == 3
    assert left(kong) == []


async def incomplete(operator: Operator, api: ApiServer, kong: Instance) -> None:
    """See that what was answered is kept, and that what was to be sent again is among the failed, each request once."""
    status = await operator.until_ended()
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert stored(api) == ["one", "three", "five"]
    assert stored(api, ".errors") == AGAIN
    assert status.request_counts is not None
    assert (status.request_counts.completed, status.request_counts.failed) == (3, 2)
    assert left(kong) == []


async def test_when_a_person_cancels_it_its_requests_are_among_the_failed(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await followed(operator, api, kong)
    again = await follower(operator)
    kong.advance(100)
    async with httpx.AsyncClient() as person:
        (await person.post(f"{kong.url}/batches/{again}/cancel")).raise_for_status()
    kong.advance(3600)
    await incomplete(operator, api, kong)
    assert len(kong.calls("batches.create")) == 2


async def test_when_its_create_call_is_refused_its_requests_are_among_the_failed(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await followed(operator, api, kong, {"kind": "status", "status": 400, "message": "Not this one."})
    await operator.until(lambda: operator.status().batches[1:] and operator.status().batches[1].refusal)
    await incomplete(operator, api, kong)
    ready = operator.status().condition("Ready")
    assert ready is not None
    assert "attempt 2: RequestRefused" in ready.message


async def test_when_it_is_refused_a_line_that_was_not_read_stays_at_the_provider(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, jsonl("one", "two--missing", "three"), split_job(backoffLimitPerRequest=1))
    await operator.until(lambda: len(made(operator)) == 1)
    kong.fault("status", "batches.create", status=400, message="Not this one.")
    kong.advance(3600)
    status = await operator.until_ended()
    assert (operator.reason(), stored(api)) == (Reason.COMPLETED_WITH_FAILURES, ["one", "three"])
    assert status.output is not None
    assert status.output.missing_requests == 1
    assert status.batches[0].output_file_id in {file["id"] for file in kong.files() if not file["deleted"]}
    assert ("Warning", "RemoteFilesRetained") in operator.events()


async def test_when_the_provider_fails_it_its_requests_are_among_the_failed(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await followed(operator, api, kong)
    kong.configure(
        only={"llmbatch_part": "0.2"}, forced_errors=[{"code": "model_mismatch", "message": "Not this model."}]
    )
    await follower(operator)
    kong.advance(3600)
    await incomplete(operator, api, kong)


async def test_a_refused_one_whose_file_can_not_be_deleted_holds_the_end_no_longer_than_the_clean_up_time(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("status", "files.delete", status=503, times=-1)
    apply_all(
        api, kong, jsonl(*NAMES), split_job(backoffLimitPerRequest=1, deletionPolicy={"cleanupTimeoutSeconds": 1})
    )
    await operator.until(lambda: len(made(operator)) == 1)
    kong.fault("status", "batches.create", status=400, message="Not this one.")
    kong.advance(3600)
    await operator.until_ended()
    assert stored(api) == ["one", "three", "five"]
    await operator.until(lambda: ("Warning", "RemoteFilesRetained") in operator.events(), None)


async def test_several_whose_results_cannot_be_had_are_tried_in_turn_and_not_without_a_pause(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, recheck_seconds=15).running() as operator:
        limits = {"limits": {"maxRequestsPerFile": 2}}
        apply_all(api, kong, jsonl(*"abcde"), split_job(backoffLimitPerRequest=1), **limits)
        await operator.until(lambda: len(made(operator)) == 3, None)
        kong.fault("status", "files.content", status=401, times=-1)
        kong.advance(3600)
        await operator.until(lambda: len({call["path"] for call in kong.calls("files.content")}) == 3, None)
        await operator.quiet()
        before = len(kong.calls("files.content"))
        await asyncio.sleep(3)
        assert len(kong.calls("files.content")) <= before + 1
        kong.clear_faults()
        await operator.until_ended()
        assert operator.reason() == Reason.SUCCEEDED
