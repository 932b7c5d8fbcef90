"""Create calls whose answers are lost one after the other: each may have made a batch that is paid, so they become rarer."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmbatch.api import RESUBMIT_ANNOTATION
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.lookup import PASSING_CALLS
from tests.controller.among import Among
from tests.controller.test_duplicates import cancels
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.between import Between, Exchange
from tests.support.inprocess import Operator

LAG = 3600.0


@pytest.fixture
async def quick(api: ApiServer, tmp_path: Path) -> AsyncIterator[Operator]:
    async with Operator(api, tmp_path, settle_seconds=0.1).running() as running:
        yield running


async def test_what_the_call_came_to_is_told_while_its_batch_is_looked_for(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    kong.configure(list_lag_seconds=1.0)
    among.fault("accepted_status", "batches.create", status=504, as_="kong")
    async with Operator(api, tmp_path, settle_seconds=30).running() as operator:
        among.apply(api)
        await operator.until(lambda: "answered 504" in among.told(operator))
        assert among.reason(operator) == Reason.SUBMISSION_PENDING
        await among.ended(operator)
        assert among.reason(operator) == Reason.SUCCEEDED


async def test_where_the_list_hides_what_they_make_few_are_made_before_a_person_hears_of_it(
    quick: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    kong.configure(list_lag_seconds=LAG)
    among.fault("accepted_status", "batches.create", status=504, as_="kong", times=-1)
    among.apply(api)
    await among.until_reason(quick, Reason.SUBMISSION_UNKNOWN)
    assert len(among.creates()) == PASSING_CALLS + 1
    told = among.told(quick)
    assert f"{PASSING_CALLS + 1} create calls came to nothing that can be told" in told
    assert "answered 504" in told
    assert f"{RESUBMIT_ANNOTATION}={among.call(PASSING_CALLS + 2)}" in told
    kong.configure(list_lag_seconds=0)
    await among.submitted(quick)
    await quick.until(lambda: len(cancels(kong)) >= PASSING_CALLS)
    alive = [batch_id for batch_id, status in among.states().items() if status not in ("cancelling", "cancelled")]
    assert alive == [among.batch(quick).id], "one is kept, and the others are cancelled"


async def test_where_they_make_nothing_the_job_goes_on_by_itself_or_at_once_when_a_person_says_so(
    quick: Operator, api: ApiServer, among: Among
) -> None:
    among.fault("status", "batches.create", status=503, as_="kong", times=PASSING_CALLS + 1)
    among.apply(api)
    await among.until_reason(quick, Reason.SUBMISSION_UNKNOWN)
    again = among.call(PASSING_CALLS + 2)
    api.edit("batchjobs", "job", {"metadata": {"annotations": {RESUBMIT_ANNOTATION: again}}})
    await among.ended(quick)
    assert among.reason(quick) == Reason.SUCCEEDED
    assert among.batch(quick).create_calls == PASSING_CALLS + 2
    assert len(among.states()) == 1


@pytest.mark.parametrize(
    ("status", "says"),
    [
        pytest.param(400, "does not list batches", id="it is refused"),
        pytest.param(500, "can't be read, though all else works", id="it fails each time"),
    ],
)
async def test_a_list_that_can_never_be_read_leaves_it_to_a_person(
    quick: Operator, api: ApiServer, among: Among, between: Between, *, status: int, says: str
) -> None:
    def spoil(told: Exchange) -> bool:
        if told.is_list:
            told.status, told.body = status, b'{"error": {"message": "limit is too large", "code": "invalid_value"}}'
        return told.is_list

    between.instead.append(spoil)
    among.fault("reset_before", "batches.create")
    among.apply(api, url=between.url)
    await among.until_reason(quick, Reason.SUBMISSION_UNKNOWN)
    told, again = among.told(quick), among.call(2)
    assert says in told
    assert f"{RESUBMIT_ANNOTATION}={again}" in told
    api.edit("batchjobs", "job", {"metadata": {"annotations": {RESUBMIT_ANNOTATION: again}}})
    await quick.until(lambda: among.batch(quick).id)
    between.instead.clear()
    await among.ended(quick)
    assert among.reason(quick) == Reason.SUCCEEDED
    assert len(among.states()) == 1
