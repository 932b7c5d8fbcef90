"""Job, gateway, credentials, namespace and operator may go in any order: a deletion ends, and says what it left."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api import FINALIZER
from llmbatch.api.base import timestamp
from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.conftest import FIVE
from tests.controller.test_duplicates import cancels
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Operator, apply_all, secret

Json = dict[str, Any]

KEY = [{"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "consumer", "key": "apikey"}}}]
SOON = {"cleanupTimeoutSeconds": 1}


async def run(operator: Operator, api: ApiServer, among: Among, **policy: Any) -> None:
    """A job whose batches are under way, through a gateway with credentials."""
    among.kong.configure(kong={"enabled": True, "consumer_keys": ["k"]})
    api.put("secrets", secret("consumer", apikey="k"))
    among.apply(api, job=among.job(deletionPolicy=policy), headers=KEY)
    await among.all_submitted(operator)
    await operator.quiet()


async def until_let_go(operator: Operator, kong: Instance) -> Json:
    """Wait, without a nudge, until the job is gone; answers the event about what was left."""
    await operator.until(lambda: operator.api.get("batchjobs", "job") is None, None)

    def told() -> list[Json]:
        return [event for event in operator.api.objects("events") if event["reason"] == Reason.REMOTE_FILES_RETAINED]

    await operator.until(told, None)
    (event,) = told()
    for batch in kong.batches():
        assert f"batch {batch['id']}" in event["message"]
        assert f"file {batch['input_file_id']}" in event["message"]
    # Counted once the object is let go.
    registry = operator.runtime.metrics.registry
    await operator.until(lambda: registry.get_sample_value("llmbatch_left_behind_total"), None)
    assert registry.get_sample_value("llmbatch_left_behind_total") == 1
    return event


async def test_credentials_that_went_first_are_remembered(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await run(operator, api, among)
    api.remove("secrets", "consumer")
    api.remove("batchjobs", "job")
    kong.advance(3600)
    await operator.until_gone()
    assert all(file["deleted"] for file in kong.files())


async def test_credentials_that_went_before_a_restart_can_not_be(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path).running() as operator:
        await run(operator, api, among, **SOON)
    api.remove("secrets", "consumer")
    api.remove("batchjobs", "job")
    async with Operator(api, tmp_path).running() as operator:
        event = await until_let_go(operator, kong)
        assert event["type"] == "Warning"


@pytest.mark.parametrize("operation", ["batches.cancel", "batches.get", "files.delete"])
async def test_a_gateway_that_takes_calls_and_never_answers_holds_nobody(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, operation: str
) -> None:
    # Time enough for what answers to come first, however slow the machine is.
    await run(operator, api, among, cleanupTimeoutSeconds=6 if operation == "files.delete" else 1)
    kong.fault("hang_after", operation, seconds=60, times=-1)
    api.remove("batchjobs", "job")
    if operation == "files.delete":
        await operator.until(lambda: len(set(cancels(kong))) == among.count, None)
        kong.advance(3600)
        await operator.until(lambda: api.get("batchjobs", "job") is None, None)
        return
    await until_let_go(operator, kong)


async def test_a_gateway_that_hangs_is_asked_to_delete_one_file_and_not_all(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    """A deletion that comes while a job ends waits for the pass under way: for one call at most, not for each file."""
    await run(operator, api, Among(kong, several=False))
    api.edit("batchgateways", "kong", {"spec": {"timeouts": {"requestSeconds": 1}}})
    kong.fault("hang_after", "files.delete", seconds=60, times=-1)
    kong.advance(3600)
    await operator.until(lambda: operator.reason() == Reason.CLEANING_UP and kong.calls("files.delete"))
    await operator.until(lambda: "can't be deleted yet" in str(operator.status().conditions))
    assert len({call["path"] for call in kong.calls("files.delete")}) == 1


async def test_jobs_behind_a_gateway_that_hangs_need_no_place_to_be_let_go(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    """All places of the gateway are held by calls that hang, of jobs that nobody deletes."""
    names = [f"job-{number}" for number in range(4)]
    async with Operator(api, tmp_path, workers=4).running() as operator:
        apply_all(api, kong, FIVE, *(build.batchjob_apart(name, deletionPolicy=SOON) for name in names))
        for name in names:
            await operator.until(lambda name=name: operator.status(name).summary.submission_time, name)  # type: ignore[misc]
        await operator.quiet()
        kong.fault("hang_after", "*", seconds=4, times=-1)
        for name in names[:2]:
            await operator.look(name)
        await operator.until(lambda: len(kong.calls("batches.get")) >= 2, None)
        api.remove("batchjobs", names[3])
        await operator.until(lambda: api.get("batchjobs", names[3]) is None, None)
        kong.clear_faults()


async def test_the_gateway_object_may_go_first_and_the_operator_be_new(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path).running() as operator:
        await run(operator, api, among, **SOON)
    api.remove("batchgateways", "kong")
    api.remove("batchjobs", "job")
    async with Operator(api, tmp_path).running() as operator:
        await until_let_go(operator, kong)


async def test_what_is_left_is_told_before_the_object_is_let_go_and_once(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    """An operator that dies in between, or whose write is refused for a while, leaves no secret and no echo."""
    await run(operator, api, among, **SOON)
    kong.fault("status", "*", status=503, times=-1)
    refused = api.fault("status", "patch", "batchjobs", status=409, times=-1)
    api.remove("batchjobs", "job")
    await operator.until(
        lambda: (
            len(
                [
                    call
                    for call in api.calls
                    if (call.verb, call.plural) == ("create", "events")
                    and call.body["reason"] == Reason.REMOTE_FILES_RETAINED
                ]
            )
            > 1
        )
    )
    assert operator.job()["metadata"]["finalizers"] == [FINALIZER]
    refused.times = 0
    await until_let_go(operator, kong)


async def test_everything_deleted_while_the_operator_was_away_is_let_go_when_it_is_back(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path).running() as operator:
        await run(operator, api, among, cleanupTimeoutSeconds=2)
    for plural, name in (("secrets", "consumer"), ("batchgateways", "kong"), ("configmaps", "prompts")):
        api.remove(plural, name)
    api.remove("batchjobs", "job")
    found = api.get("batchjobs", "job")
    assert found is not None
    long_ago = timestamp(datetime.now(UTC) - timedelta(hours=1))
    api.put("batchjobs", {**found, "metadata": {**found["metadata"], "deletionTimestamp": long_ago}})
    async with Operator(api, tmp_path).running() as operator:
        await until_let_go(operator, kong)


async def test_a_namespace_with_all_of_it_goes_and_nothing_is_left(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    await run(operator, api, among)
    api.terminating.add(NAMESPACE)
    for plural, name in (("secrets", "consumer"), ("batchgateways", "kong"), ("configmaps", "prompts")):
        api.remove(plural, name)
    api.remove("batchjobs", "job")
    kong.advance(3600)
    await operator.until_gone()
    assert all(file["deleted"] for file in kong.files())


async def test_what_is_left_of_a_namespace_is_told_about_the_operators_pod(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    own = {"namespace": "llmbatch-system", "pod_name": "llmbatch-0"}
    async with Operator(api, tmp_path, **own).running() as operator:
        await run(operator, api, among, **SOON)
        kong.fault("status", "*", status=503, times=-1)
        api.terminating.add(NAMESPACE)
        api.remove("batchjobs", "job")
        event = await until_let_go(operator, kong)
    about = event["involvedObject"]
    assert (about["kind"], about["namespace"], about["name"]) == ("Pod", "llmbatch-system", "llmbatch-0")
    assert event["metadata"]["namespace"] == "llmbatch-system"
    assert event["message"].startswith(f"BatchJob {NAMESPACE}/job: Let go")


async def test_an_object_that_can_not_be_read_goes_by_its_own_time_too(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path, cleanup_timeout_seconds=3600).running() as operator:
        await run(operator, api, among, **SOON)
        api.edit("batchjobs", "job", {"spec": {"remoteFiles": {"from": "the future"}}})
        await operator.until_reason(Reason.INVALID_SPEC)
        api.remove("batchjobs", "job")
        # Time goes by; by the operator's own setting an hour would be left.
        job = operator.job()
        ago = timestamp(datetime.now(UTC) - timedelta(seconds=40))
        api.put("batchjobs", {**job, "metadata": {**job["metadata"], "deletionTimestamp": ago}})
        await until_let_go(operator, kong)
