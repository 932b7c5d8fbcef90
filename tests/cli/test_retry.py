"""Running the requests of an earlier job again, beside it."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from llmbatch.cli import objects
from tests.cli.conftest import FIVE, MIXED, PLACES, Life, Node, Plugin
from tests.cluster.paths import REPOSITORY
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import config_map

STAMP = r"\d{8}-\d{6}"


def ended(api: ApiServer) -> None:
    """Put a job that has ended there."""
    api.put("configmaps", config_map("prompts", "batch.jsonl", FIVE))
    api.put("batchjobs", {**build.batchjob(), "status": build.ended(input=None).dump()})


def names(api: ApiServer) -> list[str]:
    return [found["metadata"]["name"] for found in api.objects("batchjobs")]


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


async def test_a_retry_whose_name_is_taken_says_what_can_be_done_about_it(api: ApiServer, plugin: Plugin) -> None:
    ended(api)
    for second in range(120):
        moment = datetime.now(UTC) + timedelta(seconds=second)
        api.put("batchjobs", build.batchjob(f"job-{moment:%Y%m%d-%H%M%S}"))
    ran = await plugin("retry", "job", "--force")
    assert ran.code == 2
    assert "exists already, and is left as it is: names have the second in them; wait for the next one" in ran.err
    assert "--name" not in ran.err


async def test_a_retry_whose_create_call_is_not_answered_is_looked_for(api: ApiServer, plugin: Plugin) -> None:
    ended(api)
    api.fault("cut after", "create", "batchjobs")
    ran = await plugin("retry", "job")
    (made,) = (name for name in names(api) if name != "job")
    assert (ran.code, ran.text) == (0, f"batchjob.llmbatch.io/{made} created\n")


async def test_a_retry_that_is_not_there_may_come_late_and_is_named(api: ApiServer, plugin: Plugin) -> None:
    ended(api)
    api.fault("status", "create", "batchjobs", status=500)
    ran = await plugin("retry", "job")
    assert (ran.code, ran.out, names(api)) == (2, b"", ["job"])
    assert re.search(rf"whether BatchJob team-a/job-{STAMP} was made is not known: made to fail; look before", ran.err)


async def test_a_retry_of_which_nothing_is_known_is_named(api: ApiServer, plugin: Plugin) -> None:
    ended(api)
    api.fault("cut after", "create", "batchjobs")
    api.fault("status", "get", "batchjobs", status=503, where=lambda _: len(names(api)) > 1)
    ran = await plugin("retry", "job")
    (made,) = (name for name in names(api) if name != "job")
    assert (ran.code, ran.out) == (2, b"")
    assert f"look before you retry: kubectl get bj -n team-a {made}" in ran.err


RESUBMIT = (
    REPOSITORY / "examples/gitops/argocd/resource_customizations/llmbatch.io/BatchJob/actions/resubmit/action.lua"
)


async def test_requests_that_any_job_of_them_has_under_way_are_not_paid_for_again(
    api: ApiServer, plugin: Plugin
) -> None:
    """Whichever of a job, its retries and theirs is retried, and by whichever tool the one under way was made."""
    assert f'["{objects.RESUBMIT_ANNOTATION}"]' in RESUBMIT.read_text(encoding="utf-8")
    ended(api)
    made = {"job-2": (objects.RETRY_ANNOTATION, "job"), "job-3": (objects.RESUBMIT_ANNOTATION, "job-2")}
    for name, (annotation, origin) in made.items():
        job = build.batchjob(name, metadata={"annotations": {annotation: origin}})
        api.put("batchjobs", {**job, "status": build.ended(input=None).dump()})
    everyone = {"job", *made}
    for running in everyone:
        before = api.get("batchjobs", running) or {}
        api.put("batchjobs", {**before, "status": build.submitted().dump()})
        for name in everyone - {running}:
            ran = await plugin("retry", name, "--dry-run")
            assert (ran.code, ran.out) == (1, b""), (running, name)
            assert f"BatchJob team-a/{running} has the requests of {name} and has not ended" in ran.err
        api.put("batchjobs", before)
    assert (await plugin("retry", "job", "--dry-run")).code == 0


async def test_a_job_of_which_a_retry_is_under_way_is_not_paid_for_again(api: ApiServer, plugin: Plugin) -> None:
    ended(api)
    retry = build.batchjob("job-20260301-120000")
    retry["metadata"]["annotations"] = {"llmbatch.io/retry-of": "job"}
    api.put("batchjobs", retry)
    ran = await plugin("retry", "job")
    assert (ran.code, len(names(api))) == (1, 2)
    assert "BatchJob team-a/job-20260301-120000 has the requests of job and has not ended: wait for it" in ran.err
    api.fault("status", "list", "batchjobs", status=403)
    ran = await plugin("retry", "job", "--dry-run")
    assert ran.code == 0, ran
    assert "you may not list BatchJobs: whether a retry of job is under way is not checked" in ran.err
    assert (await plugin("retry", "job", "--force", "--dry-run")).code == 0
    api.put("batchjobs", {**retry, "status": build.ended().dump()})
    assert (await plugin("retry", "job")).code == 0


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
