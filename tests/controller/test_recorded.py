"""Objects of a release in which a job had one batch, and no entry of its own for it, are read and go on."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.controller.among import Among
from tests.controller.conftest import FIVE
from tests.controller.test_restored import backup_at, to_its_end
from tests.controller.test_strays import left
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all

# As commit ed4a939 wrote them, with names in place of ids.
RECORDED: dict[str, Json] = json.loads(
    Path(__file__).with_name("recorded").joinpath("one_batch_a_job.json").read_text()
)


def known_as(job: Json, kong: Instance) -> dict[str, str]:
    """Say which ids stand for the recorded names."""
    files = {file["purpose"]: file["id"] for file in kong.files()}
    batch = next((batch["id"] for batch in kong.batches()), "")
    entry = (job["status"].get("batches") or [{}])[0]
    return {
        "UID": job["metadata"]["uid"],
        "FILE-IN": files.get("batch", ""),
        "FILE-OUT": entry.get("outputFileID", ""),
        "BATCH": batch,
    }


def recorded(stage: str, names: dict[str, str]) -> Any:
    text = json.dumps(RECORDED[stage])
    for name, value in names.items():
        text = text.replace(f'"{name}"', json.dumps(value))
    return json.loads(text)


@pytest.mark.parametrize("stage", ["file", "answer", "batch"])
async def test_a_job_recorded_under_way_ends_with_its_one_batch(
    api: ApiServer, kong: Instance, tmp_path: Path, stage: str
) -> None:
    async with Operator(api, tmp_path / "first", settle_seconds=600).running() as first:
        job = await backup_at(first, Among(kong, several=False), stage)
    kong.clear_faults()
    kong.configure(list_lag_seconds=0)
    job["status"] = recorded(stage, known_as(job, kong))
    assert not any("part" in entry for entry in job["status"]["batches"])
    api.put("batchjobs", job)
    async with Operator(api, tmp_path / "second", settle_seconds=1).running() as second:
        await to_its_end(second, kong)
        assert len(api.data("secrets", "results", "r.jsonl").splitlines()) == 5
    assert len(kong.batches()) == 1
    assert left(kong) == []


async def test_a_job_recorded_with_its_results_stored_is_cleaned_up_and_ends(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path / "first").running() as first:
        kong.fault("status", "files.delete", status=503, times=-1)
        apply_all(api, kong, FIVE)
        await first.until(lambda: first.batch().id)
        kong.advance(3600)
        await first.until(lambda: first.status().output)
        job = first.job()
    kong.clear_faults()
    job["status"] = recorded("stored", known_as(job, kong))
    api.put("batchjobs", job)
    async with Operator(api, tmp_path / "second").running() as second:
        status = await second.until_ended()
    assert status.holds("Complete")
    assert len(kong.calls("batches.create")) == 1
    assert left(kong) == []
