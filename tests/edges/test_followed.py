"""What is known of transfer Jobs, whatever is told of them late, twice, or in another order than it happened."""

from typing import Any

import pytest

from llmbatch.runtime.queue import WorkQueue
from llmbatch.transfer.pure import naming
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfers.followed import Followed

Json = dict[str, Any]
OWNER = Owner("team-a", "job", "u")
ENDED = [{"type": "Complete", "status": "True"}]


def job(version: int, uid: str = "1", **status: Any) -> Json:
    labels = {naming.LABEL_MANAGED_BY: naming.MANAGER, naming.LABEL_UID: OWNER.uid}
    owners = [{"kind": "BatchJob", "name": OWNER.name, "uid": OWNER.uid}]
    metadata = {"name": "job-upload-0", "namespace": "team-a", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": labels, "ownerReferences": owners}, "spec": {}, "status": status}


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue()


@pytest.fixture
def followed(queue: WorkQueue) -> Followed:
    made = Followed(queue)
    made.follows(None, now=True)
    return made


def known(followed: Followed) -> list[str]:
    return [f"{found['metadata']['uid']}@{found['metadata']['resourceVersion']}" for found in followed.of(OWNER) or []]


async def test_a_change_has_the_batch_job_looked_at_once(followed: Followed, queue: WorkQueue) -> None:
    followed.answered(job(1))
    await followed.told("ADDED", job(1))
    await followed.told("MODIFIED", job(2, active=1))
    assert queue.depth == 0, "that was to be expected"
    await followed.told("MODIFIED", job(3, conditions=ENDED))
    assert queue.depth == 1
    assert known(followed) == ["1@3"]


async def test_where_nobody_is_told_anything_nothing_is_known(followed: Followed) -> None:
    followed.answered(job(1))
    followed.follows(None, now=False)
    assert followed.of(OWNER) is None
    followed.follows("team-b", now=True)
    assert followed.of(OWNER) is None
    followed.follows("team-a", now=True)
    assert known(followed) == ["1@1"]


async def test_what_is_told_late_of_a_job_that_was_removed_or_made_anew_changes_nothing(
    followed: Followed, queue: WorkQueue
) -> None:
    followed.answered(job(1))
    followed.removed("team-a", "job-upload-0")
    await followed.told("MODIFIED", job(2, conditions=ENDED))
    assert known(followed) == []
    followed.answered(job(5, uid="2"))
    await followed.told("MODIFIED", job(3, conditions=ENDED))
    await followed.told("DELETED", job(4))
    assert known(followed) == ["2@5"]
    assert queue.depth == 0


async def test_an_answer_that_comes_after_what_is_told_of_the_same_takes_nothing_back(followed: Followed) -> None:
    await followed.told("ADDED", job(1))
    await followed.told("MODIFIED", job(2, conditions=ENDED))
    followed.answered(job(1))
    assert known(followed) == ["1@2"]


async def test_one_that_stays_though_it_was_removed_is_known_again_once_the_api_server_answers_it(
    followed: Followed,
) -> None:
    followed.answered(job(1))
    followed.removed("team-a", "job-upload-0")
    followed.answered(job(2))
    assert known(followed) == ["1@2"]


async def test_a_list_that_lacks_a_job_drops_it_unless_it_was_made_since(followed: Followed, queue: WorkQueue) -> None:
    followed.answered(job(5))
    await followed.listed(None, "4", set())
    assert known(followed) == ["1@5"]
    assert queue.depth == 0
    await followed.listed(None, "6", set())
    assert known(followed) == []
    assert queue.depth == 1


async def test_a_deletion_by_hand_has_the_batch_job_looked_at(followed: Followed, queue: WorkQueue) -> None:
    followed.answered(job(1))
    await followed.told("DELETED", job(2))
    assert known(followed) == []
    assert queue.depth == 1


async def test_when_history_has_gone_back_nothing_is_known(followed: Followed) -> None:
    followed.answered(job(1))
    followed.went_back("team-a")
    assert known(followed) == []


async def test_a_job_of_which_nothing_was_told_is_overdue(followed: Followed) -> None:
    followed.answered(job(1))
    assert not followed.is_overdue(job(1))
    followed.overdue_seconds = -1.0
    assert followed.is_overdue(job(1))
    assert followed.is_overdue(job(1, uid="another"))


async def test_a_job_of_another_namespace_is_no_transfer_of_a_batch_job_whatever_its_labels_say(
    followed: Followed,
) -> None:
    forged = job(1, uid="forged")
    # By the names of those that are not kept, Jobs are deleted in the namespace of the BatchJob.
    forged["metadata"] |= {"namespace": "team-b", "name": "nightly-report"}
    await followed.told("ADDED", forged)
    assert known(followed) == []
    followed.answered(job(2))
    assert known(followed) == ["1@2"]
