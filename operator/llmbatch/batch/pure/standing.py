"""Whether a status may be written over the one stored: never over another batch's id, another process' intent or a verdict."""

from typing import Any

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure import remote_state

Json = dict[str, Any]


def is_unmoved(found: Json, before: BatchJobStatus, after: BatchJobStatus) -> bool:
    """Tell whether a stored status still is about the batch and the intent that a writer knows of.

    Args:
        found: The status as it is stored now.
        before: The status that the writer has seen, or written, last.
        after: The status that is to be written.
    """
    if _is_ended(found) and not (_is_ended(before.dump()) or _is_ended(after.dump())):
        # A verdict was given meanwhile, and nobody looks at this job any more.
        return False
    ids, known = _ids(found), {*_ids(before.dump()), *_ids(after.dump())}
    if not ids <= known:
        return False
    intent = _intent(found)
    if intent is not None and intent not in (_intent(before.dump()), _intent(after.dump())):
        return False
    files = _files(found)
    return ids != set() or intent is not None or files <= {*_files(before.dump()), *_files(after.dump())}


def is_there(found: Json, after: BatchJobStatus) -> bool:
    """Tell whether the batch that is to be recorded is recorded already: the answer to the write was lost."""
    ids = _ids(after.dump())
    return ids != set() and ids <= _ids(found) and found.get("submission") is None


def _is_ended(status: Json) -> bool:
    return remote_state.is_ended({"status": status})


def _ids(status: Json) -> set[str]:
    return {batch["id"] for batch in status.get("batches") or [] if batch.get("id")}


def _files(status: Json) -> set[str]:
    return {batch["inputFileID"] for batch in status.get("batches") or [] if batch.get("inputFileID")}


def _intent(status: Json) -> tuple[object, object] | None:
    submission = status.get("submission")
    return None if submission is None else (submission.get("attempt"), submission.get("intentTime"))
