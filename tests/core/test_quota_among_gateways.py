"""What the gateways of one quota group, and their batches, keep from each other, and where each stands in line."""

import pytest

from llmbatch.gateway.line import Place
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB
from llmbatch.runtime.queue import Key
from tests.core.test_quota import KONG, Json, World, batch
from tests.support.build import NOW

OTHER = Key(BATCHGATEWAY, "b", "other")


@pytest.fixture
def world() -> World:
    made = World()
    made.gateway()
    return made


def uploaded(tokens: int, reason: str) -> Json:
    return batch(tokens, inputFileID="file-1", state={"reason": reason})


@pytest.mark.parametrize(
    "reason", ["WaitingForSlot", "QuotaExceeded", "BillingLimit", "CredentialsNotFound", "OutputExists"]
)
def test_an_uploaded_file_whose_batch_waits_for_something_else_keeps_no_other_gateway_waiting(
    world: World, reason: str
) -> None:
    world.job("theirs", uploaded(90, reason), gateway=world.gateway(OTHER))
    assert world.quota.claim(world.job("mine", batch(40)), 0, 40, KONG) is None


@pytest.mark.parametrize("reason", ["WaitingForSlot", "QuotaExceeded"])
def test_files_that_wait_for_their_turn_go_before_further_ones_of_their_gateway(world: World, reason: str) -> None:
    world.job("uploaded", uploaded(90, reason))
    assert world.quota.claim(world.job("next", batch(40)), 0, 40, KONG) is not None
    world.job("uploaded", uploaded(90, "OutputExists"))
    assert world.quota.claim(Key(BATCHJOB, "a", "next"), 0, 40, KONG) is None


def test_the_refused_batch_is_called_before_its_time_when_others_have_ended_and_it_fits(world: World) -> None:
    world.job("running", batch(50, id="batch-1"))
    world.job("other", batch(20, id="batch-2"))
    refused = world.job("refused", uploaded(5, "QuotaExceeded"))
    world.quota.refused(refused, 0, 5, KONG)  # learnt: 67
    assert world.called() == []
    assert not world.quota.orders.may_try(refused, 0, KONG)
    world.job("other", batch(20, id="batch-2", status="completed"))
    assert world.called() == ["refused"]
    assert world.quota.orders.may_try(refused, 0, KONG)
    assert world.quota.orders.behind(refused, 0, 5, KONG) is None
    world.quota.refused(refused, 0, 5, KONG)  # once more: learnt is 49 now
    assert not world.quota.orders.may_try(refused, 0, KONG)
    assert world.called() == []


def test_the_refused_batch_is_not_called_for_tokens_when_it_lacks_something_else(world: World) -> None:
    world.job("running", batch(50, id="batch-1"))
    refused = world.job("refused", uploaded(5, "QuotaExceeded"))
    world.quota.refused(refused, 0, 5, KONG)
    world.job("running", batch(50, id="batch-1", status="completed"))
    world.job("refused", uploaded(5, "WaitingForSlot"))
    assert world.called() == []


def test_a_batch_that_is_refused_while_nothing_else_is_enqueued_waits_for_its_time(world: World) -> None:
    refused = world.job("refused", uploaded(5, "QuotaExceeded"))
    world.quota.refused(refused, 0, 5, KONG)
    assert world.called() == []
    assert not world.quota.orders.may_try(refused, 0, KONG)


def test_a_batch_that_may_never_fit_holds_no_smaller_one_of_its_gateway_up(world: World) -> None:
    large = world.job("large", uploaded(90, "QuotaExceeded"))
    small = world.job("small", uploaded(10, "QuotaExceeded"))
    same = world.job("same", uploaded(90, "QuotaExceeded"))
    world.job("next", batch(10))
    world.quota.refused(large, 0, 90, KONG)
    assert world.quota.orders.behind(same, 0, 90, KONG) == 90
    assert world.quota.orders.behind(small, 0, 10, KONG) is None
    world.job("small", batch(10, inputFileID="file-1", id="batch-1"))
    assert world.quota.claim(Key(BATCHJOB, "a", "next"), 0, 10, KONG) is None
    # It says nothing of its size when it is refused beside another one; and that other one, when it is refused, tries first.
    world.quota.refused(large, 0, 90, KONG)
    world.job("small", uploaded(10, "QuotaExceeded"))
    world.quota.refused(small, 0, 10, KONG)
    first = world.quota.orders.tries_first(KONG)
    assert first is not None
    assert first.job == small


