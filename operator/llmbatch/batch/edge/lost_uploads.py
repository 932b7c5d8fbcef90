"""Uploads whose answer was lost: files at the provider that carry the job's name, and whose id its status never learned.

An upload is repeated without ado, since a file costs next to nothing and a batch is made of one only. So the files of the
lost tries are left, and they count against the provider's quota of files; they are found here by the name that
naming.upload_filename gave them, when the job ends or is deleted.
"""

from dataclasses import dataclass
from datetime import datetime

from llmbatch.api.reasons import Reason
from llmbatch.batch.directory.reading import Reading
from llmbatch.batch.directory.readings import Readings
from llmbatch.batch.edge.polls import Polls
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.edge.uploads import Uploads
from llmbatch.batch.pure.stage import Stage
from llmbatch.batch.pure.submission import horizon
from llmbatch.gateway.pace import Operation
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound, Refused
from llmbatch.provider.pure.pages import Following
from llmbatch.provider.pure.wire import FilePage
from llmbatch.transfer.pure import naming
from llmbatch.transfer.pure.report import Problem

MOST_PAGES = 50


@dataclass
class LostUploads:
    """Deletes them when a job ends or is deleted."""

    polls: Polls
    uploads: Uploads
    readings: Readings[FilePage]

    async def delete(self, seen: Seen) -> Problem | float | None:
        """Delete a job's; answers what is in the way and worth waiting for, or the seconds until the list may be read."""
        observation, client = seen.observation, seen.client
        if not _are_looked_for(seen):
            return None
        if client is None:
            return self._unasked(seen)
        since = observation.status.start_time or observation.now
        reading = self.readings.ask(client, observation.uid, _question(seen))
        if not isinstance(reading, Reading):
            return reading
        whole = await delete_lost_uploads(reading, observation.uid, observation.file_ids, since)
        if not isinstance(whole, bool):
            problem = await self.polls.problem(client, whole, Operation.CLEANUP)
            told = f"It can't be looked for files of uploads whose answer was lost: {problem.message}"
            return problem.model_copy(update={"reason": Reason.CLEANING_UP, "message": told})
        if not whole and self.uploads.lost(observation.uid):
            told = (
                "The gateway's list of files can't be followed to its end, and the answer to an upload was lost:"
                f" perhaps there is a file whose name begins with {observation.uid}."
            )
            return Problem(reason=Reason.CLEANING_UP, message=told)
        if observation.deleted_at is None:
            # At the end of a job that has run, nothing is left of its uploads that could still arrive.
            return None
        left = self.uploads.doubt(observation.uid, uploaded=observation.status.input is not None)
        if left <= 0:
            return None
        told = "An upload whose answer was lost may still arrive; its file is looked for once more."
        return Problem(reason=Reason.CLEANING_UP, message=told, retry_after_seconds=min(left + 0.1, 5.0))

    def due_in(self, seen: Seen) -> float:
        """Give the seconds until a job's may be looked for; 0: now, or they are not looked for."""
        if seen.client is None or not _are_looked_for(seen):
            return 0.0
        return self.readings.due_in(seen.client, seen.observation.uid, _question(seen))

    def left(self, seen: Seen) -> str:
        """Say what may be left of a job that is let go since its time is over; "": nothing, as far as this process knows."""
        uid = seen.observation.uid
        may_be = seen.observation.out_of_time and _are_ours(seen) and self._may_be_there(seen)
        return f"perhaps a file whose name begins with {uid}" if may_be else ""

    def _unasked(self, seen: Seen) -> Problem | None:
        """Say of a deleted job that its gateway can't be asked for what an upload may have left there."""
        observation = seen.observation
        if observation.deleted_at is None or not self._may_be_there(seen):
            return None
        why = observation.trouble.message if observation.trouble is not None else "The gateway can't be reached."
        told = f"It can't be looked for the file of an upload whose answer was lost: {why}"
        wait = min(5.0, observation.limits.recheck_seconds)
        return Problem(reason=Reason.CLEANING_UP, message=told, retry_after_seconds=wait)

    def _may_be_there(self, seen: Seen) -> bool:
        """Tell whether an upload may leave a file that nobody knows; of what an earlier process has begun, only its end is known."""
        observation = seen.observation
        files = [batch.input_file_id for batch in observation.status.batches]
        has_all = observation.stage is Stage.ENDED or (bool(files) and None not in files)
        return self.uploads.is_unanswered(observation.uid) or (not has_all and self.uploads.lost(observation.uid))

    def forget(self, uid: str) -> None:
        """Forget a job that is gone or has ended."""
        self.uploads.forget(uid)
        self.readings.forget(uid)


def _question(seen: Seen) -> bool:
    """Tell questions apart: it is another one, should the job be deleted in between."""
    return seen.observation.deleted_at is not None


def _are_looked_for(seen: Seen) -> bool:
    return seen.observation.finalizer and not seen.observation.out_of_time and _are_ours(seen)


def _are_ours(seen: Seen) -> bool:
    """Tell whether files that carry the job's name may be deleted."""
    return not seen.observation.restored and seen.observation.spec.remote_files == "Delete"


async def delete_lost_uploads(
    reading: Reading[FilePage], uid: str, known: tuple[str, ...], since: datetime
) -> Failure | bool:
    """Delete the files named after a job that are not among those it knows.

    Answers what was in the way, or whether it is certain that none is left.

    Args:
        reading: Of the list of files.
        uid: The job's.
        known: Ids of the job's status: whether they are deleted is decided elsewhere.
        since: When the job began; its files are no older.
    """
    following = Following(horizon(since), MOST_PAGES, unsaid_ends=True)
    strays: list[str] = []
    failed: Failure | None = None
    goes_on = True
    while goes_on:
        answer = await reading.page(following.after)
        if not isinstance(answer, Answered):
            if following.after is None and _lists_nothing(answer):
                # Nobody can tell.
                return True
            failed = answer
            break
        named = [file for file in answer.value.files if naming.is_upload_of(uid, file.filename)]
        strays += [file.id for file in named if file.id not in known]
        goes_on = following.take(answer.value, sum(naming.is_upload_of(uid, name) for name in answer.value.unusable))
    # Not before the list is read: the next page may begin after one of them.
    for file_id in dict.fromkeys(strays):
        deleted = await reading.gateway.delete_file(file_id)
        if not isinstance(deleted, Answered | NotFound):
            return deleted
    return failed or following.whole


def _lists_nothing(answer: Failure) -> bool:
    """Tell whether a gateway has no list of files at all."""
    return isinstance(answer, NotFound) or (isinstance(answer, Refused) and answer.status in (400, 404, 405, 501))
