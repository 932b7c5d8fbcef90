"""What is reserved of a quota for what jobs are about to do, and given to others when they get nothing done; who rises first."""

from datetime import timedelta

import pytest

from llmbatch.gateway.line import Place
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB
from llmbatch.runtime.queue import Key
from tests.core.test_quota import KONG, Json, World, batch, world
from tests.core.test_quota_among_gateways import OTHER, uploaded

__all__ = ["world"]


def ready(reason: str) -> list[Json]:
    return [{"type": "Ready", "status": "Unknown", "reason": reason}]


@pytest.mark.parametrize(("reason", "reserved"), [("WaitingForSlot", 0), ("RateLimited", 0), ("Submitting", 90)])
def test_the_file_of_a_job_that_was_not_cut_is_reserved_for_only_while_it_is_about_to_be_ordered(
    world: World, reason: str, reserved: int
) -> None:
    # Of a gateway that limits no tokens, and is of the group all the same.
    theirs = world.gateway(OTHER, 0)
    world.job(
        "theirs",
        {"inputFileID": "f"},
        gateway=theirs,
        parts=None,
        input={"estimatedTokens": 90},
        conditions=ready(reason),
    )
    assert world.quota.reserved(KONG) == reserved


def test_a_job_that_gets_nothing_done_leaves_what_was_reserved_for_its_next_step_to_others(world: World) -> None:
    stuck, others = world.job("stuck", batch(60)), world.job("other", batch(60))
    assert world.quota.claim(stuck, 0, 60, KONG) is None
    assert world.quota.claim(others, 0, 60, KONG) is not None
    world.quota.ledger.give_up(stuck)
    assert world.called() == ["other"]
    assert world.quota.claim(others, 0, 60, KONG) is None


def test_so_does_one_whose_file_is_uploaded_and_what_it_has_at_the_provider_stays(world: World) -> None:
    stuck = world.job("stuck", batch(40, inputFileID="file-1"), batch(30, inputFileID="file-2", id="batch-1"))
    assert world.quota.orders.behind(stuck, 0, 40, KONG) is None
    assert world.quota.reserved(KONG) == 70
    world.quota.ledger.give_up(stuck)
    assert world.quota.reserved(KONG) == 30
    # Whoever tries again asks anew.
    world.job("other", batch(60, inputFileID="file-3", id="batch-2"))
    assert world.quota.orders.behind(stuck, 0, 40, KONG) == 0


@pytest.mark.parametrize("how", ["a look goes well", "its status tells something else"])
def test_it_stands_in_line_again_once_it_gets_something_done(world: World, how: str) -> None:
    world.job("running", batch(90, id="batch-1"))
    job = world.job("job", batch(40))
    world.quota.ledger.give_up(job)
    world.job("running", batch(90, id="batch-1", status="completed"))
    assert world.called() == [], "it comes by itself, and nobody waits for it"
    if how == "a look goes well":
        world.quota.ledger.goes_well(job)
    else:
        world.job("job", batch(50))
    assert world.called() == ["job"]


def test_a_job_that_is_deleted_leaves_what_it_had_claimed_to_others_and_keeps_what_is_at_the_provider(
    world: World,
) -> None:
    job = world.job("a", batch(50, id="batch-1"), batch(50))
    other = world.job("b", batch(30))
    assert world.quota.claim(job, 1, 50, KONG) is None
    assert world.quota.claim(other, 0, 30, KONG) is not None
    world.put(job, world.cache.get(job) or {}, deletionTimestamp="2026-03-01T13:00:00Z")
    assert world.quota.reserved(KONG) == 50
    assert world.called() == ["b"]
    # A look that began before does not know of it.
    world.quota.claim(job, 1, 50, KONG)
    assert world.quota.reserved(KONG) == 50


def test_a_claim_of_a_job_that_has_gone_is_none_of_whoever_has_its_name_later(world: World) -> None:
    gone = Key(BATCHJOB, "a", "job")
    world.quota.ledger.claim(gone, 0, 60)
    world.job("running", batch(50, id="batch-1"))
    anew = world.job("job", batch(60))
    assert not world.quota.ledger.has_claimed(anew, 0)
    assert world.quota.claim(anew, 0, 60, KONG) == Place(1, 0)


def test_of_a_jobs_batches_that_wait_with_their_files_the_one_that_fits_is_called(world: World) -> None:
    world.job("running", batch(60, id="batch-1"))
    refused = world.job("refused", uploaded(10, "QuotaExceeded"))
    world.quota.refused(refused, 0, 10, KONG)  # learnt: 63
    job = world.job("job", uploaded(20, "QuotaExceeded"), uploaded(30, "QuotaExceeded"))
    assert world.quota.orders.behind(job, 0, 20, KONG) == 10
    assert world.quota.orders.behind(job, 1, 30, KONG) == 10
    world.job("refused", batch(10, inputFileID="file-1", id="batch-2"))
    world.job("running", batch(60, id="batch-1", status="completed"))
    world.job("further", batch(30, id="batch-3"))
    # 40 are enqueued: the first fits, the second doesn't.
    assert world.called() == ["job"]
    assert world.quota.orders.behind(job, 0, 20, KONG) is None
    assert world.quota.orders.behind(job, 1, 30, KONG) == 0


