"""The results of several batches in a volume: each part's are stored as its batch ends, then all are put together."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.crash import AT, MARK
from tests.bench.life import passes
from tests.controller.conftest import FIVE, jsonl
from tests.controller.test_duplicates import cancels, states
from tests.controller.test_split import IDS, SMALL, made, second_is_cancelled, split_job
from tests.controller.test_strays import left
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all
from tests.support.kubelet import Kubelet

IN: Json = {"persistentVolumeClaim": {"claimName": "data", "path": "in/batch.jsonl"}}
OUT: Json = {"persistentVolumeClaim": {"claimName": "data", "path": "out/r.jsonl"}}


@pytest.fixture
def volume(kubelet: Kubelet) -> Path:
    folder = kubelet.volume("data")
    (folder / "in").mkdir()
    (folder / "in" / "batch.jsonl").write_bytes(FIVE)
    return folder


async def begun(operator: Operator, api: ApiServer, kong: Instance, batches: int = 3, **given: Any) -> None:
    apply_all(api, kong, FIVE, split_job(**{"input": IN, "output": OUT, **given}), **SMALL)
    await operator.until(lambda: len(made(operator)) >= batches)


def stored(volume: Path, name: str = "r.jsonl") -> list[str]:
    return [json.loads(line)["custom_id"] for line in (volume / "out" / name).read_text().splitlines()]


def files(volume: Path) -> list[str]:
    """Name what is in the folder of the results, hidden or not."""
    return sorted(path.name for path in (volume / "out").iterdir())


@pytest.mark.parametrize("source", [IN, None], ids=["from a volume", "from a ConfigMap"])
async def test_the_parts_become_one_file_in_the_order_of_the_input(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path, source: Json | None
) -> None:
    given = {} if source is not None else {"input": build.spec_json()["input"]}
    await begun(operator, api, kong, **given)
    kong.advance(3600)
    status = await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert stored(volume) == IDS
    assert files(volume) == ["r.jsonl"], "what was stored of the parts is removed"
    assert left(kong) == []
    assert len(kong.batches()) == 3
    assert status.output is not None
    assert status.output.bytes == (volume / "out" / "r.jsonl").stat().st_size
    assert status.output.location == "persistentvolumeclaim/data path out/r.jsonl"


async def test_what_the_batches_have_in_common_is_asked_of_the_api_server_once_in_a_pass(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    await begun(operator, api, kong)
    api.calls.clear()
    before = passes(operator)
    kong.advance(3600)
    await operator.until_ended()
    assert stored(volume) == IDS

    def count(verb: str, plural: str) -> int:
        return sum((call.verb, call.plural) == (verb, plural) for call in api.calls)

    looks = passes(operator) - before
    assert count("get", "persistentvolumeclaims") <= looks
    # Before another Job is made, those of an earlier plan are looked for.
    assert count("get", "jobs") + count("list", "jobs") <= looks + count("create", "jobs")


async def test_from_a_volume_into_a_secret(operator: Operator, api: ApiServer, kong: Instance, volume: Path) -> None:
    await begun(operator, api, kong, output={"secret": {"name": "results", "key": "r.jsonl"}})
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert [json.loads(line)["custom_id"] for line in api.data("secrets", "results", "r.jsonl").splitlines()] == IDS
    assert not (volume / "out").exists()


async def test_a_part_is_stored_and_its_files_are_deleted_while_others_run(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    await begun(operator, api, kong, 1, parallelism=1)
    kong.advance(3600)
    await operator.until(lambda: len(made(operator)) == 2)
    await operator.until(lambda: operator.status().batches[0].results)
    await operator.until(lambda: not any("-0-" in name for name in left(kong)))
    assert operator.status().batches[1].status in (None, "validating")
    assert files(volume) == [f".llmbatch-{operator.status().uid}"]
    kong.advance(3600)
    await operator.until(lambda: len(made(operator)) == 3)
    kong.advance(3600)
    await operator.until_ended()
    assert stored(volume) == IDS


async def test_failing_lines_and_a_part_that_is_refused_are_named_beside_the_results(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    (volume / "in" / "batch.jsonl").write_bytes(jsonl("a", "b--status-400", "c", "d", "e--missing"))
    kong.fault("status", "batches.create", status=400, skip=1, message="Not this one.")
    apply_all(api, kong, FIVE, split_job(input=IN, output=OUT), **SMALL)
    await operator.until(lambda: len(made(operator)) == 2 and operator.status().batches[2].id)
    kong.advance(3600)
    status = await operator.until_ended()
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert stored(volume) == ["a"]
    assert stored(volume, "r.errors.jsonl") == ["b--status-400", "c", "d", "e--missing"]
    assert status.request_counts is not None
    assert (status.request_counts.completed, status.request_counts.failed) == (1, 4)
    assert {failure.custom_id for failure in status.failures} >= {"b--status-400", "c"}
    assert files(volume) == ["r.errors.jsonl", "r.jsonl"]
    assert all("-2-" in name for name in left(kong)), "only the files of the part with an unread line are kept"


async def test_what_a_cancelled_batch_has_answered_is_stored(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    await begun(operator, api, kong)
    await second_is_cancelled(operator, kong)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert stored(volume) == ["one", "two", "five"]
    assert stored(volume, "r.errors.jsonl") == ["three", "four"]


@pytest.mark.parametrize(
    "place", ["before publish file", "after publish file", "before write report", "after discard file"]
)
async def test_a_transfer_that_dies_anywhere_is_repeated_and_nothing_is_lost(
    operator: Operator, api: ApiServer, kong: Instance, tmp_path: Path, place: str
) -> None:
    kubelet = Kubelet(api, tmp_path / "node", {AT: place, MARK: str(tmp_path / "died")})
    try:
        volume = kubelet.volume("data")
        (volume / "in").mkdir()
        (volume / "in" / "batch.jsonl").write_bytes(FIVE)
        await begun(operator, api, kong)
        kong.advance(3600)
        await operator.until_ended()
        assert (tmp_path / "died").exists()
        assert operator.reason() == Reason.SUCCEEDED
        assert stored(volume) == IDS
        assert files(volume) == ["r.jsonl"]
        assert left(kong) == []
    finally:
        await kubelet.close()


async def test_another_operator_goes_on_when_parts_are_stored(
    api: ApiServer, kong: Instance, tmp_path: Path, volume: Path
) -> None:
    async with Operator(api, tmp_path / "first").running() as first:
        await begun(first, api, kong, 1, parallelism=1)
        kong.advance(3600)
        await first.until(lambda: first.status().batches[0].results)
    async with Operator(api, tmp_path / "second").running() as second:
        while not second.status().holds("Complete"):
            kong.advance(3600)
            await second.look()
            await second.quiet()
        assert stored(volume) == IDS
    assert len(kong.batches()) == 3


async def test_what_was_stored_of_a_part_and_is_something_else_now_is_not_put_together(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    await begun(operator, api, kong, 1, parallelism=1)
    kong.advance(3600)
    await operator.until(lambda: operator.status().batches[0].results)
    part = volume / "out" / f".llmbatch-{operator.status().uid}" / "00000.jsonl"
    whole = part.read_bytes()
    part.write_bytes(whole.replace(b"one", b"eno"))
    for number in (2, 3):
        await operator.until(lambda number=number: len(made(operator)) == number)  # type: ignore[misc]
        kong.advance(3600)
    await operator.until_reason(Reason.OUTPUT_INVALID)
    assert not (volume / "out" / "r.jsonl").exists()
    part.write_bytes(whole)
    await operator.until_ended()
    assert stored(volume) == IDS


async def test_the_deletion_of_a_job_under_way_says_where_the_results_of_its_parts_are(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    await begun(operator, api, kong, 1, parallelism=1)
    kong.advance(3600)
    await operator.until(lambda: len(made(operator)) == 2 and operator.status().batches[0].results)
    api.remove("batchjobs", "job")
    await operator.until(lambda: cancels(kong))
    kong.advance(60)
    await operator.until_gone()
    assert sorted(states(kong).values()) == ["cancelled", "completed"]
    assert left(kong) == []
    (told,) = [event["message"] for event in api.objects("events") if event["reason"] == Reason.OUTPUT_RETAINED]
    assert f"persistentvolumeclaim/data folder out/{files(volume)[0]}: the results of 1 parts" in told


async def test_results_go_with_a_job_that_says_so(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    await begun(operator, api, kong, deletionPolicy={"output": "Delete"})
    kong.advance(3600)
    await operator.until_ended()
    assert files(volume) == ["r.jsonl"]
    api.remove("batchjobs", "job")
    await operator.until_gone()
    assert files(volume) == []
