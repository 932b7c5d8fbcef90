"""The transfer Job goes on where it is: through an upgrade of the operator, held back by a queue, under counts that change."""

import json
import time
from functools import partial
from pathlib import Path

import httpx
import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.controller.test_transfer_pods import (
    IN,
    OUT,
    claim,
    collecting,
    container,
    done,
    jobs,
    only_job,
    put_pod,
    uids,
)
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import NAMESPACE, Operator, apply_all


def is_replaced(api: ApiServer, uid: str) -> bool:
    return uids(api) != [] and uid not in uids(api)


def as_its_predecessor_made_it(api: ApiServer, job: Json) -> Json:
    """Put a Job of another name in a Job's place: without an annotation, and with a plan that knows less."""
    made = json.loads(json.dumps(job))
    variable = next(item for item in container(made)["env"] if item["name"] == "LLMBATCH_PLAN")
    newer = ("patient", "acceptMissing", "leftOut", "outputRoot", "look", "maxLineBytes")
    plan = json.loads(variable["value"])
    kept = {
        key: value
        for key, value in plan.items()
        if key not in newer or (plan["kind"] == "collect" and key == "outputRoot")
    }
    if plan["kind"] == "upload":
        kept.pop("outputPath", None)
    variable["value"] = json.dumps(kept)
    given = made["metadata"]
    labels = {key: given["labels"][key] for key in ("app.kubernetes.io/managed-by", "llmbatch.io/batchjob-uid")}
    made["metadata"] = {"name": f"job-{plan['kind']}-0123456789", "namespace": NAMESPACE, "labels": labels}
    api.remove("jobs", given["name"])
    return api.put("jobs", made)


@pytest.mark.parametrize("pending", [False, True])
async def test_an_upgraded_operator_hears_the_collection_that_its_predecessor_began(
    api: ApiServer, kong: Instance, tmp_path: Path, *, pending: bool
) -> None:
    async with Operator(api, tmp_path).running() as operator:
        job = await collecting(operator, kong)
    job = as_its_predecessor_made_it(api, job)
    put_pod(api, job, None if pending else {"running": {}}, "Pending" if pending else "Running")
    async with Operator(api, tmp_path).running() as operator:
        for _ in range(3):
            await operator.look()
            await operator.quiet()
        assert uids(api) == [job["metadata"]["uid"]]
        put_pod(api, job, done(build.collect_report().dump()))
        await operator.until_ended()
        assert operator.reason() == Reason.SUCCEEDED


async def test_an_upgraded_operator_hears_the_upload_that_its_predecessor_began_and_removes_it_when_it_failed(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path).running() as operator:
        claim(api)
        apply_all(api, kong, FIVE, build.batchjob(input=IN, output=OUT))
        job = await only_job(operator, "upload")
    job = as_its_predecessor_made_it(api, job)
    put_pod(api, job, {"running": {}})
    async with Operator(api, tmp_path).running() as operator:
        await operator.until_reason(Reason.UPLOADING)
        await operator.quiet()
        assert uids(api) == [job["metadata"]["uid"]]
        put_pod(api, job, {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "Failed")
        await operator.until_reason(Reason.TRANSFER_FAILED)
        await operator.until(lambda: job["metadata"]["uid"] not in uids(api))


async def test_a_job_that_is_held_back_each_time_before_it_fails_is_begun_again_ever_more_rarely(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    job = await collecting(operator, kong)
    for least in (1.0, 2.0):
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        api.edit("jobs", name, {"spec": {"suspend": True}})
        await operator.until(lambda: operator.reason() == Reason.TRANSFER_SUSPENDED, None)
        api.edit("jobs", name, {"spec": {"suspend": False}})
        put_pod(api, job, {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "Failed")
        await operator.until(lambda: operator.reason() == Reason.TRANSFER_FAILED, None)
        began = time.monotonic()
        await operator.until(partial(is_replaced, api, uid), None)
        assert time.monotonic() - began >= least - 0.2
        (job,) = jobs(api)


def cancel(kong: Instance) -> None:
    """Somebody cancels the batch at the provider."""
    httpx.post(f"{kong.url}/batches/{kong.batches()[0]['id']}/cancel").raise_for_status()


async def test_counts_that_change_before_a_job_is_made_make_no_second_one(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    claim(api)
    apply_all(api, kong, FIVE, build.batchjob(output=OUT))
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.configure(quirks={"counts": "zero"})
    kong.advance(360)
    await operator.until_reason(Reason.IN_PROGRESS)
    cancel(kong)
    kong.advance(3600)
    first = await only_job(operator, "collect")
    pending = {"reason": "ResultsPending", "message": "Only 2 of 5."}
    put_pod(api, first, done({"kind": "collect", "problem": pending}))
    await operator.until_reason(Reason.RESULTS_PENDING)
    kong.configure(quirks={"counts": "normal"})
    await operator.until(lambda: uids(api) and first["metadata"]["uid"] not in uids(api))
    seen = set(uids(api))
    for _ in range(3):
        await operator.look()
        await operator.quiet()
        seen |= set(uids(api))
    assert len(seen) == 1
    counts = operator.status().batches[0].request_counts
    assert counts is not None
    assert counts.completed == 2
