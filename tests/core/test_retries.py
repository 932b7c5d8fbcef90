"""Which batches send unfinished requests again, and when."""

from datetime import timedelta
from typing import Any

import pytest

from llmbatch.api.batch_status import Batch, Unfinished
from llmbatch.api.batchgateway import GatewayLimits
from llmbatch.api.batchjob_status import BatchJobStatus, Stopped
from llmbatch.job.pure import parts, retries
from llmbatch.job.pure.retries import Terms
from tests.support import build
from tests.support.apistore import Json

TERMS = Terms(most_attempts=3, delay_seconds=60, most_requests=10, most_bytes=1000, extra_bytes=0)
LATER = build.NOW + timedelta(hours=2)


def rest(requests: int, size: int | None = None) -> Json:
    moment = build.NOW
    return {
        "unfinished": Unfinished(requests=requests, bytes=size or 10 * requests, crc32="00000001", since_time=moment)
    }


def entry(part: int, attempt: int = 1, of: list[int] | None = None, **given: Any) -> Batch:
    made = Batch(
        part=part, attempt=attempt, parts=of or [], requests=10, id=f"batch-{part}-{attempt}", status="completed"
    )
    return made.model_copy(update=given)


def job(*batches: Batch, **given: Any) -> BatchJobStatus:
    count = len([batch for batch in batches if not batch.parts])
    return BatchJobStatus(parts=count, batches=list(batches)).model_copy(update=given)


def followers(status: BatchJobStatus, now: Any = LATER, terms: Terms = TERMS) -> list[tuple[int, list[int], int]]:
    """Give attempt, parts and requests of the batches that are put in."""
    found = retries.with_followers(status, terms, now)
    new = found.batches[len(status.batches) :] if found is not None else []
    return [(batch.attempt or 1, batch.parts, batch.requests or 0) for batch in new]


def test_nothing_is_sent_again_before_the_delay_is_over() -> None:
    status = job(entry(0, **rest(3)))
    assert followers(status, build.NOW + timedelta(seconds=59)) == []
    assert followers(status, build.NOW + timedelta(seconds=60)) == [(2, [0], 3)]


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 60), (2, 120), (3, 240), (5, 960), (6, 1920), (7, 3600), (40, 3600)]
)
def test_the_delay_doubles_with_each_attempt_up_to_an_hour(attempt: int, seconds: int) -> None:
    assert retries.due(entry(0, attempt, **rest(1)), 60) == build.NOW + timedelta(seconds=seconds)


def test_a_few_failures_of_each_of_a_hundred_parts_make_one_batch() -> None:
    terms = Terms(3, 60, most_requests=100_000, most_bytes=200_000_000, extra_bytes=0)
    status = job(*(entry(part, **rest(3)) for part in range(100)))
    assert followers(status, terms=terms) == [(2, list(range(100)), 300)]


def test_as_many_go_together_as_a_file_takes_by_requests_and_by_bytes() -> None:
    assert followers(job(*(entry(part, **rest(4)) for part in range(5)))) == [
        (2, [0, 1], 8),
        (2, [2, 3], 8),
        (2, [4], 4),
    ]
    big = [entry(part, **rest(1, 400)) for part in range(3)]
    assert followers(job(*big)) == [(2, [0, 1], 2), (2, [2], 1)]


def test_no_more_go_together_than_the_quota_could_ever_take() -> None:
    terms = Terms(3, 60, most_requests=100_000, most_bytes=200_000_000, extra_bytes=0, most_tokens=100)
    of_a_part: Json = {"requests": 10, "estimated_tokens": 90}
    found = [entry(part, **of_a_part, **rest(5)) for part in range(5)]
    assert followers(job(*found), terms=terms) == [(2, [0, 1], 10), (2, [2, 3], 10), (2, [4], 5)]
    # What fills the quota waits for no others.
    assert followers(job(*found[:2], entry(2, status="in_progress")), terms=terms) == [(2, [0, 1], 10)]
    assert Terms.of(build.spec(), GatewayLimits(max_enqueued_tokens=7), 60).most_tokens == 7


def test_a_longer_model_is_counted_with_every_line() -> None:
    terms = Terms(3, 60, most_requests=10, most_bytes=1000, extra_bytes=110)
    assert followers(job(*(entry(part, **rest(3)) for part in range(3))), terms=terms) == [(2, [0, 1], 6), (2, [2], 3)]
    spec = build.spec(model="x" * 20, backoffLimitPerRequest=2)
    assert Terms.of(spec, GatewayLimits(), 60).extra_bytes == 136


