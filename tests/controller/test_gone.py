"""Jobs that are gone, in whichever way they went: whoever makes and deletes them all day fills nobody's memory."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all

BOUNDED = {"_spent"}
"""What counts events, and forgets all of it when there are many."""


def remembered(found: Any, uid: str, path: str = "runtime", seen: set[int] | None = None) -> Iterator[str]:
    """Name the places in a process where a uid is still known."""
    seen = set() if seen is None else seen
    if isinstance(found, str):
        if uid in found:
            yield path
        return
    if id(found) in seen:
        return
    seen.add(id(found))
    inner: list[tuple[str, Any]] = []
    if isinstance(found, dict):
        inner = [(f"{path}[]", item) for pair in found.items() for item in pair]
    elif isinstance(found, list | tuple | set | frozenset | deque):
        inner = [(f"{path}[]", item) for item in found]
    elif type(found).__module__.startswith("llmbatch."):
        slots = [name for kind in type(found).__mro__ for name in getattr(kind, "__slots__", ())]
        names = {*vars(found)} if hasattr(found, "__dict__") else set(slots)
        inner = [(f"{path}.{name}", getattr(found, name, None)) for name in sorted(names - BOUNDED)]
    for where, item in inner:
        yield from remembered(item, uid, where, seen)


async def waits_for_its_input(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE)
    api.remove("configmaps", "prompts")
    await operator.until_reason("InputNotFound")


async def cannot_be_uploaded(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.fault("status", "files.create", status=400, times=-1)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.batch().upload_tries)
    api.edit("batchjobs", "job", {"metadata": {"finalizers": None}})


async def is_at_work(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.batch().id)
    api.edit("batchjobs", "job", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("begins", [waits_for_its_input, cannot_be_uploaded, is_at_work])
@pytest.mark.parametrize("again", [False, True], ids=["deleted", "made anew under its name"])
async def test_nothing_is_remembered_of_one_that_was_not_let_go_by_the_operator(
    operator: Operator, api: ApiServer, kong: Instance, begins: Any, again: bool
) -> None:
    await begins(operator, api, kong)
    await operator.quiet()
    uid = operator.job()["metadata"]["uid"]
    assert list(remembered(operator.runtime, uid)), "or this test sees nothing"
    # In one breath, before the operator could put its finalizer on again.
    api.edit("batchjobs", "job", {"metadata": {"finalizers": None}})
    api.remove("batchjobs", "job")
    if again:
        apply_all(api, kong, FIVE)
    await operator.look()
    await operator.quiet()
    await operator.until(lambda: not list(remembered(operator.runtime, uid)), None)