def test_the_refused_batch_waits_at_its_time_while_others_of_the_quota_fill_the_limit(world: World) -> None:
    theirs = world.gateway(OTHER)
    refused = world.job("refused", uploaded(40, "QuotaExceeded"))
    world.quota.refused(refused, 0, 40, KONG)
    world.job("theirs", batch(80, id="batch-1"), gateway=theirs)
    assert world.quota.orders.behind(refused, 0, 40, KONG) == 0
    # A smaller one of its gateway is not held up by it, and takes nothing of its turn.
    small = world.job("small", uploaded(5, "QuotaExceeded"))
    world.moment += timedelta(hours=11)
    assert world.quota.orders.behind(small, 0, 5, KONG) is None
    world.job("small", batch(5, inputFileID="file-1", id="batch-2"))
    assert world.called() == []
    # As soon as it fits by the limit, though less was learnt.
    world.job("theirs", batch(50, id="batch-1"), gateway=theirs)
    assert world.called() == ["refused"]
    assert world.quota.orders.behind(refused, 0, 40, KONG) is None


# --- what was learnt rises ---------------------------------------------------------------------------------------------------


def learnt(world: World) -> None:
    """Have 50 run, and 63 learnt."""
    world.job("running", batch(50, id="batch-1"))
    world.quota.refused(world.job("refused", batch(20, inputFileID="file-1")), 0, 20, KONG)
    world.cache.drop(Key(BATCHJOB, "a", "refused"))
    world.called()


def test_when_the_head_leaves_the_line_the_next_is_looked_at_for_when_what_was_learnt_has_risen(world: World) -> None:
    learnt(world)
    keys = {name: world.job(name, batch(20)) for name in ("head", "next", "last")}
    for key in keys.values():
        world.quota.rises_in(key, 20, KONG)
    assert world.called() == []
    world.cache.drop(keys["head"])
    assert world.called() == ["next"]
    assert world.quota.rises_in(keys["next"], 20, KONG) is not None
    assert world.called() == []


def test_a_head_is_looked_at_anew_when_it_may_go_sooner_than_was_thought(world: World) -> None:
    learnt(world)
    other = world.job("other", batch(10, id="batch-2"))
    head = world.job("head", batch(20))
    later = world.quota.rises_in(head, 20, KONG)
    assert world.called() == []
    world.job("running", batch(40, id="batch-1"))
    assert world.called() == ["head"]
    sooner = world.quota.rises_in(head, 20, KONG)
    assert later is not None
    assert sooner is not None
    assert sooner < later
    assert other in world.quota.ledger.accounts


def test_a_head_whose_priority_is_lowered_leaves_that_to_the_next(world: World) -> None:
    learnt(world)
    first = world.job("first", batch(20))
    high = world.job("high", batch(20), priority=5)
    assert world.quota.rises_in(first, 20, KONG) is None
    assert world.quota.rises_in(high, 20, KONG) is not None
    assert world.called() == []
    high = world.job("high", batch(20), priority=-5)
    assert world.quota.rises_in(high, 20, KONG) is None
    assert world.called() == ["first"]


def test_nobody_is_looked_at_for_what_rises_where_nothing_was_learnt_or_it_has_risen(world: World) -> None:
    world.job("running", batch(90, id="batch-1"))
    world.job("head", batch(20))
    assert world.called() == []
    world.quota.refused(world.job("refused", batch(5, inputFileID="file-1")), 0, 5, KONG)
    world.moment += timedelta(hours=30)
    assert world.quota.limit(KONG) == 100
    world.cache.drop(Key(BATCHJOB, "a", "refused"))
    assert world.called() == []


def test_what_was_learnt_rises_by_hours_that_pass_though_the_clock_is_put_back(world: World) -> None:
    learnt(world)
    assert world.quota.limit(KONG) == 63
    world.moment -= timedelta(days=365)
    assert world.quota.limit(KONG) == 63
    world.moment += timedelta(hours=4)
    assert world.quota.limit(KONG) == 83
    told = world.quota.status(KONG)
    assert told["learned_time"] == world.moment - timedelta(hours=4)


def test_a_gateway_of_another_namespace_has_a_head_of_its_own(world: World) -> None:
    learnt(world)
    other = world.gateway(Key(BATCHGATEWAY, "b", "other"))
    head = world.job("head", batch(20))
    assert world.quota.rises_in(head, 20, KONG) is not None
    theirs = world.job("theirs", batch(60), gateway=other)
    assert world.quota.rises_in(theirs, 60, other) is None, "it has learnt nothing, and waits for another one's end"
    assert world.called() == []
