"""Whatever becomes of a create call: one batch is made or one survives, and nobody submits again before its time."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from llmbatch.api import RESUBMIT_ANNOTATION
from llmbatch.api.reasons import Reason
from tests.controller.among import ALONE, SECOND, Among, also_second
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator
from tests.support.relay import Relay

SETTLE_SECONDS = 1.5
SHORTEST_SECONDS = 0.2
"""Between two calls: intentTime has whole seconds, which takes up to one away, and the first call comes a moment after it."""


@dataclass(frozen=True)
class Case:
    """What befalls the first create call, and what has to come of it."""

    kind: str
    given: dict[str, Any] = field(default_factory=dict)
    posts: int = 1
    """Create calls that the gateway sees in all."""
    attempts: int | None = 1
    adopted: int = 0
    meanwhile: Reason | None = None
    """Reason of the Ready condition until it is known what became of the call."""
    end: Reason = Reason.SUCCEEDED
    gateway: dict[str, Any] = field(default_factory=dict)
    lag: float = 0.0
    """Of the gateway's list, in seconds."""


def unknown_and_not_made(kind: str, **given: Any) -> Case:
    return Case(kind, given, posts=2, attempts=2, meanwhile=Reason.SUBMISSION_PENDING)


def unknown_but_made(kind: str, lag: float = 0.0, gateway: dict[str, Any] | None = None, **given: Any) -> Case:
    return Case(kind, given, adopted=1, meanwhile=Reason.SUBMISSION_PENDING, lag=lag, gateway=gateway or {})


def put_off(reason: Reason, **given: Any) -> Case:
    return Case("status", given, posts=2, meanwhile=reason)


def refused(**given: Any) -> Case:
    return Case("status", given, attempts=None, end=Reason.REQUEST_REFUSED)


WHO = ("azure", "kong", "text")
SERVER_ERRORS = (500, 502, 503, 504)


def every_case() -> Iterator[Any]:
    """Every way in which a call can end, by name."""
    for status in SERVER_ERRORS:
        for who in WHO:
            case = unknown_and_not_made("status", status=status, as_=who)
            yield pytest.param(case, id=f"{status} of {who}, nothing done")
            case = unknown_but_made("accepted_status", status=status, as_=who)
            yield pytest.param(case, id=f"{status} of {who}, accepted")
    for status in (408, 409):
        yield pytest.param(unknown_and_not_made("status", status=status), id=f"{status}, nothing done")
        yield pytest.param(unknown_but_made("accepted_status", status=status), id=f"{status}, accepted")
    yield pytest.param(unknown_and_not_made("reset_before"), id="reset before it was accepted")
    for lag in (0.0, 1.0):
        late = ", and the list is late" if lag else ""
        for name, case in (
            ("reset after it was accepted", unknown_but_made("reset_after", lag)),
            ("504 of kong, empty", unknown_but_made("accepted_status", lag, status=504, as_="empty")),
            ("no answer in time", unknown_but_made("hang_after", lag, {"timeouts": {"requestSeconds": 1}}, seconds=3)),
            ("JSON that breaks off", unknown_but_made("garbled", lag, bytes=40)),
        ):
            yield pytest.param(case, id=f"{name}{late}")
    for name, spoilt in (
        ("a page in place of JSON", {}),
        ("an empty body", {"bytes": 0}),
        ("JSON without an id", {"message": '{"object": "batch", "status": "validating"}'}),
        ("JSON with an empty id", {"message": '{"id": ""}'}),
        ("JSON that is no object", {"message": "null"}),
    ):
        yield pytest.param(unknown_but_made("garbled", **spoilt), id=f"2xx with {name}")
    yield pytest.param(unknown_but_made("truncate", bytes=40), id="a connection that breaks in the middle of the body")
    for who in ("azure", "kong"):
        yield pytest.param(put_off(Reason.RATE_LIMITED, status=429, as_=who), id=f"429 of {who}")
        case = put_off(Reason.RATE_LIMITED, status=429, as_=who, retry_after=1)
        yield pytest.param(case, id=f"429 of {who} that names its time")
    quota = "The deployment's limit is used up: token_limit_exceeded."
    for status in (400, 409, 429):
        case = put_off(Reason.QUOTA_EXCEEDED, status=status, message=quota)
        yield pytest.param(case, id=f"{status} for want of quota")
    for status in (401, 403):
        yield pytest.param(put_off(Reason.GATEWAY_UNAUTHORIZED, status=status, as_="kong"), id=f"{status} of kong")
        yield pytest.param(put_off(Reason.GATEWAY_UNAUTHORIZED, status=status), id=f"{status} of azure")
    route = {"status": 404, "as_": "kong", "message": "no Route matched with those values"}
    yield pytest.param(put_off(Reason.ROUTE_NOT_FOUND, **route), id="404 of kong: no such route")
    case = put_off(Reason.FILE_PENDING, status=404, message="File not found.")
    yield pytest.param(case, id="404 of azure: no such file yet")
    yield pytest.param(refused(status=404, message="No such model."), id="404 of azure: no such model")
    yield pytest.param(refused(status=400, message="No such deployment."), id="400 of azure")
    yield pytest.param(refused(status=413, as_="kong", message="Payload too large"), id="413 of kong")
    yield pytest.param(refused(status=422), id="422 of azure")


