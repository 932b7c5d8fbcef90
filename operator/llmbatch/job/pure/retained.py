"""What is told of a deleted BatchJob when it is let go: what stays behind, and why."""

from typing import Literal

from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.decision import RemoveFinalizer
from llmbatch.batch.pure.observation import Observation
from llmbatch.batch.pure.stage import Stage

Note = tuple[Literal["Normal", "Warning"], Reason, str]


def notes(seen: Observation, effect: RemoveFinalizer) -> list[Note]:
    """Word the events; none when nothing is left."""
    seconds = 0 if seen.deleted_at is None else int((seen.now - seen.deleted_at).total_seconds())
    told: list[Note] = []
    if effect.left_behind and effect.as_asked:
        message = f"Left at the provider, as spec.deletionPolicy.remoteBatch says: {effect.left_behind}."
        # Whether there is a batch at all is known to nobody, and somebody should look.
        owed = any(batch.submission is not None for batch in seen.status.batches)
        told.append(("Warning" if owed else "Normal", Reason.REMOTE_BATCH_RETAINED, message))
    elif effect.left_behind:
        message = f"Let go {seconds} s after its deletion with things left at the provider: {effect.left_behind}."
        told.append(("Warning", Reason.REMOTE_FILES_RETAINED, f"{message} Remove them there."))
    if effect.kept_output:
        message = f"Let go {seconds} s after its deletion with results left in their volume: {effect.kept_output}"
        told.append(("Warning", Reason.OUTPUT_RETAINED, message))
    return told


def of_the_original(seen: Observation) -> tuple[Note, ...]:
    """Say what a copy leaves alone, where it would be removed for the original."""
    if not seen.restored or seen.stage is Stage.ENDED:
        return ()
    files = seen.file_ids if seen.spec.remote_files == "Delete" else ()
    batches = [batch.id for batch in seen.status.batches if batch.id] if seen.deleted_at is not None else []
    if not (batches or files):
        return ()
    told = f"{', '.join((*batches, *files))} at the provider belong to the original of this copy, and are left to it."
    return (("Normal", Reason.REMOTE_FILES_RETAINED, told),)
