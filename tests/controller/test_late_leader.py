"""A leader that stood still: what it does too late takes nothing away from the next one."""

import asyncio
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.kube.clock import Stopwatch
from llmbatch.provider.edge.client import Gateway, TooLate
from tests.controller.among import Among
from tests.controller.test_ambiguity import counted
from tests.controller.test_duplicates import cancels, given
from tests.edges.plans import CHAT, connection_to
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.between import Between
from tests.support.inprocess import Operator, remove_by_force

THEIRS: Json = {"attempt": 7, "intentTime": "2026-03-01T12:00:00Z"}


class Clocks:
    """The two clocks by which a fence is measured, moved by hand."""

    def __init__(self) -> None:
        self.boot, self.wall = 1000.0, 5000.0

    def stopwatch(self) -> Stopwatch:
        return Stopwatch(lambda: self.boot, lambda: self.wall)


@pytest.fixture
async def held(operator: Operator, api: ApiServer, between: Between, among: Among) -> asyncio.Event:
    """A create call that a leader has begun, and that goes on when this is set."""
    between.held, between.unheld = asyncio.Event(), among.index
    among.apply(api, url=between.url)
    await operator.until(lambda: between.waiting, None)
    return between.held


def another_leader(
    api: ApiServer, operator: Operator, among: Among, whole: Json | None = None, **changes: object
) -> None:
    """Have another leader write something else of the batch, and perhaps of the job."""
    api.edit("batchjobs", "job", {"metadata": {"labels": {"by": "another leader"}}})
    api.put("batchjobs", {**operator.job(), "status": among.retold(operator, whole, **changes)})


async def test_a_batch_that_comes_after_another_leaders_is_cancelled_counted_and_told(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, held: asyncio.Event
) -> None:
    theirs = kong.insert_batch(**given(operator, among))["id"]
    another_leader(api, operator, among, id=theirs, status="validating", submission=None, createCalls=2)
    held.set()
    await operator.until(lambda: ("Warning", "DuplicateCancelled") in operator.events(), None)
    (call,) = among.creates()
    assert among.batch(operator).id == theirs
    assert cancels(kong) == [call["answer_id"]]
    assert counted(operator, "duplicate_batches") == 1
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert among.batch(operator).id == theirs
    assert counted(operator, "duplicate_batches") == 1


async def test_one_that_comes_under_another_leaders_intent_leaves_that_intent(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, held: asyncio.Event
) -> None:
    kong.fault("status", "batches.list", status=503, times=-1)
    another_leader(api, operator, among, submission=THEIRS, createCalls=7)
    held.set()
    await operator.until(lambda: ("Warning", "DuplicateCancelled") in operator.events(), None)
    submission = among.batch(operator).submission
    assert submission is not None
    assert submission.attempt == 7
    assert among.batch(operator).id is None
    (call,) = among.creates()
    assert cancels(kong) == [call["answer_id"]]
    assert counted(operator, "duplicate_batches") == 1
    # What was cancelled is not what the other's call has come to.
    kong.clear_faults()
    own = await among.submitted(operator)
    assert own != call["answer_id"]
    assert among.batch(operator).create_calls == 8
    assert [name for name, status in among.states().items() if status not in ("cancelling", "cancelled")] == [own]


async def test_one_that_comes_after_the_verdict_is_cancelled_and_the_verdict_stays(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, held: asyncio.Event
) -> None:
    refused = {"reason": "RequestRefused", "message": "Refused."}
    of_the_batch = {"state": {**refused, "phase": "Failed", "status": "False", "sinceTime": "2026-03-01T12:00:00Z"}}
    of_the_job = {
        "conditions": [
            build.condition("Ready", "False", "RequestRefused"),
            build.condition("Stalled", "True", "RequestRefused"),
            build.condition("Failed", "True", "RequestRefused"),
        ],
        "phase": "Failed",
        "completionTime": "2026-03-01T12:00:00Z",
    }
    if among.several:
        said = {"submission": None, "createCalls": None, "refusal": refused}
        another_leader(api, operator, among, {"phase": "Validating"}, **said, **of_the_batch)
    else:
        another_leader(api, operator, among, of_the_job, submission=None, createCalls=None)
    held.set()
    await operator.until(lambda: ("Warning", "DuplicateCancelled") in operator.events(), None)
    (call,) = among.creates()
    assert cancels(kong) == [call["answer_id"]]
    assert among.batch(operator).id is None
    if among.several:
        await among.ended(operator)
    else:
        assert operator.status().holds("Failed")
    assert among.reason(operator) == Reason.REQUEST_REFUSED


@pytest.mark.parametrize("policy", ["Cancel", "Orphan"])
async def test_one_whose_job_is_gone_by_then_is_cancelled_and_told_unless_it_is_to_be_left(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between, *, policy: str
) -> None:
    between.held, between.unheld = asyncio.Event(), among.index
    among.apply(api, job=among.job(deletionPolicy={"remoteBatch": policy}), url=between.url)
    await operator.until(lambda: between.waiting, None)
    # Somebody takes the finalizer off by force, or another leader has let the object go.
    remove_by_force(api)
    assert api.get("batchjobs", "job") is None
    between.held.set()
    left = policy == "Orphan"
    told = ("Normal", "RemoteBatchRetained") if left else ("Warning", "Cancelling")
    await operator.until(lambda: told in operator.events(), None)
    (call,) = among.creates()
    assert cancels(kong) == ([] if left else [call["answer_id"]])