OF_THE_SECOND = (
    "500 of azure, nothing done",
    "504 of kong, accepted",
    "409, accepted",
    "reset before it was accepted",
    "reset after it was accepted, and the list is late",
    "no answer in time",
    "2xx with a page in place of JSON",
    "2xx with JSON without an id",
    "429 of kong that names its time",
    "400 for want of quota",
    "403 of kong",
    "404 of kong: no such route",
    "404 of azure: no such file yet",
    "400 of azure",
)


def reasons(api: ApiServer) -> set[str]:
    """Give every reason that the job's Ready condition ever had."""
    return {
        item["reason"]
        for found in api.stored
        if found["_plural"] == "batchjobs"
        for item in (found.get("status") or {}).get("conditions") or []
        if item["type"] == "Ready"
    }


def counted(operator: Operator, name: str) -> float:
    return operator.runtime.metrics.registry.get_sample_value(f"llmbatch_{name}_total") or 0.0


@pytest.mark.parametrize(("case", "among"), also_second(every_case(), *OF_THE_SECOND), indirect=["among"])
async def test_a_create_call_comes_to_one_batch_or_none(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path, case: Case
) -> None:
    kong.configure(list_lag_seconds=case.lag)
    among.fault(case.kind, "batches.create", **case.given)
    settle = 30 if case.adopted else SETTLE_SECONDS
    async with Operator(api, tmp_path, settle_seconds=settle).running() as operator:
        among.apply(api, **case.gateway)
        status = await among.ended(operator)
        assert among.reason(operator) == case.end
        assert case.meanwhile is None or case.meanwhile in reasons(api)
        posts = among.creates()
        assert len(posts) == case.posts
        assert len(among.states()) == (case.end is Reason.SUCCEEDED), "one batch is made"
        assert among.batch(operator).create_calls == case.attempts
        assert not any(batch.submission for batch in status.batches)
        assert counted(operator, "adoptions") == case.adopted
        assert counted(operator, "duplicate_batches") == 0
        if case.attempts == 2:
            assert posts[1]["time"] - posts[0]["time"] >= SHORTEST_SECONDS, "a second call before the settle period"
            looked = [call["time"] for call in kong.calls("batches.list")]
            assert [time for time in looked if posts[0]["time"] < time < posts[1]["time"]], "a second call unlooked"


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("refuse", id="a refused connection made nothing"),
        pytest.param("reset", id="of one that was reset there is no telling"),
    ],
)
async def test_a_connection_that_fails_before_anything_is_sent(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path, how: Literal["refuse", "reset"]
) -> None:
    meanwhile = Reason.GATEWAY_UNREACHABLE if how == "refuse" else Reason.SUBMISSION_PENDING
    # So that the file is asked for, right before the create call.
    kong.configure(file_pending_seconds=0.05)
    async with (
        Relay(kong.url, cut_at=b"/files/file-", how=how, skip=among.index).serving() as relay,
        Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as operator,
    ):
        among.apply(api, url=relay.url)
        await among.until_reason(operator, meanwhile)
        # Between two tries nothing is owed; while it isn't known what became of one, its intent stays.
        await operator.until(lambda: (among.batch(operator).submission is None) == (how == "refuse"))
        assert not among.creates()
        await relay.mend()
        await among.ended(operator)
        assert among.reason(operator) == Reason.SUCCEEDED
        assert among.batch(operator).create_calls == (1 if how == "refuse" else 2)
        assert len(among.states()) == len(among.creates()) == 1


