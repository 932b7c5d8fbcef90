"""Batches whose file is uploaded after a refusal: no more than there is room for, in the order of the line."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmbatch.gateway.line import Place
from llmbatch.gateway.quota import MANY
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB
from llmbatch.runtime.queue import Key
from tests.core.test_quota import KONG, World, batch, world

__all__ = ["world"]

TOLD: dict[str, dict[str, Any]] = {
    "waits": {},
    "uploaded": {"inputFileID": "file-1"},
    "ordered": {"inputFileID": "file-1", "submission": {"attempt": 1}},
    "runs": {"inputFileID": "file-1", "id": "batch-1"},
    "ended": {"inputFileID": "file-1", "id": "batch-1", "status": "completed"},
}
STEPS = [*TOLD, "gone", "claim", "release", "go", "stay"]


def test_of_those_whose_file_is_uploaded_no_more_go_than_what_was_learnt_leaves_room_for(world: World) -> None:
    world.job("running", batch(40, id="batch-1"))
    uploaded = [world.job(f"uploaded-{n}", batch(10, inputFileID=f"file-{n}")) for n in range(4)]
    world.quota.refused(uploaded[0], 0, 10, KONG)  # learnt: 45, of 40 that were enqueued and its own 10
    assert [world.quota.orders.behind(job, 0, 10, KONG) for job in uploaded[1:]] == [10, 10, 10]
    world.job("running", batch(40, id="batch-1", status="completed"))
    world.job("uploaded-0", batch(10, inputFileID="file-0", id="batch-2"))
    assert world.called() == ["uploaded-1", "uploaded-2", "uploaded-3"]
    assert [world.quota.orders.behind(job, 0, 10, KONG) for job in uploaded[1:]] == [None, None, None]
    assert world.quota.ledger.enqueued(world.quota.ledger.group(KONG).name) == 40
    fifth = world.job("uploaded-5", batch(10, inputFileID="file-5"))
    assert world.quota.orders.behind(fifth, 0, 10, KONG) == 0


def test_those_with_an_uploaded_file_go_in_the_order_of_the_line(world: World) -> None:
    world.job("running", batch(30, id="batch-1"))
    early = world.job("early", batch(10, inputFileID="file-1"))
    urgent = world.job("urgent", batch(10, inputFileID="file-3"), priority=5)
    refused = world.job("refused", batch(10, inputFileID="file-4"))
    world.quota.refused(refused, 0, 10, KONG)  # learnt: 36, of 30 that were enqueued and its own 10
    assert world.quota.orders.behind(early, 0, 10, KONG) == 10
    assert world.quota.orders.behind(urgent, 0, 10, KONG) == 10
    world.job("refused", batch(10, inputFileID="file-4", id="batch-2"))
    assert world.called() == []
    world.job("running", batch(5, id="batch-1"))
    # 15 are enqueued and two more fit: the urgent one first.
    assert world.called() == ["urgent", "early"]
    # Whoever was called is not called again, and keeps its place until it comes.
    assert world.called() == []
    assert world.quota.orders.behind(urgent, 0, 10, KONG) is None
    assert world.quota.orders.behind(early, 0, 10, KONG) is None


def test_of_two_namespaces_the_one_with_less_at_the_provider_goes_first(world: World) -> None:
    other = world.gateway(Key(BATCHGATEWAY, "b", "kong"))
    world.job("running", batch(60, id="batch-1"))
    refused = {key: world.job("refused", batch(10, inputFileID="f"), gateway=key) for key in (KONG, other)}
    for key, job in refused.items():
        world.quota.refused(job, 0, 10, key)  # learnt: 63
    mine = world.job("mine", batch(10, inputFileID="file-1"))
    theirs = world.job("theirs", batch(10, inputFileID="file-2"), gateway=other)
    assert world.quota.orders.behind(mine, 0, 10, KONG) == 10
    assert world.quota.orders.behind(theirs, 0, 10, other) == 10
    world.job("running", batch(33, id="batch-1"))
    for key in refused:
        world.job("refused", batch(10, inputFileID="f", id=f"batch-{key.namespace}"), gateway=key)
    # 53 are enqueued, and one more fits.
    assert world.called() == ["theirs"]
    assert world.quota.orders.behind(mine, 0, 10, KONG) == 0
    assert world.quota.orders.behind(theirs, 0, 10, other) is None


def test_of_very_many_in_line_a_place_is_told_and_the_head_goes_when_there_is_room(world: World) -> None:
    world.job("running", batch(100, id="batch-1"))
    for number in range(MANY + 20):
        world.job(f"job-{number:04}", batch(10))
    last = world.job("last", batch(10))
    assert world.quota.claim(last, 0, 10, KONG) == Place(MANY + 21, 10 * (MANY + 20))
    urgent = world.job("urgent", batch(10), priority=1)
    assert world.quota.claim(urgent, 0, 10, KONG) == Place(1, 0)
    world.called()
    assert world.called() == []
    world.job("running", batch(100, id="batch-1", status="completed"))
    assert world.called()[:3] == ["urgent", "job-0000", "job-0001"]
    assert world.quota.claim(urgent, 0, 10, KONG) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(STEPS)), max_size=40))
def test_the_sums_of_a_group_are_those_of_its_jobs_whatever_happens(steps: list[tuple[int, str]]) -> None:
    world = World()
    world.gateway()
    ledger, group = world.quota.ledger, world.quota.ledger.group(KONG).name
    for number, step in steps:
        job = Key(BATCHJOB, "a", f"job-{number}")
        match step:
            case "gone":
                world.cache.drop(job)
            case "claim":
                ledger.claim(job, 0, 7)
            case "release":
                ledger.release(job, 0)
            case "go":
                ledger.go(job, 0, 5)
            case "stay":
                ledger.stay(job, 0)
            case _:
                world.job(job.name, batch(5, **TOLD[step]))
        accounts = {key: ledger.accounts[key] for key in ledger.accounts}
        claims = {key: ledger.has_claimed(key, 0) for key in accounts}
        assert sum(ledger.by_namespace(group).values()) == sum(
            account.tokens + 7 * claims[key] for key, account in accounts.items()
        )
        assert ledger.enqueued(group) == sum(
            5 * (0 in account.enqueued or ledger.goes(key, 0)) for key, account in accounts.items()
        )
        waiting = {item.job for item in ledger.waiting([KONG])}
        assert waiting == {key for key, account in accounts.items() if account.waiting is not None and not claims[key]}
