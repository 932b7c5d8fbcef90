"""Nothing is remembered of jobs that have gone, however they went: a process lives for months."""

import asyncio
import gc
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Json, Operator, apply_all

JOBS = 12
BOUNDED = ("._spent", "._kept", "._counted", "._held", ".queue._later")
"""What keeps the latest of its kind, so many of them or for so long; of the queue, looks that are void when their time comes."""


def sizes(root: object) -> dict[str, int]:
    """Measure everything that a runtime holds on to, by how it is reached."""
    found: dict[str, int] = {}
    known: set[int] = set()
    todo: list[tuple[str, Any]] = [("", root)]
    while todo:
        path, item = todo.pop()
        if id(item) in known:
            continue
        known.add(id(item))
        if isinstance(item, dict | set | list | deque):
            found[path] = found.get(path, 0) + len(item)
            members = list(item.items()) if isinstance(item, dict) else list(enumerate(item))
            todo += [(f"{path}[]", value) for _, value in members]
        elif type(item).__module__.startswith("llmbatch."):
            slots = {name: getattr(item, name) for kind in type(item).__mro__ for name in _slots(kind, item)}
            todo += [(f"{path}.{name}", value) for name, value in {**getattr(item, "__dict__", {}), **slots}.items()]
    return found


def _slots(kind: type, item: object) -> list[str]:
    return [name for name in getattr(kind, "__slots__", ()) if hasattr(item, name)]


async def ended(operator: Operator, kong: Instance, names: list[str]) -> None:
    await operator.until(lambda: all(_are_made(operator, name) for name in names), None)
    kong.advance(3600)
    await operator.until(lambda: all(operator.status(name).completion_time for name in names), None)
    await operator.until(lambda: not any(operator.job(name)["metadata"].get("finalizers") for name in names), None)


def _are_made(operator: Operator, name: str) -> bool:
    batches = operator.status(name).batches
    return bool(batches) and all(batch.id for batch in batches)


async def waiting(operator: Operator, kong: Instance, names: list[str]) -> None:
    del kong
    told = {Reason.WAITING_FOR_SLOT, Reason.QUOTA_EXCEEDED, Reason.VALIDATING}
    await operator.until(lambda: all(operator.reason(name) in told for name in names), None)


async def in_trouble(operator: Operator, kong: Instance, names: list[str]) -> None:
    del kong
    await operator.until(lambda: all(operator.reason(name) == Reason.INPUT_NOT_FOUND for name in names), None)


Kept = tuple[Json, Json, Callable[[Operator, Instance, list[str]], Any]]
"""What the gateway limits, further fields of the jobs' spec, and what they are waited for."""
GONE: Json = {"configMap": {"name": "gone", "key": "batch.jsonl"}}


@pytest.mark.parametrize("by_force", [False, True], ids=["deleted", "their finalizers taken off"])
@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(({}, {}, ended), id="ended"),
        pytest.param(({"maxActiveBatches": 2}, {}, waiting), id="waiting for a place"),
        pytest.param(({"maxEnqueuedTokens": 3000}, {}, waiting), id="waiting for tokens"),
        pytest.param(
            ({"maxEnqueuedTokens": 10**6, "maxRequestsPerFile": 2}, {}, ended), id="ended, of several batches"
        ),
        pytest.param(({}, {"input": GONE}, in_trouble), id="in trouble"),
    ],
)
async def test_nothing_is_remembered_of_jobs_that_have_gone(
    operator: Operator, api: ApiServer, kong: Instance, kept: Kept, by_force: bool
) -> None:
    limits, given, until = kept
    apply_all(api, kong, FIVE, build.batchjob_apart("first", **given), limits=limits)
    measured: list[dict[str, int]] = []
    for wave in range(3):
        names = [f"job-{wave}-{number}" for number in range(JOBS)]
        for name in names:
            api.put("batchjobs", build.batchjob_apart(name, **given))
        await until(operator, kong, names)
        if by_force:
            for name in names:
                api.edit("batchjobs", name, {"metadata": {"finalizers": None}})
                api.remove("batchjobs", name)
                if api.get("batchjobs", name) is not None:
                    api.edit("batchjobs", name, {"metadata": {"finalizers": None}})
        else:
            for name in names:
                api.remove("batchjobs", name)
        await operator.until(lambda names=names: not any(api.get("batchjobs", name) for name in names), None)  # type: ignore[misc]
        await operator.quiet()
        await asyncio.sleep(0.5)
        gc.collect()
        measured.append(sizes(operator.runtime))
    # The first wave is there for what is made once.
    grown = {
        path: [found.get(path, 0) for found in measured]
        for path, size in measured[2].items()
        if size - measured[1].get(path, 0) >= JOBS and not any(name in path for name in BOUNDED)
    }
    assert grown == {}