async def test_one_of_a_job_that_was_let_go_meanwhile_since_nothing_can_be_looked_up_is_cancelled(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, between: Between
) -> None:
    kong.configure(list_supported=False)
    between.held, between.unheld = asyncio.Event(), among.index
    among.apply(api, url=between.url)
    await operator.until(lambda: between.waiting, None)
    api.remove("batchjobs", "job")
    await operator.until(lambda: len(set(cancels(kong))) == among.index)
    kong.advance(60)
    await operator.until_gone()
    between.held.set()
    await operator.until(lambda: ("Warning", "Cancelling") in operator.events(), None)
    assert set(among.states().values()) == {"cancelling"}


async def test_one_that_another_leader_has_adopted_meanwhile_stays(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, held: asyncio.Event
) -> None:
    late = api.fault("hold", "patch", "batchjobs", "status", where=lambda body: "id" in among.patched(body))
    held.set()
    await operator.until(lambda: among.states() and late.times == 0, None)
    (made,) = among.states()
    another_leader(api, operator, among, id=made, status="validating", submission=None)
    late.released.set()
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert cancels(kong) == []


async def test_a_cancellation_that_fails_has_the_next_leader_look_again(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, held: asyncio.Event
) -> None:
    theirs = kong.insert_batch(**given(operator, among))["id"]
    known = {"id": theirs, "status": "validating", "duplicatesCheckedTime": "2026-03-01T12:00:00Z"}
    another_leader(api, operator, among, **known, submission=None, createCalls=2)
    kong.fault("status", "batches.cancel", status=503, times=4)
    held.set()
    await operator.until(lambda: ("Warning", "DuplicateCancelled") in operator.events(), None)
    await operator.until(lambda: counted(operator, "duplicate_batches"))
    assert len(cancels(kong)) == 5
    assert set(cancels(kong)) == {among.creates()[0]["answer_id"]}
    assert among.batch(operator).id == theirs
    assert counted(operator, "duplicate_batches") == 1


async def test_a_batch_that_comes_after_the_first_search_is_found_by_a_later_one(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    among.fault("reset_before", "batches.create")
    async with Operator(api, tmp_path).running() as operator:
        among.apply(api)
        own = await among.submitted(operator)
        await operator.until(lambda: among.checked(operator))
        assert among.batch(operator).create_calls == 2
        late = kong.insert_batch(**given(operator, among), age_seconds=0)["id"]
        await operator.until(lambda: cancels(kong))
        assert cancels(kong) == [late]
        await among.all_submitted(operator)
        kong.advance(3600)
        last = kong.insert_batch(**given(operator, among), age_seconds=0)["id"]
        await among.ended(operator, seconds=0)
        assert cancels(kong) == [late, last], "and once more at the end"
        assert among.batch(operator).id == own
        assert counted(operator, "duplicate_batches") == 2


@pytest.mark.parametrize("clock", ["boot", "wall"])
async def test_a_leader_that_stood_still_before_its_call_makes_none_under_the_old_intent(
    operator: Operator, api: ApiServer, among: Among, clock: str
) -> None:
    clocks = Clocks()
    operator.runtime.submitter.stopwatch = clocks.stopwatch()
    intents: list[int] = []

    def paused(body: Json) -> bool:
        if "submission" in among.patched(body) and len(intents) < 2:
            # The machine stands still for an hour while its intent is being written.
            intents.append(1)
            setattr(clocks, clock, getattr(clocks, clock) + 3600)
            return True
        return False

    api.fault("status", "patch", "batchjobs", "status", times=0, where=paused)
    first = api.fault("hold", "patch", "batchjobs", "status", times=2, where=paused)
    first.released.set()
    among.apply(api)
    await among.submitted(operator)
    writes = [call.body for call in api.calls if call.plural == "batchjobs" and call.writes]
    assert sum(among.withdraws(body) for body in writes if isinstance(body, dict)) >= 2
    assert len(among.creates()) == 1
    assert among.batch(operator).create_calls == 1


@pytest.mark.parametrize("asked", [0, 1], ids=["before the head", "before the body"])
async def test_a_call_is_broken_off_before_it_is_whole_when_its_time_is_over(kong: Instance, asked: int) -> None:
    """Connecting takes its time; whoever stood still meanwhile sends nothing that makes a batch."""
    answers = [True] * asked + [False]
    gateway = Gateway.connect(connection_to(kong.url), {})
    outcome = await gateway.create_batch("file-1", CHAT, "24h", {}, lambda: answers.pop(0))
    await gateway.close()
    assert isinstance(outcome, TooLate)
    assert answers == []
    assert kong.batches() == []


def test_the_longest_time_that_any_clock_tells_is_believed() -> None:
    clocks = Clocks()
    stopwatch = clocks.stopwatch()
    mark = stopwatch.mark()
    clocks.wall -= 600
    assert stopwatch.since(mark) == 0
    clocks.boot += 5
    assert stopwatch.since(mark) == 5
    clocks.wall += 1200
    assert stopwatch.since(mark) == 600
