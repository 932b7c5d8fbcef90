"""Somebody who edits the object all the time keeps no batch's id from being stored."""

import asyncio

from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator


async def test_an_id_is_never_lost_to_somebody_who_edits_all_the_time(
    operator: Operator, api: ApiServer, among: Among
) -> None:
    among.fault("delay", "batches.create", seconds=0.2)
    among.apply(api)
    edits = 0

    async def edit() -> None:
        nonlocal edits
        while True:
            value = str(edits)
            output = {"secret": {"name": "results", "key": f"r{edits}.jsonl"}}
            metadata = {"labels": {"example.com/n": value}, "annotations": {"example.com/n": value}}
            api.edit("batchjobs", "job", {"metadata": metadata, "spec": {"output": output}})
            edits += 1
            await asyncio.sleep(0.003)

    await operator.until(among.creates, None)
    editor = asyncio.create_task(edit())
    try:
        await among.submitted(operator)
        made = among.batch(operator).id
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert among.batch(operator).id == made
    finally:
        editor.cancel()
    await among.ended(operator)
    assert edits > 20
    assert among.reason(operator) == Reason.SUCCEEDED
    assert operator.job()["metadata"]["labels"] == {"example.com/n": str(edits - 1)}
    stored = among.stored(api, key=f"r{edits - 1}.jsonl")
    assert stored == among.whole("one", "two", "three", "four", "five"), "the last spec holds"
    assert list(among.states()) == [made]
    assert len(among.creates()) == 1


async def test_an_id_lands_though_the_object_has_changed_before_each_write(
    operator: Operator, api: ApiServer, among: Among
) -> None:
    def records(body: Json | list[Json]) -> bool:
        return isinstance(body, dict) and "id" in among.patched(body)

    conflict = api.fault("status", "patch", "batchjobs", "status", status=409, times=-1, where=records)
    among.apply(api)
    try:
        made = await among.submitted(operator)
    finally:
        # It is tried until it lands, by a process that is to end too.
        conflict.times = 0
    assert list(among.states()) == [made]
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert len(among.creates()) == 1
