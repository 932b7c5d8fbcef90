"""Objects that came back from a backup, by GitOps or from another cluster: nothing is doubled, nothing of others is touched."""

import copy
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api import FINALIZER, RESUBMIT_ANNOTATION
from llmbatch.api.batchjob_status import Phase
from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.conftest import FIVE
from tests.controller.test_duplicates import cancels, states
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all


@pytest.fixture
async def elsewhere() -> AsyncIterator[ApiServer]:
    """A second cluster, with operators of its own, in front of the same gateway."""
    async with ApiServer().serve() as server:
        yield server


def restore(
    api: ApiServer, kong: Instance, backup: Json, content: bytes = FIVE, *, uid: str | None = None, **gateway: Any
) -> str:
    """Put an object back as a backup tool does: the same content under another uid."""
    made = copy.deepcopy(backup)
    uid = uid or str(uuid.uuid4())
    metadata = {
        name: made["metadata"][name] for name in ("name", "namespace", "finalizers") if name in made["metadata"]
    }
    made["metadata"] = {**metadata, "uid": uid}
    apply_all(api, kong, content, made, **gateway)
    return uid


def copied(api: ApiServer, among: Among, backup: Json) -> str:
    """Put an object back in another cluster, with all that it needs; answers its uid there."""
    return restore(api, among.kong, backup, among.spread(FIVE), **among.gateway())


async def backup_at(operator: Operator, among: Among, stage: str) -> Json:
    """Run a job until a batch of it owes what a stage is named after, and give the object as a backup would hold it."""
    match stage:
        case "file":
            among.fault("status", "batches.create", status=429, times=-1, retry_after=600)
            among.apply(operator.api)
            await among.until_reason(operator, Reason.RATE_LIMITED)
        case "answer":
            among.fault("reset_after", "batches.create")
            among.kong.configure(list_lag_seconds=3600)
            among.apply(operator.api)
            await among.until_reason(operator, Reason.SUBMISSION_PENDING)
        case _:
            among.apply(operator.api)
            await among.all_submitted(operator)
            await operator.until_reason(Reason.VALIDATING)
            if stage == "ended":
                among.kong.advance(3600)
                await operator.until_ended()
    await operator.quiet()
    return operator.job()


def deletions(kong: Instance) -> int:
    return len(kong.calls("files.delete")) + len(kong.calls("batches.cancel"))


async def to_its_end(operator: Operator, kong: Instance) -> None:
    await operator.until(lambda: operator.status().batches and operator.status().batches[0].id)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.status().phase is Phase.COMPLETE


# --- a status that was lost ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False], ids=["the batch runs", "the batch has ended"])
async def test_a_lost_status_is_found_again_at_the_gateway(
    api: ApiServer, kong: Instance, tmp_path: Path, known: bool
) -> None:
    async with Operator(api, tmp_path).running() as operator:
        backup = await backup_at(operator, Among(kong, several=False), "batch")
    if not known:
        kong.advance(3600)
    api.put("batchjobs", {name: value for name, value in backup.items() if name != "status"})
    async with Operator(api, tmp_path).running() as operator:
        await to_its_end(operator, kong)
        assert len(kong.batches()) == 1
        assert operator.status().input is None
        assert len(api.data("secrets", "results", "r.jsonl").splitlines()) == 5
        assert all(file["deleted"] for file in kong.files())
        assert ("Warning", "Restored") in operator.events()
        assert ("Normal", "Adopted") in operator.events()


