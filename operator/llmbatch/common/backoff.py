"""How long to wait before trying again."""

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0


def next_delay(
    failures: int, spread: float, *, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS
) -> float:
    """Give the delay after the given number of failures in a row: doubling, from `first` to `longest` seconds.

    Args:
        failures: Failures so far, from 1.
        spread: A random number from 0 to 1; up to a fifth is added, so that many jobs don't come back at once.
    """
    # 2**32 s is far beyond any limit: the exponent is capped so that the power can't overflow.
    return min(longest, first * 2.0 ** min(max(failures, 1) - 1, 32)) * (1 + 0.2 * spread)


def poll_delay(interval_seconds: float, spread: float) -> float:
    """Give the delay until the next poll: never less than the interval, up to a tenth more."""
    return interval_seconds * (1 + 0.1 * spread)
