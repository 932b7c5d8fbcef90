"""Somebody changes spec.output of a job with several batches, some of whose results are stored already, or looked at."""

from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import jsonl
from tests.controller.test_split import IDS, made, split_job
from tests.controller.test_split import stored as in_secret
from tests.controller.test_split_volumes import IN, OUT, begun, files, stored, volume
from tests.controller.test_strays import left
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json, StatusError
from tests.support.inprocess import Operator, apply_all

__all__ = ["volume"]

SECRET: Json = {"secret": {"name": "results", "key": "r.jsonl"}}
ELSEWHERE: Json = {"persistentVolumeClaim": {"claimName": "data", "path": "elsewhere/r.jsonl"}}
RENAMED: Json = {"persistentVolumeClaim": {"claimName": "data", "path": "out/other.jsonl"}}


def move(api: ApiServer, output: Json) -> None:
    places = dict.fromkeys(("secret", "configMap", "persistentVolumeClaim"))
    api.edit("batchjobs", "job", {"spec": {"output": {**places, **output}}})


async def with_one_stored(operator: Operator, api: ApiServer, kong: Instance, **given: Any) -> None:
    """Have the first of three batches end, and its results be stored and its files be deleted."""
    await begun(operator, api, kong, 1, parallelism=1, **given)
    kong.advance(3600)
    await operator.until(lambda: len(made(operator)) == 2 and operator.status().batches[0].results)
    await operator.until(lambda: not any("-0-" in name for name in left(kong)))


async def with_one_stored_while_moved(operator: Operator, api: ApiServer, kong: Instance, output: Json) -> None:
    """Have the place be changed at the very moment when the first results are stored, and not in status yet."""

    def records_results(body: Json) -> bool:
        return any(batch.get("results") for batch in (body.get("status") or {}).get("batches") or [])

    late = api.fault("hold", "patch", "batchjobs", "status", where=records_results)
    await begun(operator, api, kong, 1, parallelism=1)
    kong.advance(3600)
    await operator.until(lambda: late.times == 0, None)
    move(api, output)
    late.released.set()
    await operator.until_reason(Reason.OUTPUT_INVALID)


async def the_rest(operator: Operator, kong: Instance) -> None:
    for count in (2, 3):
        await operator.until(lambda count=count: len(made(operator)) == count)  # type: ignore[misc]
        kong.advance(3600)
    await operator.until_ended()


async def ends_in(volume: Path, operator: Operator, kong: Instance, names: list[str]) -> None:
    """Have the batches under way end, and see to it that all results are in the volume, and nothing at the provider."""
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert stored(volume) == names
    assert left(kong) == []


@pytest.mark.parametrize("output", [SECRET, ELSEWHERE], ids=["into a Secret", "into another folder"])
async def test_once_results_of_a_part_are_stored_the_job_says_where_and_goes_on_when_the_place_is_put_back(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path, output: Json
) -> None:
    await with_one_stored_while_moved(operator, api, kong, output)
    (folder,) = files(volume)
    assert operator.status().parts_location == f"persistentvolumeclaim/data folder out/{folder}"
    told = operator.status().condition("Stalled")
    assert told is not None
    assert f"in persistentvolumeclaim/data folder out/{folder}" in told.message
    count = len(kong.batches())
    kong.advance(3600)
    await operator.look()
    await operator.quiet()
    assert len(kong.batches()) == count, "nothing more is ordered"
    move(api, OUT)
    await the_rest(operator, kong)
    assert operator.reason() == Reason.SUCCEEDED
    assert stored(volume) == IDS
    assert files(volume) == ["r.jsonl"]
    assert operator.status().parts_location is None


