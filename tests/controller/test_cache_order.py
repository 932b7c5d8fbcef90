"""Of two states of an object, the cache holds the newer one, in whatever order they come."""

from typing import Any

import pytest

from llmbatch.runtime.cache import BATCHJOB, Cache
from llmbatch.runtime.queue import Key

KEY = Key(BATCHJOB, "team-a", "job")


def job(version: str, phase: str, uid: str = "one") -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": version}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("first", "second", "held"),
    [
        pytest.param(job("9", "InProgress"), job("10", "Complete"), "Complete", id="a newer state is taken"),
        pytest.param(job("10", "Complete"), job("9", "InProgress"), "Complete", id="a late event of an older is not"),
        pytest.param(job("10", "Complete"), job("9", "Pending", "two"), "Pending", id="another object of that name is"),
    ],
)
def test_of_two_states_the_newer_is_held(first: dict[str, Any], second: dict[str, Any], held: str) -> None:
    cache = Cache()
    cache.put(KEY, first)
    cache.put(KEY, second)
    assert [found["status"]["phase"] for _, found in cache.all_of(BATCHJOB)] == [held]