async def test_a_job_that_lost_its_status_before_it_was_submitted_begins_anew_after_the_settle_period(
    api: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    apply_all(api, kong, FIVE, build.batchjob(metadata={"finalizers": [FINALIZER]}))
    async with Operator(api, tmp_path, settle_seconds=1).running() as operator:
        await operator.until_reason(Reason.SUBMISSION_PENDING)
        assert operator.status().phase is Phase.SUBMITTING
        assert not kong.calls("files.create")
        await to_its_end(operator, kong)
        assert len(kong.batches()) == 1


async def test_without_a_list_a_person_decides_about_a_lost_status(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(list_supported=False)
    apply_all(api, kong, FIVE, build.batchjob(metadata={"finalizers": [FINALIZER]}))
    await operator.until_reason(Reason.SUBMISSION_UNKNOWN)
    ready = operator.status().condition("Ready")
    assert ready is not None
    assert "The status of this job was lost" in ready.message
    assert not kong.calls("files.create")
    api.edit("batchjobs", "job", {"metadata": {"annotations": {RESUBMIT_ANNOTATION: "2"}}})
    await to_its_end(operator, kong)


async def test_a_deleted_job_that_lost_its_status_cancels_its_batch(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path).running() as operator:
        backup = await backup_at(operator, among, "batch")
    api.put("batchjobs", {name: value for name, value in backup.items() if name != "status"})
    api.remove("batchjobs", "job")
    async with Operator(api, tmp_path).running() as operator:
        await operator.until(lambda: len(set(cancels(kong))) == among.count)
        kong.advance(3600)
        await operator.until_gone()
        assert ("Warning", "DuplicateCancelled") not in operator.events()
    assert list(states(kong).values()) == ["cancelled"] * among.count
    assert all(file["deleted"] for file in kong.files())


# --- an old status on a new object -----------------------------------------------------------------------------------


async def test_a_copy_for_which_nothing_was_ordered_is_a_job_of_its_own(
    operator: Operator, elsewhere: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    backup = await backup_at(operator, Among(kong, several=False), "file")
    kong.clear_faults()
    kong.configure(in_progress_seconds=600)
    async with Operator(elsewhere, tmp_path / "elsewhere").running() as other:
        uid = restore(elsewhere, kong, backup)
        await other.until(lambda: other.status().summary.submission_time)
        assert other.status().uid == uid
        assert other.status().batches[0].input_file_id != backup["status"]["batches"][0]["inputFileID"]
        await to_its_end(other, kong)
        assert ("Warning", "Restored") in other.events()
    left = [file["id"] for file in kong.files() if not file["deleted"]]
    assert left == [backup["status"]["batches"][0]["inputFileID"]], "the original's file is the original's"


async def test_a_copy_finds_the_batch_whose_answer_the_original_was_owed(
    api: ApiServer, elsewhere: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path / "here", settle_seconds=600).running() as operator:
        backup = await backup_at(operator, among, "answer")
    kong.configure(list_lag_seconds=0)
    async with Operator(elsewhere, tmp_path / "elsewhere").running() as other:
        copied(elsewhere, among, backup)
        made = await among.submitted(other)
        if among.several:
            # The third was not ordered when it was copied, so that there is no result of all.
            await other.until_reason(Reason.RESTORED)
        else:
            await among.ended(other)
        assert among.states().keys() == {made}
        assert len(kong.batches()) == among.index + 1
        assert deletions(kong) == 0


async def test_a_copy_whose_original_has_no_batch_begins_anew(
    operator: Operator, elsewhere: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    backup = await backup_at(operator, Among(kong, several=False), "file")
    await operator.stop()
    kong.clear_faults()
    backup["status"] |= {"submission": {"attempt": 1, "intentTime": backup["status"]["startTime"]}, "attempts": 1}
    async with Operator(elsewhere, tmp_path / "elsewhere").running() as other:
        uid = restore(elsewhere, kong, backup)
        await to_its_end(other, kong)
        assert other.status().uid == uid
        assert len(kong.batches()) == 1


async def test_original_and_copy_both_end_with_one_batch_whose_files_the_original_deletes(
    api: ApiServer, elsewhere: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    async with Operator(api, tmp_path / "here").running() as operator:
        backup = await backup_at(operator, among, "batch")
    results = among.whole("one", "two", "three", "four", "five")
    async with Operator(elsewhere, tmp_path / "elsewhere").running() as other:
        copied(elsewhere, among, backup)
        await among.ended(other)
        assert among.stored(elsewhere) == results
        assert deletions(kong) == 0
        assert other.events().count(("Warning", "Restored")) == 1
        await other.until(lambda: ("Normal", "RemoteFilesRetained") in other.events(), None)
        assert other.status().uid == backup["metadata"]["uid"]
    async with Operator(api, tmp_path / "here").running() as operator:
        await operator.until_ended()
        assert among.stored(api) == results
    assert len(kong.batches()) == among.count
    assert all(file["deleted"] for file in kong.files())


@pytest.mark.parametrize("stage", ["file", "answer", "batch"])
async def test_deleting_a_copy_leaves_the_original_alone(
    api: ApiServer, elsewhere: ApiServer, kong: Instance, among: Among, tmp_path: Path, *, stage: str
) -> None:
    async with Operator(api, tmp_path / "here", settle_seconds=600).running() as operator:
        backup = await backup_at(operator, among, stage)
    copied(elsewhere, among, backup)
    elsewhere.remove("batchjobs", "job")
    async with Operator(elsewhere, tmp_path / "elsewhere").running() as other:
        await other.until_gone()
    assert deletions(kong) == 0


async def test_a_copy_of_an_ended_job_does_nothing(
    operator: Operator, elsewhere: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    backup = await backup_at(operator, among, "ended")
    kong.clear_calls()
    async with Operator(elsewhere, tmp_path / "elsewhere").running() as other:
        copied(elsewhere, among, backup)
        await other.quiet()
        assert other.status().phase is Phase.COMPLETE
        assert other.events() == [("Normal", "GatewayReady")]
    assert {call["operation"] for call in kong.calls()} <= {"batches.list", "files.list"}


async def test_a_status_of_an_older_version_that_names_no_object_is_the_objects_own(
    operator: Operator, elsewhere: ApiServer, kong: Instance, tmp_path: Path
) -> None:
    backup = await backup_at(operator, Among(kong, several=False), "batch")
    await operator.stop()
    del backup["status"]["uid"]
    async with Operator(elsewhere, tmp_path / "elsewhere").running() as other:
        uid = restore(elsewhere, kong, backup)
        await to_its_end(other, kong)
        assert other.status().uid == uid
    assert all(file["deleted"] for file in kong.files())
