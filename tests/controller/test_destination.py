"""The place for the results is looked at before anything is paid, and the job goes on once it is mended."""

import json
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Operator, apply_all, config_map, secret

Json = dict[str, Any]
HERE = {"secret": {"name": "results", "key": "r.jsonl"}}
VOLUME = {"persistentVolumeClaim": {"claimName": "data", "path": "out/r.jsonl"}}
NO_PLACE = {"secret": None, "configMap": None, "persistentVolumeClaim": None}
MAP = {"configMap": {"name": "elsewhere", "key": "r.jsonl"}}


def claim(**changes: Json) -> Json:
    metadata = {"name": "data", "namespace": NAMESPACE, **changes.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, **changes}


BAD: dict[str, tuple[Json, str, Json | None, Reason]] = {
    "a Secret of another's": (HERE, "secrets", secret("results", mine="x"), Reason.OUTPUT_EXISTS),
    "a ConfigMap of another's": (
        {"configMap": {"name": "results", "key": "r.jsonl"}}, "configmaps", config_map("results", "k", b"x"), Reason.OUTPUT_EXISTS,
    ),
    "no claim": (VOLUME, "", None, Reason.VOLUME_CLAIM_NOT_FOUND),
    "a claim that has lost its volume": (
        VOLUME, "persistentvolumeclaims", claim(status={"phase": "Lost"}), Reason.VOLUME_CLAIM_UNBOUND,
    ),
    "a block device": (
        VOLUME, "persistentvolumeclaims", claim(spec={"volumeMode": "Block"}), Reason.OUTPUT_INVALID,
    ),
    "a claim to be read only": (
        VOLUME, "persistentvolumeclaims", claim(spec={"accessModes": ["ReadOnlyMany"]}), Reason.OUTPUT_INVALID,
    ),
    "a key without room": ({"secret": {"name": "results", "key": "k" * 250}}, "", None, Reason.OUTPUT_INVALID),
    "a name without room": (
        {"persistentVolumeClaim": {"claimName": "data", "path": "x" * 250}}, "persistentvolumeclaims", claim(), Reason.OUTPUT_INVALID,
    ),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
async def test_nothing_is_sent_or_paid_before_it_is_mended_by_another_place(
    operator: Operator, api: ApiServer, kong: Instance, bad: str
) -> None:
    output, plural, found, reason = BAD[bad]
    if found is not None:
        api.put(plural, found)
    apply_all(api, kong, FIVE, build.batchjob(output=output))
    await operator.until_reason(reason)
    await operator.quiet()
    assert "spec.output" in json.dumps(operator.job()["status"])
    assert kong.calls("files.create") == kong.calls("batches.create") == []
    api.edit("batchjobs", "job", {"spec": {"output": {**NO_PLACE, **MAP}}})
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED


async def test_it_is_looked_at_again_before_the_batch_is_ordered(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(file_pending_seconds=600)
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.FILE_PENDING)
    api.put("secrets", secret("results", mine="x"))
    kong.advance(600)
    await operator.until_reason(Reason.OUTPUT_EXISTS)
    assert kong.calls("batches.create") == []
    api.remove("secrets", "results")
    await operator.until(lambda: operator.status().summary.submission_time)
    assert len(kong.calls("files.create")) == 1


async def test_of_two_jobs_that_write_to_the_same_place_the_older_does(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    first, second = build.batchjob(name="first"), build.batchjob(name="second")
    apply_all(api, kong, FIVE, first)
    await operator.until(lambda: operator.status("first").summary.submission_time, "first")
    api.put("batchjobs", second)
    await operator.until_reason(Reason.OUTPUT_EXISTS, "second")
    assert "team-a/first, which is under way" in json.dumps(operator.job("second")["status"])
    assert len(kong.calls("batches.create")) == 1
    api.remove("batchjobs", "first")
    await operator.until(lambda: operator.status("second").summary.submission_time, "second")


async def test_a_secret_too_small_for_so_many_is_warned_of_and_the_job_goes_on(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    line = FIVE.splitlines()[0]
    many = b"\n".join(line.replace(b'"one"', b'"%d"' % number) for number in range(4500))
    apply_all(api, kong, many, build.batchjob(output=HERE))
    await operator.until(lambda: operator.status().summary.submission_time)
    assert ("Warning", Reason.OUTPUT_TOO_LARGE) in operator.events()