async def test_a_deletion_says_where_they_are_though_the_spec_names_another_place(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    await with_one_stored_while_moved(operator, api, kong, SECRET)
    api.remove("batchjobs", "job")
    await operator.until(lambda: kong.calls("batches.cancel"))
    kong.advance(60)
    await operator.until_gone()
    (told,) = [event["message"] for event in api.objects("events") if event["reason"] == Reason.OUTPUT_RETAINED]
    assert f"persistentvolumeclaim/data folder out/{files(volume)[0]}" in told


async def test_the_file_may_get_another_name_in_the_same_folder(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    await with_one_stored(operator, api, kong)
    for refused in (SECRET, ELSEWHERE, {**RENAMED, "order": "Completion"}):
        with pytest.raises(StatusError, match=r"but for the file's name.*status\.partsLocation"):
            move(api, refused)
    move(api, RENAMED)
    await the_rest(operator, kong)
    assert operator.reason() == Reason.SUCCEEDED
    assert stored(volume, "other.jsonl") == IDS
    assert files(volume) == ["other.jsonl"]


@pytest.mark.parametrize("given", [{}, {"model": "gpt-4o-mini"}], ids=["", "model"])
@pytest.mark.parametrize("count", [1, 3], ids=["one part", "several"])
async def test_from_a_secret_into_a_volume_before_failed_requests_are_sent_again(
    api: ApiServer, kong: Instance, volume: Path, given: Json, count: int
) -> None:
    names = ["a", "b--status-429-times-1", "c", "d--status-500-times-1", "e"]
    content = jsonl(*names).replace(b'"}\n', b'"}  \r\n')
    (volume / "in" / "batch.jsonl").write_bytes(content)
    limits = {} if count == 1 else {"limits": {"maxRequestsPerFile": 2}}
    async with Operator(api, volume.parent, request_retry_seconds=2).running() as operator:
        apply_all(api, kong, content, split_job(input=IN, output=SECRET, backoffLimitPerRequest=1, **given), **limits)
        await operator.until(lambda: len(made(operator)) == count)
        kong.advance(3600)
        await operator.until(lambda: all(batch.unfinished for batch in operator.status().batches))
        move(api, OUT)
        await operator.until(lambda: len(made(operator)) == count + 1)
        await ends_in(volume, operator, kong, names)


async def test_what_would_fill_the_operators_memory_is_sent_again_by_a_pod_once_the_results_go_into_a_volume(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    names = [f"{name}--status-429-times-1" for name in "abc"]
    (volume / "in" / "batch.jsonl").write_bytes(jsonl(*names, prompt="x" * 6_000_000))
    apply_all(api, kong, b"", split_job(input=IN, output=SECRET, backoffLimitPerRequest=1))
    await operator.until(lambda: made(operator))
    kong.advance(3600)
    await operator.until_reason(Reason.OUTPUT_TOO_LARGE)
    told = operator.status().condition("Stalled")
    assert told is not None
    assert "more than the 16777216 that the operator sends itself; name a PersistentVolumeClaim" in told.message
    before = len(kong.calls("files.content"))
    for _ in range(3):
        await operator.look()
        await operator.quiet()
    assert len(kong.calls("files.content")) == before, "none of it is read"
    move(api, OUT)
    await operator.until(lambda: len(made(operator)) == 2)
    await ends_in(volume, operator, kong, names)


@pytest.mark.parametrize("given", [{}, {"backoffLimitPerRequest": 1}], ids=["", "judged one by one"])
async def test_results_of_several_batches_that_no_secret_can_hold_are_stored_once_the_spec_names_a_volume(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path, given: Json
) -> None:
    names = [f"{name}--large-700000" for name in "abc"]
    (volume / "in" / "batch.jsonl").write_bytes(jsonl(*names))
    apply_all(api, kong, b"", split_job(input=IN, output=SECRET, **given), limits={"maxRequestsPerFile": 2})
    await operator.until(lambda: len(made(operator)) == 2)
    kong.advance(3600)
    await operator.until_reason(Reason.OUTPUT_TOO_LARGE)
    await operator.until(lambda: not given or operator.status().batches[1].unfinished)
    await operator.quiet()
    before = len(kong.calls("files.content"))
    for _ in range(3):
        await operator.look()
        await operator.quiet()
    assert len(kong.calls("files.content")) == before, "what is known not to fit is not downloaded again"
    move(api, OUT)
    await ends_in(volume, operator, kong, names)


async def test_from_a_secret_into_a_volume_while_failed_requests_are_sent_again(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    names = ["a", "b--status-429-times-1", "c"]
    (volume / "in" / "batch.jsonl").write_bytes(jsonl(*names))
    apply_all(api, kong, jsonl(*names), split_job(input=IN, output=SECRET, backoffLimitPerRequest=1, model="gpt-5"))
    for count in (1, 2):
        await operator.until(lambda count=count: len(made(operator)) == count)  # type: ignore[misc]
        if count == 1:
            kong.advance(3600)
    move(api, OUT)
    await ends_in(volume, operator, kong, names)


@pytest.mark.usefixtures("volume")
async def test_from_a_volume_into_a_secret_before_anything_is_stored(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    await begun(operator, api, kong)
    move(api, SECRET)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert in_secret(api) == IDS
