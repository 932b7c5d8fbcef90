"""What a quota group has reserved, told from the cache alone; whose turn it is; and what a refusal teaches."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from llmbatch.gateway.line import Place
from llmbatch.gateway.quota import Quota
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB, Cache
from llmbatch.runtime.queue import Key
from tests.support.build import NOW

Json = dict[str, Any]
KONG = Key(BATCHGATEWAY, "a", "kong")


class World:
    """A cache, and the quota that follows it."""

    def __init__(self) -> None:
        self.moment, self.version = NOW, 0
        self.cache = Cache()
        self.quota = Quota(self.cache, self.now)

    def now(self) -> datetime:
        return self.moment

    def gateway(self, key: Key = KONG, limit: int = 100, status: Json | None = None, **spec: Any) -> Key:
        limits = {"maxEnqueuedTokens": limit, **spec.pop("limits", {})}
        body = {"spec": {"url": "https://kong", **spec, "limits": limits}, "status": status or {}}
        return self.put(key, body)

    def job(self, name: str, *batches: Json, gateway: Key = KONG, priority: int = 0, **status: Any) -> Key:
        told = {"parts": len(batches), "batches": list(batches), **status}
        spec = {"gatewayRef": {"name": gateway.name}, "priority": priority}
        return self.put(Key(BATCHJOB, gateway.namespace, name), {"spec": spec, "status": told})

    def put(self, key: Key, body: Json, **metadata: Any) -> Key:
        self.version += 1
        made = f"2026-03-01T12:{self.version // 60:02}:{self.version % 60:02}Z"
        told = {"uid": f"{key}", "resourceVersion": str(self.version), "creationTimestamp": made, **metadata}
        self.cache.put(key, {**body, "metadata": told})
        return key

    def called(self) -> list[str]:
        self.quota.ledger.moved.add(self.quota.ledger.group(KONG).name)
        return [key.name for key in self.quota.called(KONG)]


def batch(tokens: int, **told: Any) -> Json:
    return {"part": 0, "attempt": 1, "estimatedTokens": tokens, **told}


@pytest.fixture
def world() -> World:
    made = World()
    made.gateway()
    return made


@pytest.mark.parametrize(
    ("told", "reserved"),
    [
        ({}, 0),
        ({"inputFileID": "file-1"}, 7),
        ({"inputFileID": "file-1", "submission": {"attempt": 1}}, 7),
        ({"inputFileID": "file-1", "id": "batch-1"}, 7),
        ({"id": "batch-1", "status": "in_progress"}, 7),
        ({"id": "batch-1", "status": "cancelling"}, 7),
        ({"id": "batch-1", "status": "completed"}, 0),
        ({"id": "batch-1", "status": "failed"}, 0),
        ({"id": "batch-1", "status": "cancelled"}, 0),
        ({"refusal": {"reason": "RequestRefused", "message": ""}, "inputFileID": "file-1"}, 0),
    ],
)
def test_tokens_are_reserved_from_the_uploaded_file_to_the_providers_end(
    world: World, told: Json, reserved: int
) -> None:
    world.job("job", batch(7, **told))
    assert world.quota.reserved(KONG) == reserved


def test_an_ended_or_vanished_job_has_nothing_reserved(world: World) -> None:
    job = world.job("job", batch(7, id="batch-1"))
    ended = {"type": "Complete", "status": "True"}
    world.job("other", batch(9, id="batch-2"), conditions=[ended])
    assert world.quota.reserved(KONG) == 7
    world.cache.drop(job)
    assert world.quota.reserved(KONG) == 0


def test_a_job_without_parts_counts_by_its_whole_input(world: World) -> None:
    world.job("job", {"id": "batch-1"}, parts=None, input={"estimatedTokens": 11})
    assert world.quota.reserved(KONG) == 11


def test_what_all_gateways_of_a_group_have_reserved_is_added_up(world: World) -> None:
    other = world.gateway(Key(BATCHGATEWAY, "b", "other"), 0)
    world.gateway(Key(BATCHGATEWAY, "c", "elsewhere"), url="https://elsewhere")
    world.job("one", batch(7, id="batch-1"))
    world.job("two", batch(5, id="batch-2"), gateway=other)
    world.job("three", batch(3, id="batch-3"), gateway=Key(BATCHGATEWAY, "c", "elsewhere"))
    assert world.quota.reserved(KONG) == 12


def test_a_quota_group_joins_what_has_different_urls(world: World) -> None:
    world.gateway(KONG, limits={"quotaGroup": "gpt"})
    other = world.gateway(Key(BATCHGATEWAY, "b", "other"), url="https://elsewhere", limits={"quotaGroup": "gpt"})
    world.job("two", batch(5, id="batch-2"), gateway=other)
    assert world.quota.reserved(KONG) == 5


def test_what_fits_claims_its_tokens_and_the_next_waits_in_line(world: World) -> None:
    first, second = world.job("first", batch(60)), world.job("second", batch(60))
    assert world.quota.claim(first, 0, 60, KONG) is None
    assert world.quota.claim(first, 0, 60, KONG) is None
    assert world.quota.claim(second, 0, 60, KONG) == Place(1, 0)
    assert world.quota.reserved(KONG) == 60


def test_it_says_how_many_are_ahead(world: World) -> None:
    world.job("running", batch(90, id="batch-1"))
    for number in range(3):
        world.job(f"job-{number}", batch(20 + number))
    assert world.quota.claim(Key(BATCHJOB, "a", "job-2"), 0, 22, KONG) == Place(3, 41)


def test_a_claim_becomes_what_the_status_tells_and_counts_once(world: World) -> None:
    job = world.job("job", batch(60))
    world.quota.claim(job, 0, 60, KONG)
    world.job("job", batch(60, inputFileID="file-1"))
    assert world.quota.reserved(KONG) == 60
    world.job("job", batch(60, inputFileID="file-1", id="batch-1", status="completed"))
    assert world.quota.reserved(KONG) == 0


def test_a_claim_is_over_with_its_job_and_when_it_is_given_back(world: World) -> None:
    first, second = world.job("first", batch(60)), world.job("second", batch(30))
    world.quota.claim(first, 0, 60, KONG)
    world.quota.claim(second, 0, 30, KONG)
    world.quota.release(second, 0)
    assert world.quota.reserved(KONG) == 60
    world.cache.drop(first)
    assert world.quota.reserved(KONG) == 0


def test_those_whose_turn_it_is_are_called_when_a_batch_ends(world: World) -> None:
    world.job("running", batch(90, id="batch-1"))
    for number in range(3):
        world.job(f"job-{number}", batch(40))
    assert world.called() == []
    world.job("running", batch(90, id="batch-1", status="completed"))
    assert world.called() == ["job-0", "job-1"]


def test_nobody_is_named_again_while_nothing_has_changed(world: World) -> None:
    world.job("job-0", batch(40))
    assert world.quota.called(KONG) != []
    assert world.quota.called(KONG) == []


def test_a_place_is_told_anew_when_it_has_halved(world: World) -> None:
    world.job("running", batch(90, id="batch-1"))
    queue = {"position": 4, "aheadTokens": 1, "reason": "EnqueuedTokensExceeded", "since": "2026-03-01T12:00:00Z"}
    for number in range(3):
        world.job(f"job-{number}", batch(40), queue=queue)
    assert world.called() == ["job-0", "job-1"]


@pytest.mark.parametrize(
    ("told", "status"),
    [
        pytest.param({"state": {"reason": "InputNotFound"}}, {}, id="a ConfigMap is missing"),
        pytest.param({}, {"stopped": {"customID": "a", "code": "400", "part": 0}}, id="a request has failed the job"),
    ],
)
def test_what_lacks_something_else_holds_nobody_up(world: World, told: Json, status: Json) -> None:
    world.job("running", batch(50, id="batch-1"))
    world.job("head", batch(60, **told), **status)
    world.job("small", batch(10))
    assert world.called() == ["small"]


def test_a_batch_that_never_fits_holds_nobody_up(world: World) -> None:
    world.job("huge", batch(101))
    world.job("small", batch(10))
    assert world.called() == ["small"]


def test_a_refusal_teaches_nine_tenths_of_what_was_reserved_and_that_rises_again(world: World) -> None:
    world.job("running", batch(50, id="batch-1"))
    job = world.job("job", batch(30, inputFileID="file-1"))
    assert world.quota.refused(job, 0, 30, KONG)
    assert world.quota.limit(KONG) == 72
    world.moment += timedelta(hours=2)
    assert world.quota.limit(KONG) == 82
    world.moment += timedelta(hours=10)
    assert world.quota.limit(KONG) == 100
    assert "learned_tokens" not in world.quota.status(KONG)


def test_a_gateway_without_a_limit_learns_nothing(world: World) -> None:
    world.gateway(KONG, 0)
    job = world.job("job", batch(30, inputFileID="file-1"))
    assert not world.quota.refused(job, 0, 30, KONG)
    assert world.quota.claim(job, 0, 1000, KONG) is None


def test_a_new_leader_goes_by_what_the_status_says_was_learnt(world: World) -> None:
    world.gateway(KONG, status={"learnedTokens": 40, "learnedTime": NOW.strftime("%Y-%m-%dT%H:%M:%SZ")})
    assert world.quota.limit(KONG) == 40


def test_behind_a_refused_batch_the_others_of_its_gateway_wait_and_those_of_another_do_not(world: World) -> None:
    other = world.gateway(Key(BATCHGATEWAY, "b", "other"))
    world.job("running", batch(50, id="batch-1"))
    refused = world.job("refused", batch(5, inputFileID="file-1"))
    uploaded = world.job("uploaded", batch(5, inputFileID="file-2"))
    world.job("waiting", batch(5))
    world.job("elsewhere", batch(5), gateway=other)
    world.quota.refused(refused, 0, 5, KONG)
    assert world.quota.orders.behind(refused, 0, 5, KONG) is None
    assert world.quota.orders.behind(uploaded, 0, 5, KONG) == 5
    assert world.called() == ["elsewhere"]
    world.job("refused", batch(5, inputFileID="file-1", id="batch-2"))
    # What was learnt leaves no room yet.
    assert "uploaded" not in world.called()
    assert world.quota.orders.behind(uploaded, 0, 5, KONG) == 0
    world.job("running", batch(50, id="batch-1", status="completed"))
    assert "uploaded" in world.called()
    assert world.quota.orders.behind(uploaded, 0, 5, KONG) is None


@pytest.mark.parametrize("end", ["deleted", "refused for good"])
def test_they_wait_no_longer_when_the_refused_batch_comes_to_nothing(world: World, end: str) -> None:
    world.job("running", batch(50, id="batch-1"))
    refused = world.job("refused", batch(5, inputFileID="file-1"))
    uploaded = world.job("uploaded", batch(5, inputFileID="file-2"))
    world.quota.refused(refused, 0, 5, KONG)
    assert world.quota.orders.behind(uploaded, 0, 5, KONG) is not None
    if end == "deleted":
        world.cache.drop(refused)
    else:
        world.job("refused", batch(5, inputFileID="file-1", refusal={"reason": "RequestRefused", "message": ""}))
    world.job("running", batch(50, id="batch-1", status="completed"))
    assert "uploaded" in world.called()
    assert world.quota.orders.behind(uploaded, 0, 5, KONG) is None


def test_a_batch_that_is_refused_late_tries_first_until_it_has_another_id(world: World) -> None:
    refused = world.job("refused", batch(5, inputFileID="file-1", id="batch-1", status="failed"))
    uploaded = world.job("uploaded", batch(5, inputFileID="file-2"))
    world.quota.refused(refused, 0, 5, KONG)
    assert world.quota.orders.behind(uploaded, 0, 5, KONG) is not None
    world.job("refused", batch(5, inputFileID="file-1"))
    assert world.quota.orders.behind(uploaded, 0, 5, KONG) is not None
    world.job("refused", batch(5, inputFileID="file-1", id="batch-2"))
    assert world.quota.orders.tries_first(KONG) is None


def test_a_head_that_waits_for_what_was_learnt_is_looked_at_when_that_has_risen(world: World) -> None:
    world.job("running", batch(50, id="batch-1"))
    refused = world.job("refused", batch(20, inputFileID="file-1"))
    world.quota.refused(refused, 0, 20, KONG)  # learnt: 63
    head, after = world.job("head", batch(5)), world.job("after", batch(5))
    assert world.quota.rises_in(head, 5, KONG) == pytest.approx(12 / 5 * 3600)
    assert world.quota.rises_in(head, 50, KONG) is None  # never fits beside the others
    assert world.quota.rises_in(after, 5, KONG) is None


def test_the_gateways_status_tells_what_is_reserved_and_who_waits(world: World) -> None:
    assert world.quota.status(Key(BATCHGATEWAY, "a", "unknown")) == {}
    world.job("running", batch(90, id="batch-1"))
    world.job("waiting", batch(20))
    assert world.quota.status(KONG) == {"enqueued_tokens": 90, "queued_batches": 1}
    assert list(world.quota.groups().values()) == [(100, 90, 1)]


def test_a_job_whose_file_waits_for_its_batch_is_not_called_for_its_next_part(world: World) -> None:
    """It sends no further file before: it would be looked at without a pause, and never go on."""
    waiting = {"inputFileID": "file-1", "state": {"phase": "Submitting", "reason": "WaitingForSlot"}}
    world.job("job", batch(7, **waiting), batch(5, part=1))
    assert world.called() == []
    world.job("job", batch(7, inputFileID="file-1", id="batch-1"), batch(5, part=1))
    assert world.called() == ["job"]
