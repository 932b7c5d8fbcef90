"""Everything a decision may look at, read once."""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.stage import Queued, Stage, memory_of, stage_of
from llmbatch.transfer.pure.report import Problem

FILE_SETTLES = 5
"""Times the settle period, 10 minutes by default: so long an uploaded file may be unknown to a part of the provider."""
AGAIN_SETTLES = 4
"""So many settle periods lie between the first two looks for batches of a call that was given up."""


class FileState(StrEnum):
    """What is known of the uploaded file."""

    USABLE = "usable"
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True)
class Limits:
    """Settings of the operator that decisions depend on; seconds."""

    settle_seconds: float = 120.0
    """How long an unknown create call is waited for before the next attempt."""
    recheck_seconds: float = 15.0
    """How often something missing or refused is looked at again."""
    cleanup_seconds: float = 300.0
    """Longest time that deletion, or the end of a job, waits for remote files and the remote batch."""
    stall_after_seconds: float = 120.0
    """How long what often passes by itself may last before a person is asked."""

    retry_seconds: float = 60.0
    """Before requests that failed in a way that may pass are sent again; it doubles with each attempt."""

    @property
    def late_seconds(self) -> float:
        """How long results that an ended batch owes are waited for: five minutes, with recheck_seconds as it is."""
        return 20 * self.recheck_seconds


@dataclass(frozen=True)
class Discarding:
    """How far the deletion of results in a volume is."""

    due: bool = False
    """It has not begun."""
    at_work: str = ""
    """Under way, or waiting; in words."""
    kept: str = ""
    """Over; what was kept, and why. Empty: all is gone."""


@dataclass(frozen=True)
class Reading:
    """What was read of a BatchJob, and of all that concerns it, at one moment; and which stage and batch it is about."""

    uid: str
    generation: int
    spec: BatchJobSpec
    status: BatchJobStatus
    """What is stored, with what was just found out (a poll, a transfer's report) put in."""
    now: datetime
    limits: Limits = field(default_factory=Limits)
    finalizer: bool = False
    deleted_at: datetime | None = None
    owed_seconds: float = math.inf
    """How long this process has known of the owed answer; infinite: it has not taken the time."""
    over_seconds: float = math.inf
    """How long this process has known of the stage: while no operator worked, nothing was tried."""
    deleted_seconds: float = math.inf
    """How long this process has known that the object is deleted; infinite: it has not taken the time."""
    looked_seconds: float = 0.0
    """How long this process has known of the last look at late results; for a clock that was put back."""
    accepts_missing: bool = False
    """A person has said that results of this batch which can't be read are given up."""
    resubmit: str | None = None
    """Value of the resubmit annotation."""
    acknowledged: bool = True
    """The stored status tells of this generation of the spec."""
    unrecorded: bool = False
    """What was just found out moves the job on, and is not stored yet."""
    trouble: Problem | None = None
    """What keeps the next step from being taken, as found while observing."""
    costly: bool = False
    """The trouble came from a transfer Job: looking again starts another pod."""
    transferring: Problem | None = None
    """A transfer Job is at work; its reason and message say how far it is."""
    file_state: FileState = FileState.USABLE
    file_details: str = ""
    batch_errors: str = ""
    """Why the provider refused the batch, in its own words."""
    batch_short_of: Reason | None = None
    """What it refused the batch for, if that passes."""
    lists_batches: bool = True
    may_list: bool = False
    """The gateway lists batches and may be asked now; between two polls it is left in peace."""
    slot_free: bool = True
    queued: Queued | None = None
    """The batch waits for tokens of the gateway's quota."""
    poll_in: float = 0.0
    """Seconds until the batch may be polled again."""
    discarding: Discarding = field(default_factory=Discarding)
    """While the object is deleted, and only if its results are to go with it and are in a volume."""

    @property
    def stage(self) -> Stage:
        """What the job owes next."""
        return stage_of(self.status)

    @property
    def batch(self) -> Batch:
        """The job's batch, empty before there is one."""
        return self.status.batches[0] if self.status.batches else Batch()

    def older_than(self, moment: datetime, seconds: float) -> bool:
        """Tell whether a moment is more than so many seconds ago."""
        return self.now - moment > timedelta(seconds=seconds)


