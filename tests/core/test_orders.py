"""Batches whose file is uploaded after a refusal: no more than there is room for, in the order of the line."""

from llmbatch.runtime.cache import BATCHGATEWAY
from llmbatch.runtime.queue import Key
from tests.core.test_quota import KONG, World, batch, world

__all__ = ["world"]


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
