"""Running the requests of an earlier job again, beside it."""

import re

import pytest
import yaml

from tests.cli.conftest import FIVE, MIXED, PLACES, Life, Node, Plugin
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import config_map

STAMP = r"\d{8}-\d{6}"


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
async def test_a_retry_is_a_job_of_its_own_with_a_place_of_its_own(place: Json, life: Life, node: Node) -> None:
    assert node.volume.is_dir()
    await life.run(MIXED, output=place, backoffLimitPerRequest=1)
    first = life.operator.job()
    ran = await life.plugin("retry", "job")
    assert ran.code == 0, ran
    found = re.fullmatch(rf"batchjob\.llmbatch\.io/(job-{STAMP}) created\n", ran.text)
    assert found is not None, ran.text
    name = found[1]
    await life.run_on(name)
    assert life.operator.job() == first
    made = life.operator.job(name)["spec"]
    assert {**made, "output": None} == {**first["spec"], "output": None}
    (given,) = made["output"].values()
    assert re.fullmatch(rf"(results-{STAMP}|out/r-{STAMP}\.jsonl)", given.get("path") or given["name"])
    assert life.operator.job(name)["metadata"]["annotations"] == {"llmbatch.io/retry-of": "job"}


async def test_a_job_that_has_not_ended_is_not_paid_for_twice_unless_that_is_wanted(
    api: ApiServer, plugin: Plugin
) -> None:
    api.put("configmaps", config_map("prompts", "batch.jsonl", FIVE))
    api.put("batchjobs", {**build.batchjob(), "status": {"phase": "InProgress"}})
    ran = await plugin("retry", "job")
    assert (ran.code, len(api.objects("batchjobs"))) == (1, 1)
    assert "BatchJob team-a/job has not ended (phase InProgress), and its requests would be paid for twice" in ran.err
    assert (await plugin("retry", "job", "--force")).code == 0
    assert len(api.objects("batchjobs")) == 2


async def test_an_input_that_was_changed_since_is_not_taken_for_the_same_requests(life: Life) -> None:
    await life.run(MIXED)
    for changed, told in (
        (FIVE, "is no longer what was sent"),
        (b"", "is no longer what was sent"),
        (None, "has no key"),
    ):
        life.api.edit(
            "configmaps", "prompts", {"data": {"batch.jsonl": changed.decode() if changed is not None else None}}
        )
        ran = await life.plugin("retry", "job")
        assert (ran.code, len(life.api.objects("batchjobs"))) == (1, 1)
        assert told in ran.err


async def test_a_retry_of_a_retry_has_one_stamp(api: ApiServer, plugin: Plugin) -> None:
    job = build.batchjob("job-20260301-120000", output={"secret": {"name": "r-20260301-120000", "key": "k"}})
    api.put("batchjobs", job)
    ran = await plugin("retry", "job-20260301-120000", "--force", "--dry-run")
    assert (ran.code, len(api.objects("batchjobs"))) == (0, 1)
    made = yaml.safe_load(ran.text)
    assert re.fullmatch(f"job-{STAMP}", made["metadata"]["name"])
    assert re.fullmatch(f"r-{STAMP}", made["spec"]["output"]["secret"]["name"])
    assert made["metadata"]["name"] != "job-20260301-120000"


@pytest.mark.parametrize("command", ["watch", "results", "errors", "retry"])
async def test_a_job_that_does_not_exist_is_named(command: str, plugin: Plugin) -> None:
    ran = await plugin(command, "job")
    assert (ran.code, ran.out) == (2, b"")
    assert "BatchJob team-a/job does not exist: kubectl get bj -n team-a" in ran.err