@dataclass(frozen=True)
class Observation(Reading):
    """A BatchJob and all that concerns it at one moment: what was read, and what follows from it."""

    @property
    def memory(self) -> str:
        """The name by which this process remembers what it knows of the batch."""
        return memory_of(self.uid, self.batch)

    @property
    def status_uid(self) -> str:
        """The uid of the object that the status tells of."""
        return self.status.uid or self.uid

    @property
    def restored(self) -> bool:
        """Tell whether this is a copy of another object, whose batch and files are not ours to touch."""
        return self.status_uid != self.uid

    @property
    def owed_for(self) -> float:
        """Seconds for which the answer to a create call has been owed, by what this process has seen with its own eyes.

        Two API servers may be minutes apart, and restored objects come from anywhere: by the time of the intent, a settle
        period could be over at once, or never.
        """
        if self.owed_seconds != math.inf:
            return self.owed_seconds
        submission = self.batch.submission
        return max(0.0, (self.now - submission.intent_time).total_seconds()) if submission is not None else 0.0

    @property
    def next_attempt(self) -> int:
        """Number of the next create call."""
        return (self.batch.create_calls or 0) + 1

    @property
    def next_call(self) -> str:
        """Name of the next create call, for the resubmit annotation: its number, after the batch's among those of its job."""
        return f"{self.batch.label}-{self.next_attempt}" if self.batch.is_one_of_several else str(self.next_attempt)

    @property
    def file_overdue(self) -> bool:
        """Tell whether the file was uploaded so long ago that the provider should know it."""
        moment = self.batch.uploaded_time or self.status.start_time
        return moment is not None and self.older_than(moment, FILE_SETTLES * self.limits.settle_seconds)

    @property
    def searches(self) -> bool:
        """Tell whether other batches of this job are to be looked for some time while its batch runs."""
        batch = self.batch
        return not self.restored and (batch.duplicates_checked_time is None or (batch.create_calls or 0) > 1)

    @property
    def unchecked(self) -> bool:
        """Tell whether other batches of this job are to be looked for, though there may be some and a list of them."""
        if self.restored or not self.may_list or self.batch.id is None:
            return False
        checked = self.batch.duplicates_checked_time
        return checked is None or ((self.batch.create_calls or 0) > 1 and self._may_have_come_since(checked))

    def _may_have_come_since(self, checked: datetime) -> bool:
        """Tell whether a look is worth it again: an attempt was given up, and the process that made its call may stand still.

        While the batch runs at growing distances, and once more at the end.
        """
        if self.deleted_at is not None:
            return checked <= self.deleted_at
        if self.status.output is not None:
            return checked <= self.status.output.stored_time
        if self.stage is not Stage.BATCH:
            return False
        began = self.batch.submission_time or checked
        apart = max(AGAIN_SETTLES * self.limits.settle_seconds, (checked - began).total_seconds())
        return self.older_than(checked, apart)

    @property
    def settled(self) -> bool:
        """Tell whether the batch was made so long ago that no call of its submission can be under way any more."""
        # By the condition, whose moment is of our clock; the provider's may be off.
        submitted = self.status.condition("Submitted")
        known = submitted is not None and submitted.status == "True"
        moment = submitted.last_transition_time if known and submitted is not None else self.batch.submission_time
        settle = self.limits.settle_seconds
        return moment is not None and self.older_than(moment, settle) and self.over_seconds > settle

    @property
    def cleanup_overdue(self) -> bool:
        """Tell whether the results have been stored, or the batch has been over without any, for cleanup_seconds.

        By this process' own time as well: one that comes back after an hour tries for as long as any other.
        """
        stored = self.status.output
        moment = stored.stored_time if stored is not None else self.batch.completed_at
        # A moment that has not come yet is of the provider's clock, or of none.
        overdue = moment is not None and (self.older_than(moment, self.cleanup_seconds) or moment > self.now)
        return overdue and self.over_seconds > self.cleanup_seconds

    @property
    def file_ids(self) -> tuple[str, ...]:
        """Remote files that are known, input first."""
        named = (
            file_id
            for batch in self.status.batches
            for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id)
        )
        return tuple(dict.fromkeys(file_id for file_id in named if file_id))

    @property
    def own_file_ids(self) -> tuple[str, ...]:
        """Remote files that may be deleted: those of a copy belong to the original."""
        return () if self.restored else self.file_ids

    @property
    def cleanup_seconds(self) -> float:
        """Longest time that deletion, or the end of the job, waits for remote files, remote batch and volume."""
        return self.spec.deletion_policy.cleanup_timeout_seconds or self.limits.cleanup_seconds

    @property
    def seconds_left(self) -> float:
        """Time that is left for cleaning up after a deleted object, and a little more."""
        return self.cleanup_seconds - self._deleted_for + 0.1

    @property
    def out_of_time(self) -> bool:
        """Tell whether the object is deleted and has been held as long as it may be."""
        return self.deleted_at is not None and self._deleted_for > self.cleanup_seconds

    @property
    def _deleted_for(self) -> float:
        """Seconds since the object was deleted; no more than this process has known it, whatever the API server's clock says."""
        if self.deleted_at is None:
            return 0.0
        return min(self.deleted_seconds, max(0.0, (self.now - self.deleted_at).total_seconds()))

    @property
    def orphans(self) -> bool:
        """Tell whether deletion leaves what is at the provider: its results are not stored here.

        A part that came to nothing has none.
        """
        asked = self.spec.deletion_policy.remote_batch == "Orphan" and self.batch.refusal is None
        return asked and self.stage in (Stage.ANSWER, Stage.BATCH, Stage.RESULTS)

    @property
    def discards_files(self) -> bool:
        """Tell whether deletion takes stored results out of a volume, which only we can do."""
        volume = self.spec.output.persistent_volume_claim
        return self.spec.deletion_policy.output == "Delete" and volume is not None and self.status.output is not None
