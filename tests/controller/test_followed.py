"""Transfer Jobs are followed in place of being asked for; what is told late, never, or by nobody costs time and nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.controller.test_split import IDS
from tests.controller.test_split_volumes import IN, begun, stored, volume
from tests.controller.test_transfer_pods import claim, only_job, put_pod, uids
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all

__all__ = ["volume"]


@pytest.fixture
async def operator(api: ApiServer, tmp_path: Path) -> AsyncIterator[Operator]:
    made = Operator(api, tmp_path)
    made.runtime.transfers.jobs.followed.overdue_seconds = 2.0
    async with made.running() as running:
        yield running


def count(api: ApiServer, verb: str, plural: str) -> int:
    return sum((call.verb, call.plural) == (verb, plural) for call in api.calls)


def is_followed(operator: Operator) -> bool:
    return operator.runtime.transfers.jobs.followed.is_told("team-a")


async def lives(operator: Operator, kong: Instance, folder: Path) -> None:
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert stored(folder) == IDS
    assert len(kong.batches()) == 3


async def test_jobs_are_listed_once(operator: Operator, api: ApiServer, kong: Instance, volume: Path) -> None:
    operator.runtime.transfers.jobs.followed.overdue_seconds = 3600
    await operator.until(lambda: is_followed(operator), None)
    await begun(operator, api, kong)
    await lives(operator, kong, volume)
    assert count(api, "list", "jobs") == 1


async def test_of_a_transfer_that_runs_nothing_is_asked(operator: Operator, api: ApiServer, kong: Instance) -> None:
    followed = operator.runtime.transfers.jobs.followed
    followed.overdue_seconds = 3600
    claim(api)
    apply_all(api, kong, FIVE, build.batchjob(input=IN))
    job = await only_job(operator, "upload")
    put_pod(api, job, {"running": {}})
    await operator.until(lambda: (held := followed.held(job)) is not None and held.was_ready)
    await operator.quiet()
    api.calls.clear()
    for _ in range(3):
        await operator.look()
        await operator.quiet()
    assert not [call for call in api.calls if call.plural in ("jobs", "pods")]


async def test_without_the_permission_to_watch_they_are_asked_for(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    # Its own watch has begun: it is ended, and may not begin again.
    await operator.until(lambda: is_followed(operator), None)
    api.fault("status", "watch", "jobs", status=403, times=-1)
    api.end_watches()
    await operator.until(lambda: not is_followed(operator), None)
    await begun(operator, api, kong)
    await lives(operator, kong, volume)
    assert count(api, "list", "jobs") > count(api, "create", "jobs")


async def test_the_watch_breaks_again_and_again(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    def broken(_: str, found: dict[str, object]) -> None:
        if found["_plural"] == "jobs":
            api.forget()
            api.end_watches()

    api.on_change.append(broken)
    await begun(operator, api, kong)
    await lives(operator, kong, volume)


async def test_nothing_of_what_goes_on_is_told(
    operator: Operator, api: ApiServer, kong: Instance, volume: Path
) -> None:
    await operator.until(lambda: is_followed(operator), None)
    api.mute.add("jobs")
    await begun(operator, api, kong)
    await lives(operator, kong, volume)
    assert len([file for file in kong.calls() if file["operation"] == "files.create"]) == 3


async def test_a_job_that_nobody_has_told_of_is_found_by_making_it_and_is_not_made_twice(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    claim(api)
    apply_all(api, kong, FIVE, build.batchjob(input=IN))
    first = await only_job(operator, "upload")
    put_pod(api, first, {"running": {}})
    followed = operator.runtime.transfers.jobs.followed
    await operator.until(lambda: (held := followed.held(first)) is not None and held.was_ready)
    api.mute.add("jobs")
    followed.went_back(None)
    api.calls.clear()
    await operator.until(lambda: count(api, "create", "jobs"))
    await operator.quiet()
    assert uids(api) == [first["metadata"]["uid"]]
    await operator.until_reason(Reason.UPLOADING)


async def test_a_job_that_was_deleted_by_hand_is_made_anew(operator: Operator, api: ApiServer, kong: Instance) -> None:
    claim(api)
    apply_all(api, kong, FIVE, build.batchjob(input=IN))
    first = await only_job(operator, "upload")
    put_pod(api, first, {"running": {}})
    await operator.until_reason(Reason.UPLOADING)
    api.remove("jobs", first["metadata"]["name"])
    await operator.until(lambda: uids(api), None)
    assert uids(api) != [first["metadata"]["uid"]]


@pytest.mark.parametrize("why", ["ImagePullBackOff", "CreateContainerConfigError"])
async def test_a_pod_that_does_not_start_is_told_of_though_its_job_says_nothing(
    operator: Operator, api: ApiServer, kong: Instance, why: str
) -> None:
    claim(api)
    apply_all(api, kong, FIVE, build.batchjob(input=IN))
    job = await only_job(operator, "upload")
    put_pod(api, job, {"waiting": {"reason": "ContainerCreating"}}, "Pending")
    await operator.until_reason(Reason.TRANSFER_PENDING)
    api.mute.add("jobs")
    put_pod(api, job, {"waiting": {"reason": why}}, "Pending")
    told = {Reason.TRANSFER_IMAGE_PULL_FAILED, Reason.CREDENTIALS_NOT_FOUND}
    # By its own looks alone.
    await operator.until(lambda: operator.reason() in told, None)


async def test_a_new_leader_finds_what_is_at_work_and_makes_nothing_twice(
    api: ApiServer, kong: Instance, tmp_path: Path, volume: Path
) -> None:
    async with Operator(api, tmp_path).running() as before:
        await begun(before, api, kong, 1)
    async with Operator(api, tmp_path).running() as after:
        await after.until(lambda: len(kong.batches()) == 3)
        await lives(after, kong, volume)
    assert len([file for file in kong.calls() if file["operation"] == "files.create"]) == 3