def test_a_batch_that_is_not_ordered_after_all_leaves_its_tokens_to_the_next(world: World) -> None:
    world.job("running", batch(50, id="batch-1"))
    keys = [world.job(name, batch(40, inputFileID="file-1")) for name in ("first", "second")]
    assert world.quota.orders.behind(keys[0], 0, 40, KONG) is None
    assert world.quota.orders.behind(keys[1], 0, 40, KONG) == 0
    world.quota.ledger.stay(keys[0], 0)
    assert "second" in world.called()
    assert world.quota.orders.behind(keys[1], 0, 40, KONG) is None


@pytest.mark.parametrize("gone", [False, True])
def test_those_of_a_quota_are_called_when_a_gateway_leaves_it(world: World, gone: bool) -> None:
    world.job("theirs", batch(90, id="batch-1"), gateway=world.gateway(OTHER))
    world.job("mine", batch(40))
    assert world.called() == []
    world.cache.drop(OTHER) if gone else world.gateway(OTHER, limits={"quotaGroup": "another"})
    assert [key.name for key in world.quota.called(OTHER)] == ["mine"]


@pytest.mark.parametrize(
    ("limit", "spec", "learnt"),
    [
        pytest.param(100, {"pollIntervalSeconds": 5}, 40, id="something else is edited"),
        pytest.param(90, {}, 40, id="the limit is lowered"),
        pytest.param(200, {}, 200, id="the limit is raised"),
        pytest.param(100, {"limits": {"quotaGroup": "another"}}, 100, id="it shares another quota"),
        pytest.param(100, {"url": "https://elsewhere"}, 100, id="it leads elsewhere"),
    ],
)
def test_what_was_learnt_is_about_one_quota_of_a_size(world: World, limit: int, spec: Json, learnt: int) -> None:
    status = {"learnedTokens": 40, "learnedTime": NOW.strftime("%Y-%m-%dT%H:%M:%SZ")}
    world.gateway(status=status)
    assert world.quota.limit(KONG) == 40
    world.gateway(limit=limit, status=status, **spec)
    assert world.quota.limit(KONG) == learnt


@pytest.mark.parametrize(
    ("seen", "learnt"), [(2, 40), (1, 200)], ids=["before the last leader ended", "while none was there"]
)
def test_what_was_learnt_before_an_edit_that_no_leader_has_seen_is_about_another_limit(seen: int, learnt: int) -> None:
    world = World()
    status = {"learnedTokens": 40, "learnedTime": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"), "observedGeneration": seen}
    body = {"spec": {"url": "https://kong", "limits": {"maxEnqueuedTokens": 200}}, "status": status}
    world.put(KONG, body, generation=2)
    assert world.quota.limit(KONG) == learnt


def test_a_gateway_that_is_made_anew_has_learnt_nothing(world: World) -> None:
    world.job("running", batch(50, id="batch-1"))
    world.quota.refused(world.job("refused", batch(5, inputFileID="file-1")), 0, 5, KONG)
    assert world.quota.limit(KONG) == 49
    body = {"spec": {"url": "https://kong", "limits": {"maxEnqueuedTokens": 100}}}
    world.put(KONG, body, uid="another")
    assert world.quota.limit(KONG) == 100


def queue_at(position: int) -> Json:
    return {"position": position, "aheadTokens": 0, "reason": "QuotaExceeded", "since": "2026-03-01T12:00:00Z"}


def test_a_place_is_told_anew_when_many_have_come_before_it(world: World) -> None:
    world.job("running", batch(90, id="batch-1"))
    world.job("low", batch(40), queue=queue_at(1))
    world.job("high-0", batch(40), priority=1, queue=queue_at(1))
    assert world.called() == []
    world.job("high-1", batch(40), priority=1, queue=queue_at(2))
    assert world.called() == ["low"]


def test_those_with_an_uploaded_file_have_places_of_their_own_before_all_others(world: World) -> None:
    world.job("running", batch(90, id="batch-1"))
    jobs = {
        name: world.job(name, uploaded(tokens, "QuotaExceeded"))
        for name, tokens in (("refused", 5), ("one", 6), ("two", 7))
    }
    world.quota.refused(jobs["refused"], 0, 5, KONG)
    assert world.quota.places.behind(jobs["one"], 0, 6, KONG) == Place(2, 5)
    assert world.quota.places.behind(jobs["two"], 0, 7, KONG) == Place(3, 11)
    assert world.quota.claim(world.job("next", batch(8)), 0, 8, KONG) == Place(4, 18)
    assert world.quota.status(KONG)["queued_batches"] == 4
