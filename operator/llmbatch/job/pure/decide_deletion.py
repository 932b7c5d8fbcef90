"""What to do with a BatchJob that is being deleted: leave nothing behind that should go, but never wait for ever."""

import math

from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import late
from llmbatch.batch.pure.decision import (
    Cancel,
    Decision,
    DeleteFiles,
    Discard,
    Done,
    FindDuplicates,
    LookUp,
    RemoveFinalizer,
    Wait,
)
from llmbatch.batch.pure.observation import Observation
from llmbatch.batch.pure.stage import Stage


def object_is_being_deleted(seen: Observation) -> Decision | None:
    """Cancel the batch, delete files and results as deletionPolicy says, let go; bounded by cleanup_seconds."""
    if seen.deleted_at is None:
        return None
    if not seen.finalizer:
        # Nothing of ours is left to do; the API server removes the object when the others are done.
        return _wait("Waiting for the finalizers of others.", after=math.inf)
    if seen.out_of_time:
        return Decision(Done(), _let_go(seen))
    if seen.discarding.due:
        # First, since it goes on beside everything else.
        return Decision(_waiting("The results are being deleted from their volume."), Discard())
    if not _provider_is_done_with(seen):
        return _clean_up(seen)
    if seen.discarding.at_work:
        return _wait(seen.discarding.at_work, after=min(1.0, seen.seconds_left))
    return Decision(Done(), _let_go(seen))


def _provider_is_done_with(seen: Observation) -> bool:
    """Tell whether nothing is, or can be, done at the provider any more."""
    if seen.restored:
        # What is there belongs to the original of this copy.
        return True
    match seen.stage:
        case Stage.ENDED:
            return True
        case Stage.INPUT:
            return seen.transferring is None
        case Stage.ANSWER:
            return seen.orphans or (seen.trouble is None and not seen.lists_batches and not seen.unrecorded)
        case Stage.BATCH:
            return seen.orphans
        case Stage.RESULTS if seen.orphans:
            return True
        case _:
            if _search_is_due(seen) or _names_more(seen):
                return False
            return seen.spec.remote_files == "Retain" or not seen.file_ids


def _clean_up(seen: Observation) -> Decision:
    """Take the next step at the provider; no wait is longer than what is left of the time."""
    left = seen.seconds_left
    if seen.stage is Stage.INPUT:
        # The upload's answer names the file that is to be deleted.
        return _wait("Waiting for the upload under way, to delete its file.", after=min(1.0, left))
    if seen.trouble is not None:
        after = min(seen.limits.recheck_seconds, 5.0, left)
        return _wait(f"Can't clean up yet: {seen.trouble.message}", after=after)
    if seen.stage is Stage.ANSWER:
        if seen.unrecorded:
            return Decision(_waiting("The status was lost; whether a batch exists is found out first."))
        return Decision(_waiting("The gateway is asked whether the batch exists."), LookUp())
    if seen.stage is Stage.BATCH and seen.batch.id is not None:
        if seen.batch.status != "cancelling":
            return Decision(_waiting("The batch is being cancelled."), Cancel(seen.batch.id))
        return _until_polled("The batch is being cancelled at the provider.", seen)
    if _search_is_due(seen):
        # Before the files, by which a batch is known; a list that can't be read leaves them the other half of the time.
        return Decision(_waiting("Other batches of this job are looked for."), FindDuplicates())
    if _names_more(seen):
        return _until_polled("The batch has ended; which files its results are in is asked for.", seen)
    return Decision(_waiting("The remote files are being deleted."), DeleteFiles(seen.file_ids))


def _search_is_due(seen: Observation) -> bool:
    return seen.unchecked and _is_early(seen)


def _names_more(seen: Observation) -> bool:
    """Tell whether results may yet be named that are to be deleted too; for half of the time."""
    may = seen.stage is Stage.RESULTS and seen.spec.remote_files == "Delete" and late.names_more(seen.batch)
    return may and _is_early(seen)


def _is_early(seen: Observation) -> bool:
    """Tell whether more than half of the time is left: what can't be found out leaves the files the other half."""
    return seen.seconds_left > seen.cleanup_seconds / 2


def _waiting(message: str, after: float = 0.0) -> Wait:
    return Wait(Reason.DELETING, message, after=after)


def _wait(message: str, after: float) -> Decision:
    return Decision(_waiting(message, after))


def _until_polled(message: str, seen: Observation) -> Decision:
    return _wait(message, after=min(max(0.05, seen.poll_in), seen.seconds_left))


def _let_go(seen: Observation) -> RemoveFinalizer:
    return RemoveFinalizer(_left_behind(seen), as_asked=seen.orphans, kept_output=kept_output(seen))


def _left_behind(seen: Observation) -> str:
    left: list[str] = []
    if seen.restored:
        return ""
    if seen.stage is Stage.ANSWER:
        # Of a status that was lost no file is known.
        file_id = seen.batch.input_file_id
        left.append(f"perhaps a batch of input file {file_id}" if file_id else _by_uid(seen, "a batch"))
    elif seen.stage is Stage.BATCH or seen.orphans:
        left.append(f"batch {seen.batch.id}")
    elif _provider_is_done_with(seen):
        return "" if seen.stage in (Stage.INPUT, Stage.ENDED) else _unsearched(seen)
    left += [f"file {file_id}" for file_id in seen.file_ids]
    if not seen.orphans:
        left.append(_unsearched(seen))
    return ", ".join(filter(None, left))


def kept_output(seen: Observation) -> str:
    """Say which results were to be deleted and stay."""
    output = seen.status.output
    if output is None or not (seen.discarding.due or seen.discarding.at_work):
        return seen.discarding.kept
    where = ", ".join(filter(None, (output.location, output.errors_location, output.foreign_location)))
    return f"{where}: {seen.discarding.at_work or 'their deletion never began.'}"


def _unsearched(seen: Observation) -> str:
    return _by_uid(seen, "further batches") if seen.unchecked else ""


def _by_uid(seen: Observation, what: str) -> str:
    return f"perhaps {what} with llmbatch_uid {seen.uid}"
