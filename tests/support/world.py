"""A BatchJob's life without a cluster, by `decide` and `next_status.close`; its provider is a few dictionaries."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from llmbatch.api.batchjob_status import BatchJobStatus, Phase
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import facts, lifecycle
from llmbatch.batch.pure.decision import (
    AddFinalizer,
    BeginAnew,
    Cancel,
    Collect,
    Decision,
    DeleteFiles,
    Discard,
    Done,
    Effect,
    Ending,
    FindDuplicates,
    Finish,
    GiveUpAttempt,
    LookUp,
    RemoveFinalizer,
    Submit,
    SubmitAgain,
    Upload,
    Wait,
)
from llmbatch.batch.pure.observation import FileState, Observation
from llmbatch.batch.pure.stage import Stage, stage_of
from llmbatch.job.pure import next_status
from llmbatch.job.pure.decide import decide
from llmbatch.job.pure.trouble import ending_for
from llmbatch.transfer.pure.destination import Destination
from llmbatch.transfer.pure.report import Problem
from tests.support import build
from tests.support.answers import QUIET, Answers, CrashError, remote_batch
from tests.support.duplicates import find_duplicates
from tests.support.kstatus import check_status


@dataclass
class World:
    """One BatchJob, its provider and its operator."""

    lists_batches: bool = True
    remote_files: str = "Delete"
    now: datetime = build.NOW
    status: BatchJobStatus = field(default_factory=BatchJobStatus)
    generation: int = 1
    finalizer: bool = False
    deleted_at: datetime | None = None
    gone: bool = False
    resubmit: str | None = None
    transferring: Problem | None = None
    file_state: FileState = FileState.USABLE
    slot_free: bool = True
    remote: dict[str, str] = field(default_factory=dict)
    """Status of each batch at the provider, by id."""
    files: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    """What was done, one word each."""
    phases: list[Phase] = field(default_factory=list)
    creates: int = 0
    destination: int | None = None
    """Results in the destination."""

    # --- what others do ----------------------------------------------------------------------------------------------

    def passes(self, seconds: float) -> None:
        """Let time go by."""
        self.now += timedelta(seconds=seconds)

    def provider_says(self, status: str) -> None:
        """Move all batches that have not ended to a status."""
        self.remote |= dict.fromkeys(self.alive, status)

    def delete(self) -> None:
        """Delete the object, as a user does."""
        self.deleted_at = self.deleted_at or self.now
        self.gone = self.gone or not self.finalizer

    def edit(self) -> None:
        """Change something in the spec."""
        self.generation += 1

    @property
    def alive(self) -> list[str]:
        """Batches that cost money now."""
        return [name for name, status in self.remote.items() if status not in lifecycle.ENDED]

    def object(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": "job", "namespace": "team-a", "generation": self.generation}
        if self.deleted_at is not None:
            metadata["deletionTimestamp"] = self.deleted_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"metadata": metadata, "status": self.status.dump()}

    # --- a pass ------------------------------------------------------------------------------------------------------

    def look(self, answers: Answers = QUIET) -> Ending | None:
        """Make one pass; None when the operator died in it or there is nothing to look at."""
        if self.gone:
            return None
        try:
            return self._pass(answers)
        except CrashError:
            return None

    def until(self, done: Callable[["World"], bool], answers: Answers = QUIET, *, most: int = 30) -> None:
        """Make passes until something holds, letting as much time go by as each asks for."""
        for _ in range(most):
            if done(self):
                return
            ending = self.look(answers)
            self.passes(getattr(ending, "after", None) or 1.0)
        raise AssertionError(f"that never came: {self.told} {self.status.dump()}")

    def _pass(self, answers: Answers) -> Ending:
        seen = self._observe(answers)
        decision, status, problem, finish = decide(seen), seen.status, None, None
        if decision.effect is not None:
            status, problem, finish = self._act(seen, decision.effect, answers)
        if problem is not None and problem.final and self.deleted_at is None:
            seen = replace(seen, status=status, trouble=problem)
            decision = decide(seen)
            assert isinstance(decision.effect, Finish)
            status, problem, finish = self._act(seen, decision.effect, answers)
        if self.gone:
            return Done()
        if isinstance(decision.effect, FindDuplicates) and status.batches[0].id != seen.batch.id:
            decision = decide(replace(seen, status=status, unrecorded=False))
        ending = self._ending(seen, decision, problem, finish)
        if answers.crash == "before the status":
            raise CrashError
        self._store(status, ending, finish)
        return ending

    def _observe(self, answers: Answers) -> Observation:
        stored = status = self.status
        trouble, errors = answers.trouble, ""
        stage = stage_of(stored)
        batch = stored.batches[0] if stored.batches else None
        if stage is Stage.ENDED or stored.observed_generation != self.generation:
            trouble = None
        elif trouble is None and stage is Stage.BATCH and batch is not None and batch.id is not None:
            remote = remote_batch(batch.id, self.remote[batch.id], self.now)
            status = facts.with_remote(stored, remote, self.now)
            errors = facts.told_errors(remote)
        return build.observation(
            status,
            generation=self.generation,
            spec=build.spec(remoteFiles=self.remote_files),
            now=self.now,
            finalizer=self.finalizer,
            deleted_at=self.deleted_at,
            resubmit=self.resubmit,
            acknowledged=stored.observed_generation == self.generation,
            unrecorded=stage_of(status) is not stage,
            trouble=trouble,
            transferring=self.transferring,
            file_state=self.file_state,
            batch_errors=errors,
            lists_batches=self.lists_batches,
            may_list=self.lists_batches,
            slot_free=self.slot_free,
            poll_in=60.0,
        )

    def _ending(self, seen: Observation, decision: Decision, problem: Problem | None, finish: Finish | None) -> Ending:
        if finish is not None:
            return Done()
        if problem is None:
            return decision.ending
        if seen.deleted_at is not None:
            return Wait(Reason.DELETING, f"Can't clean up yet: {problem.message}", after=5.0)
        return ending_for(problem, seen.stage, seen.limits)

    def _store(self, status: BatchJobStatus, ending: Ending, finish: Finish | None) -> None:
        self.status = next_status.close(
            self.status,
            status,
            uid=build.UID,
            ending=ending,
            finish=finish,
            generation=self.generation,
            deleting=self.deleted_at is not None,
            now=self.now,
        )
        if self.status.phase is not None and (not self.phases or self.phases[-1] != self.status.phase):
            self.phases.append(self.status.phase)
        check_status(self.object())

    # --- effects -----------------------------------------------------------------------------------------------------

    def _act(  # noqa: PLR0912 - one case for each effect
        self, seen: Observation, effect: Effect, answers: Answers
    ) -> tuple[BatchJobStatus, Problem | None, Finish | None]:
        self.told.append(type(effect).__name__)
        status = seen.status
        match effect:
            case AddFinalizer():
                self.finalizer = True
            case RemoveFinalizer():
                self.finalizer, self.gone = False, self.deleted_at is not None
            case Upload():
                if answers.upload is not None:
                    return status, answers.upload, None
                assert self.finalizer, "nothing is made at the provider without the finalizer"
                self.files.add("file-in")
                return facts.with_upload(status, build.upload_report()), None, None
            case Submit(attempt):
                return *self._submit(status, attempt, answers), None
            case LookUp():
                return *self._look_up(status, answers), None
            case FindDuplicates():
                return *find_duplicates(self, seen, answers), None
            case GiveUpAttempt():
                return facts.without_intent(status, made_none=False), None, None
            case SubmitAgain():
                return facts.without_refused_batch(status), None, None
            case BeginAnew():
                return BatchJobStatus(), None, None
            case Collect():
                return *self._collect(status, answers), None
            case Discard():
                raise AssertionError("these results are in a Secret")
            case Cancel(batch_id):
                if answers.cancel is not None:
                    return status, answers.cancel, None
                if self.remote[batch_id] not in lifecycle.ENDED:
                    self.remote[batch_id] = "cancelling"
                remote = remote_batch(batch_id, self.remote[batch_id], self.now)
                return facts.with_remote(status, remote, self.now), None, None
            case DeleteFiles(file_ids):
                if answers.delete_files is not None:
                    return status, answers.delete_files, None
                self.files -= set(file_ids)
                return facts.without_files(status, file_ids), None, None
            case Finish():
                return *self._finish(status, effect, answers), effect
            case _:
                assert_never(effect)
        return status, None, None

    def _finish(self, status: BatchJobStatus, finish: Finish, answers: Answers) -> tuple[BatchJobStatus, None]:
        if answers.delete_files is None:
            self.files -= set(finish.delete_file_ids)
        return status.model_copy(update={"completion_time": self.now}), None

    def _submit(self, status: BatchJobStatus, attempt: int, answers: Answers) -> tuple[BatchJobStatus, Problem | None]:
        if answers.crash == "before the intent":
            raise CrashError
        self.status = facts.with_intent(status, attempt, self.now)
        if answers.crash == "after the intent":
            raise CrashError
        self.creates += 1
        intent = self.status
        match answers.create:
            case "not made" | "refused":
                refused = answers.create == "refused"
                reason = Reason.REQUEST_REFUSED if refused else Reason.RATE_LIMITED
                self.status = facts.without_intent(intent, made_none=True)
                return self.status, Problem(reason=reason, message="Not made.", final=refused)
            case "lost before":
                return intent, None
        for _ in range(2 if answers.create == "made twice" else 1):
            batch_id = f"batch-{len(self.remote) + 1}"
            self.remote[batch_id] = "validating"
        self.files |= {"file-out"}
        if answers.crash == "after the call":
            raise CrashError
        if answers.create == "lost after":
            return intent, None
        return self._record(intent, batch_id), None

    def _record(self, intent: BatchJobStatus, batch_id: str) -> BatchJobStatus:
        self.status = facts.with_remote(intent, remote_batch(batch_id, self.remote[batch_id], self.now), self.now)
        check_status(self.object())
        return self.status

    def _look_up(self, status: BatchJobStatus, answers: Answers) -> tuple[BatchJobStatus, Problem | None]:
        if answers.listing is not None:
            return status, answers.listing
        assert status.summary.submission is not None
        if self.remote:
            return self._record(status, min(self.remote)), None
        if (self.now - status.summary.submission.intent_time).total_seconds() < build.LIMITS.settle_seconds:
            return status, None
        return facts.without_intent(status, made_none=False), None

    def _collect(self, status: BatchJobStatus, answers: Answers) -> tuple[BatchJobStatus, Problem | None]:
        if answers.collect is not None:
            return status, answers.collect
        assert "file-out" in self.files, "the results were deleted before they were stored"
        self.destination = answers.completed
        report = build.collect_report(5, answers.completed)
        return facts.with_results(status, report, Destination("secret/r", "secret/e", ""), now=self.now), None