def test_while_others_are_under_way_only_a_full_file_is_sent() -> None:
    running = entry(2, status="in_progress")
    assert followers(job(entry(0, **rest(4)), entry(1, **rest(4)), running)) == []
    assert followers(job(entry(0, **rest(4)), entry(1, **rest(5)), running)) == [(2, [0, 1], 9)]
    assert followers(job(entry(0, **rest(4)), entry(1, **rest(0)), running)) == []
    assert followers(job(entry(0, **rest(4)), entry(1, **rest(0)), entry(2, **rest(0)))) == [(2, [0], 4)]


def test_one_that_ended_a_moment_ago_is_waited_for() -> None:
    late = rest(1)["unfinished"].model_copy(update={"since_time": LATER})
    status = job(entry(0, **rest(4)), entry(1, unfinished=late))
    assert followers(status, LATER) == []
    assert followers(status, LATER + timedelta(seconds=60)) == [(2, [0, 1], 5)]


def test_what_is_sent_again_already_is_not_sent_once_more() -> None:
    follower = entry(0, 2, [0, 1], status="in_progress")
    assert followers(job(entry(0, **rest(1)), entry(1, **rest(1)), follower)) == []


def test_a_later_attempt_sends_what_is_left_of_the_one_before_for_all_its_parts() -> None:
    status = job(
        entry(0, **rest(1)),
        entry(1, **rest(1)),
        entry(2, **rest(1)),
        entry(0, 2, [0, 2], **rest(2)),
        entry(1, 2, [1], **rest(1)),
    )
    assert followers(status) == [(3, [0, 1, 2], 3)]
    grown = retries.with_followers(status, TERMS, LATER)
    assert grown is not None
    assert [batch.id for batch in retries.followed(grown, grown.batches[-1])] == ["batch-0-2", "batch-1-2"]


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(job(entry(0), entry(0, 2, [0]), entry(0, 3, [0], **rest(1))), id="after the last attempt"),
        pytest.param(job(entry(0, status="cancelled", **rest(3))), id="cancelled by a person"),
        pytest.param(job(entry(0, **rest(0))), id="nothing unfinished"),
        pytest.param(job(entry(0)), id="not looked at yet"),
        pytest.param(
            job(entry(0, **rest(3)), stopped=Stopped(custom_id="a", code="400", part=0, time=build.NOW)), id="stopped"
        ),
        pytest.param(
            job(
                entry(
                    0, refusal=Batch.parse({"refusal": {"reason": "BatchFailed", "message": "No."}}).refusal, **rest(3)
                )
            ),
            id="refused as a whole",
        ),
    ],
)
def test_nothing_is_sent_again(status: BatchJobStatus) -> None:
    assert followers(status) == []
    assert retries.wait(status, TERMS, build.NOW) is None


def test_what_is_waited_for_is_said() -> None:
    told = retries.wait(job(entry(0, **rest(4)), entry(1, **rest(0))), TERMS, build.NOW)
    assert told is not None
    assert told.message == (
        "4 requests of part 0 failed in a way that may pass; they are sent again (attempt 2 of 3) at 12:01:00 UTC."
    )
    assert told.after == 60
    told = retries.wait(job(entry(0, **rest(4)), entry(1, **rest(1)), entry(2, status="in_progress")), TERMS, LATER)
    assert told is not None
    assert told.message.startswith(
        "5 requests of 2 parts failed in a way that may pass; they are sent again (attempt 2 of 3), together"
    )
    assert told.after is None


def test_requests_that_are_sent_again_have_not_failed_until_they_are_answered_anew() -> None:
    def counts(completed: int, failed: int) -> Any:
        return Batch.parse(
            {"requestCounts": {"total": completed + failed, "completed": completed, "failed": failed}}
        ).request_counts

    first = entry(0, request_counts=counts(6, 4), **rest(3))
    told = parts.counts(job(first))
    assert (told.total, told.completed, told.failed, told.retried) == (10, 6, 4, None), "there is no attempt left"
    waiting = first.model_copy(
        update={"unfinished": first.unfinished and first.unfinished.model_copy(update={"again": True})}
    )
    told = parts.counts(job(waiting))
    assert (told.total, told.completed, told.failed, told.retried) == (10, 6, 1, None)
    again = entry(0, 2, [0], requests=3)
    told = parts.counts(job(first, again))
    assert (told.total, told.completed, told.failed, told.retried) == (10, 6, 1, 3)
    told = parts.counts(job(first, again.model_copy(update={"request_counts": counts(2, 1)})))
    assert (told.total, told.completed, told.failed, told.retried) == (10, 8, 2, 3)
    refused = Batch.parse({"refusal": {"reason": "RequestRefused", "message": "No."}}).refusal
    told = parts.counts(job(first, again.model_copy(update={"refusal": refused})))
    assert (told.total, told.completed, told.failed, told.retried) == (10, 6, 4, 3)
