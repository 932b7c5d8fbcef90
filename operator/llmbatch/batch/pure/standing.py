"""Whether a status may be written over the one stored: never over another batch's id, another process' intent or a verdict."""

from collections.abc import Iterable
from typing import Any

from llmbatch.api.batch_status import Batch, entries
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
    intents = _intents(found)
    if not intents <= {*_intents(before.dump()), *_intents(after.dump())}:
        return False
    files = _files(found)
    return ids != set() or intents != set() or files <= {*_files(before.dump()), *_files(after.dump())}


def is_known(found: Json, before: BatchJobStatus, after: BatchJobStatus) -> bool:
    """Tell whether each of a job's batches stands there as the writer has seen it, or is about to write it."""
    # As far as this version knows them: a later one may have put in more.
    there = [Batch.parse(entry).dump() for entry in entries(found)]
    told = [[batch.dump() for batch in status.batches] for status in (before, after)]
    known = [batches for batches in told if len(batches) == len(there)]
    return known != [] and all(entry in either for entry, *either in zip(there, *known, strict=True))


def is_there(found: Json, after: BatchJobStatus) -> bool:
    """Tell whether the batch that is to be recorded is recorded already: the answer to the write was lost."""
    ids = _ids(after.dump())
    return ids != set() and ids <= _ids(found) and not _intents(found)


def holds_intent(found: Json, status: BatchJobStatus) -> bool:
    """Tell whether the intent of a status is still the one that is stored."""
    return _intents(found) == _intents(status.dump())


def tests(stored: Json, names: Iterable[str]) -> list[Json]:
    """Give a JSON patch's tests that some members of a status are as they were read, whatever else is edited."""
    return [{"op": "test", "path": f"/status/{name}", "value": stored[name]} for name in names if name in stored]


def steps(patch: Json, after: Json, stored: Json) -> list[Json]:
    """Give a JSON patch's steps that do what a merge patch does to a status' members."""
    found: list[Json] = []
    for name in patch:
        if name in after:
            found.append({"op": "add", "path": f"/status/{name}", "value": after[name]})
        elif name in stored:
            found.append({"op": "remove", "path": f"/status/{name}"})
    return found


def _is_ended(status: Json) -> bool:
    return remote_state.is_ended({"status": status})


def _ids(status: Json) -> set[str]:
    return {batch["id"] for batch in entries(status) if batch.get("id")}


def _files(status: Json) -> set[str]:
    return {batch["inputFileID"] for batch in entries(status) if batch.get("inputFileID")}


def _intents(status: Json) -> set[tuple[object, object]]:
    found = (batch.get("submission") for batch in entries(status))
    return {(intent.get("attempt"), intent.get("intentTime")) for intent in found if intent}
