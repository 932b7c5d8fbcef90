"""The API server's clock, learnt from its answers."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from llmbatch.kube.clock import Clock
from llmbatch.kube.permissions import JOBS
from tests.support.apiserver import ApiServer
from tests.support.inprocess import cluster_of


def ahead(clock: Clock) -> float:
    """Give how far a clock is ahead of ours, in seconds."""
    return (clock.now() - datetime.now(UTC)).total_seconds()


def date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("offset", [-600, 0, 600])
async def test_it_is_learnt_from_any_answer(offset: float) -> None:
    async with ApiServer().serve() as api:
        api.clock_offset_seconds = offset
        cluster = cluster_of(api)
        await cluster.get(JOBS, "team-a", "job")
        assert (cluster.now() - datetime.now(UTC)).total_seconds() == pytest.approx(offset, abs=2)
        await cluster.close()


@pytest.mark.parametrize(
    ("told", "seconds", "expected"),
    [
        pytest.param(1, 0.1, 0, id="whole seconds are no offset"),
        pytest.param(-600, 0.1, -600, id="behind ours"),
        pytest.param(600, 0.1, 600, id="ahead of ours"),
        pytest.param(600, 20, 610, id="a slow call told the middle of its time"),
        pytest.param(0, 20, 0, id="a slow call tells no small offset"),
    ],
)
def test_what_one_answer_tells(told: float, seconds: float, expected: float) -> None:
    clock = Clock()
    clock.learn(date(told), seconds)
    assert ahead(clock) == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("told", [None, "", "yesterday"])
def test_without_a_date_ours_stays(told: str | None) -> None:
    clock = Clock()
    clock.learn(told, 0.1)
    assert ahead(clock) == pytest.approx(0, abs=0.1)


def test_what_is_known_does_not_jitter_with_every_answer_and_is_forgotten_when_clocks_agree() -> None:
    clock = Clock()
    clock.learn(date(600), 0.1)
    known = ahead(clock)
    clock.learn(date(601), 0.1)
    assert ahead(clock) == pytest.approx(known, abs=0.1)
    clock.learn(date(0), 0.1)
    assert ahead(clock) == pytest.approx(0, abs=0.1)
