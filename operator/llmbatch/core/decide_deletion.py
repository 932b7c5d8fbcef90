"""What to do with a BatchJob that is being deleted: leave nothing behind, but never wait for ever."""

import math

from llmbatch.api.reasons import Reason
from llmbatch.core.decision import Cancel, Decision, DeleteFiles, Done, FindDuplicates, LookUp, RemoveFinalizer, Wait
from llmbatch.core.observation import Observation, Stage


def object_is_being_deleted(seen: Observation) -> Decision | None:
    """Cancel the batch, delete the files, let go; bounded by cleanup_seconds."""
    if seen.deleted_at is None:
        return None
    if not seen.finalizer:
        # Nothing of ours is left to do; the API server removes the object when the others are done.
        return _wait("Waiting for the finalizers of others.", after=math.inf)
    if seen.stage is Stage.ENDED or seen.restored or _nothing_is_there(seen):
        return Decision(Done(), RemoveFinalizer())
    if seen.older_than(seen.deleted_at, seen.limits.cleanup_seconds):
        return Decision(Done(), RemoveFinalizer(left_behind=_left_behind(seen)))
    # No wait is longer than what is left of the time.
    left = seen.limits.cleanup_seconds - max(0.0, (seen.now - seen.deleted_at).total_seconds()) + 0.1
    if seen.stage is Stage.INPUT and seen.transferring is not None:
        # The upload's answer names the file that is to be deleted.
        return _wait("Waiting for the upload under way, to delete its file.", after=1.0)
    if seen.trouble is not None:
        after = min(seen.limits.recheck_seconds, 5.0, left)
        return _wait(f"Can't clean up yet: {seen.trouble.message}", after=after)
    if seen.stage is Stage.ANSWER:
        return _answer_is_owed(seen)
    if seen.stage is Stage.BATCH and seen.batch.id is not None:
        if seen.batch.status != "cancelling":
            return Decision(_waiting("The batch is being cancelled."), Cancel(seen.batch.id))
        return _wait("The batch is being cancelled at the provider.", after=min(max(0.05, seen.poll_in), left))
    if seen.unchecked and not seen.older_than(seen.deleted_at, seen.limits.cleanup_seconds / 2):
        # Before the files, by which a batch is known; a list that can't be read leaves them the other half of the time.
        return Decision(_waiting("Other batches of this job are looked for."), FindDuplicates())
    if seen.spec.remote_files == "Delete" and seen.file_ids:
        return Decision(_waiting("The remote files are being deleted."), DeleteFiles(seen.file_ids))
    return Decision(Done(), RemoveFinalizer(left_behind=_unsearched(seen)))


def _answer_is_owed(seen: Observation) -> Decision:
    if seen.unrecorded:
        return Decision(_waiting("The status was lost; whether a batch exists is found out first."))
    if not seen.lists_batches:
        return Decision(Done(), RemoveFinalizer(left_behind=_left_behind(seen)))
    return Decision(_waiting("The gateway is asked whether the batch exists."), LookUp())


def _nothing_is_there(seen: Observation) -> bool:
    return seen.stage is Stage.INPUT and seen.transferring is None


def _waiting(message: str, after: float = 0.0) -> Wait:
    return Wait(Reason.DELETING, message, after=after)


def _wait(message: str, after: float) -> Decision:
    return Decision(_waiting(message, after))


def _left_behind(seen: Observation) -> str:
    left = []
    if seen.stage is Stage.ANSWER:
        left.append(f"perhaps a batch of input file {seen.batch.input_file_id}")
    if seen.stage is Stage.BATCH:
        left.append(f"batch {seen.batch.id}")
    left += [f"file {file_id}" for file_id in seen.file_ids]
    return ", ".join(filter(None, [*left, _unsearched(seen)]))


def _unsearched(seen: Observation) -> str:
    return f"perhaps further batches with llmbatch_uid {seen.uid}" if seen.unchecked else ""
