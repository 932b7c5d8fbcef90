"""A transfer pod whose node is gone: nobody says any more that it has ended, and the job goes on with another one."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from llmbatch.api.base import timestamp
from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all, config_map

VOLUME = {"persistentVolumeClaim": {"claimName": "data", "path": "out/r.jsonl"}}


def put_pod(api: ApiServer, name: str, job: Json, state: Json, **metadata: Any) -> None:
    finalizers = ["batch.kubernetes.io/job-tracking"]
    labels = {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
    api.put("pods", {
        "metadata": {"name": name, "namespace": "team-a", "labels": labels, "finalizers": finalizers, **metadata},
        "spec": {"nodeName": "node-7"},
        "status": {"phase": "Running", "containerStatuses": [{"state": state}]},
    })  # fmt: skip


def uids(api: ApiServer) -> list[str]:
    return [job["metadata"]["uid"] for job in api.objects("jobs")]


async def test_a_pod_that_never_ends_is_replaced_and_says_nothing_about_its_successor(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    api.put("persistentvolumeclaims", config_map("data", "unused", b""))
    apply_all(api, kong, FIVE, build.batchjob(output=VOLUME))
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until(lambda: api.objects("jobs"))
    (lost,) = api.objects("jobs")
    put_pod(api, "first", lost, {"running": {}})
    await operator.until_reason(Reason.COLLECTING)

    due = timestamp(datetime.now(UTC) - timedelta(minutes=2))
    put_pod(api, "first", lost, {"running": {}}, deletionTimestamp=due)
    await operator.until(lambda: lost["metadata"]["uid"] not in uids(api) and uids(api))
    (second,) = api.objects("jobs")
    await operator.until(lambda: [event for event in api.objects("events") if "node-7" in event["message"]], None)
    for _ in range(3):
        await operator.look()
        await operator.quiet()
    assert uids(api) == [second["metadata"]["uid"]]

    report = json.dumps(build.collect_report().dump())
    put_pod(api, "second", second, {"terminated": {"exitCode": 0, "reason": "Completed", "message": report}})
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
