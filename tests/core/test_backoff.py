"""Delays between tries."""

from hypothesis import given
from hypothesis import strategies as st

from llmbatch.common import backoff

SPREAD = st.floats(0, 1)


@given(failures=st.integers(-1, 10**6), spread=SPREAD)
def test_a_delay_is_within_its_bounds(failures: int, spread: float) -> None:
    delay = backoff.next_delay(failures, spread)
    assert backoff.FIRST_SECONDS <= delay <= backoff.LONGEST_SECONDS * 1.2


@given(failures=st.integers(1, 40))
def test_delays_double_until_the_longest(failures: int) -> None:
    this, following = backoff.next_delay(failures, 0), backoff.next_delay(failures + 1, 0)
    assert following == min(backoff.LONGEST_SECONDS, 2 * this)


@given(interval=st.floats(0, 3600), spread=SPREAD)
def test_a_poll_is_never_before_its_interval(interval: float, spread: float) -> None:
    assert interval <= backoff.poll_delay(interval, spread) <= interval * 1.1 + 1e-9