@pytest.mark.parametrize("offset", [-600, 600])
async def test_a_clock_ten_minutes_off_keeps_nobody_from_finding_a_batch(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path, offset: int
) -> None:
    kong.configure(clock_offset_seconds=offset, page_size=5)
    kong.insert_batch(count=30, apart_seconds=120, status="completed")
    among.fault("reset_after", "batches.create")
    async with Operator(api, tmp_path, settle_seconds=30).running() as operator:
        among.apply(api)
        await among.ended(operator)
        assert among.reason(operator) == Reason.SUCCEEDED
        assert len(among.creates()) == 1
        assert counted(operator, "adoptions") == 1


async def test_without_a_list_a_person_decides_and_the_job_goes_on(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    kong.configure(list_supported=False)
    among.fault("reset_before", "batches.create")
    async with Operator(api, tmp_path, settle_seconds=SETTLE_SECONDS).running() as operator:
        among.apply(api)
        await among.until_reason(operator, Reason.SUBMISSION_UNKNOWN)
        assert operator.status().holds("Stalled")
        again = among.call(2)
        for value in (among.call(1), among.call(3), "yes", "", "1", "2" if among.several else "1-2"):
            api.edit("batchjobs", "job", {"metadata": {"annotations": {RESUBMIT_ANNOTATION: value}}})
            await operator.look()
            await operator.quiet()
        await asyncio.sleep(SETTLE_SECONDS)
        assert len(among.creates()) == 1, "only the number of the next attempt is a word about this one"
        api.edit("batchjobs", "job", {"metadata": {"annotations": {RESUBMIT_ANNOTATION: again}}})
        await among.ended(operator)
        assert (among.reason(operator), among.batch(operator).create_calls) == (Reason.SUCCEEDED, 2)
        assert len(among.states()) == 1
        assert len(among.creates()) == 2


# --- long lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page_size", "order", "among"),
    [
        *((size, order, ALONE) for size in (1, 2, 20, 100) for order in ("newest", "oldest", "none")),
        *((size, order, SECOND) for size, order in ((2, "none"), (20, "newest"))),
    ],
    indirect=["among"],
)
async def test_a_batch_is_found_among_the_many_of_others(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path, page_size: int, *, order: str
) -> None:
    # A gateway that loses metadata leaves only the file to know it by.
    kong.configure(page_size=page_size, list_order=order, keep_metadata=page_size != 20)
    kong.insert_batch(count=120, apart_seconds=30, status="completed", metadata={"llmbatch_uid": "of-another"})
    among.fault("reset_after", "batches.create")
    async with Operator(api, tmp_path, settle_seconds=30).running() as operator:
        among.apply(api)
        await operator.until(lambda: counted(operator, "adoptions"), None)
        assert among.batch(operator).id == among.creates()[0]["answer_id"]
        assert len(among.creates()) == 1
        assert not kong.calls("batches.cancel"), "what is not ours is left alone"
        pages = len(kong.calls("batches.list"))
        assert order != "newest" or among.several or pages <= 3 + 35 / page_size + 10 / page_size, (
            "a sorted list is not read to its end"
        )


async def test_a_list_that_cannot_be_read_to_its_end_is_no_proof_that_there_is_no_batch(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    kong.configure(page_size=5, list_order="oldest", list_follows=False)
    kong.insert_batch(count=6, age_seconds=60, status="completed")
    among.fault("reset_after", "batches.create")
    async with Operator(api, tmp_path).running() as operator:
        among.apply(api)
        await among.until_reason(operator, Reason.SUBMISSION_UNKNOWN)
        await asyncio.sleep(SETTLE_SECONDS)
        assert len(among.creates()) == 1
        kong.configure(list_follows=True)
        await among.ended(operator)
        assert among.reason(operator) == Reason.SUCCEEDED
        assert len(among.creates()) == 1
