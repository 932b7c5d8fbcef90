"""Reads everything that concerns a BatchJob once, for `decide` to look at."""

import random
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from llmbatch.api import FINALIZER, RESUBMIT_ANNOTATION
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import Batch, BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.controller import owed
from llmbatch.controller.cache import BATCHGATEWAY, Cache
from llmbatch.controller.discards import Discards
from llmbatch.controller.gateways import Client, Gateways
from llmbatch.controller.queue import Key
from llmbatch.controller.seen import Json, Seen
from llmbatch.controller.slots import Slots
from llmbatch.controller.transfers import Transfers, volume_destination
from llmbatch.controller.uploads import Uploads
from llmbatch.core import backoff, facts, quotes
from llmbatch.core.observation import FileState, Limits, Observation, Stage, stage_of
from llmbatch.core.plan import CollectReport, Problem, Report, UploadPlan, UploadReport
from llmbatch.core.transfer_state import Blocked, Ended, Working
from llmbatch.core.trouble import placed
from llmbatch.edges import transfer_job
from llmbatch.edges.outcome import Answered, Failure, NotFound
from llmbatch.edges.transfer_job import Owner


@dataclass
class Observer:
    """Observes BatchJobs."""

    cache: Cache
    gateways: Gateways
    transfers: Transfers
    discards: Discards
    slots: Slots
    uploads: Uploads
    limits: Limits
    _next_poll: dict[str, float] = field(default_factory=dict)
    """By uid: when the job may be polled again, by the monotonic clock."""
    _failed_polls: dict[str, Problem] = field(default_factory=dict)
    """By uid: what the last poll met, if it failed."""
    _owed: owed.FirstSeen = field(default_factory=owed.FirstSeen)  # intents whose answer is owed
    _over: owed.FirstSeen = field(default_factory=owed.FirstSeen)  # stages, once there is a batch

    async def observe(self, key: Key, raw: Json) -> Seen:
        """Observe a job.

        Raises:
            pydantic.ValidationError: Its spec or status can't be read.
        """
        metadata = raw["metadata"]
        spec, stored = BatchJobSpec.parse(raw["spec"]), BatchJobStatus.parse(raw.get("status") or {})
        deleted, now = metadata.get("deletionTimestamp"), self.gateways.cluster.now()
        finalizer = FINALIZER in (metadata.get("finalizers") or [])
        lost = owed.is_lost(stored, finalizer=finalizer)
        observation = Observation(
            uid=metadata["uid"],
            generation=metadata["generation"],
            spec=spec,
            status=owed.with_lost_answer(raw, stored, now) if lost else stored,
            now=now,
            limits=self.limits,
            finalizer=finalizer,
            deleted_at=datetime.fromisoformat(deleted) if deleted else None,
            resubmit=(metadata.get("annotations") or {}).get(RESUBMIT_ANNOTATION),
            acknowledged=stored.observed_generation == metadata["generation"] and not lost,
            unrecorded=lost,
            owed_seconds=self._owed.seconds(metadata["uid"], stored.submission),
            over_seconds=self._over.seconds(metadata["uid"], stage_of(stored) if stored.batches else None),
        )
        seen = Seen(key, Owner(key.namespace, key.name, metadata["uid"]), raw, stored, observation)
        stage = observation.stage
        if deleted and observation.finalizer:
            seen = await self.discards.look(seen)
            if observation.out_of_time or observation.orphans:
                # The gateway is not asked any more: it may not answer, and nothing would come of it.
                return seen
        if stage is Stage.ENDED or (deleted and not observation.finalizer) or not (deleted or observation.acknowledged):
            return seen
        if observation.restored and (deleted or stage in (Stage.INPUT, Stage.FILE)):
            # Nothing at the provider is this object's.
            return seen
        if stage is Stage.BATCH and not deleted and (wait := self.poll_in(metadata["uid"])) > 0:
            # Nothing is asked of the gateway between two polls, and what the last one met still holds.
            return self._between_polls(seen, wait)
        gateway = Key(BATCHGATEWAY, key.namespace, spec.gateway_ref.name)
        client = await self.gateways.use(gateway.namespace, gateway.name, last_known=deleted is not None)
        if isinstance(client, Problem):
            return _troubled(seen, client)
        seen = replace(seen, client=client)
        if stage in (Stage.INPUT, Stage.FILE) and not deleted and (problem := self.gateways.readiness(gateway)):
            return _troubled(seen, problem)
        return await self._stage(_with(seen, may_list=self.gateways.lists_batches(gateway)), stage, gateway)

    async def _stage(self, seen: Seen, stage: Stage, gateway: Key) -> Seen:
        match stage:
            case Stage.INPUT:
                return await self._input(seen)
            case Stage.FILE:
                return await self._file(seen, gateway)
            case Stage.ANSWER:
                return _with(seen, lists_batches=self.gateways.lists_batches(gateway))
            case Stage.BATCH if seen.observation.deleted_at is None or seen.observation.batch.status == "cancelling":
                return await self._batch(seen)
            case Stage.RESULTS if seen.observation.deleted_at is None:
                return await self._results(seen)
            case _:
                return seen

    # --- polls -------------------------------------------------------------------------------------------------------

    def poll_in(self, uid: str) -> float:
        """Give the seconds until a job may be polled again."""
        return max(0.0, self._next_poll.get(uid, 0.0) - time.monotonic())

    def polled(self, uid: str, interval_seconds: float) -> float:
        """Note a poll; answers the seconds until the next."""
        delay = backoff.poll_delay(interval_seconds, random.random())  # noqa: S311 - jitter, no secret
        self._next_poll[uid] = time.monotonic() + delay
        return delay

    def forget(self, key: Key, uid: str) -> None:
        """Forget a job that is gone or has ended."""
        self._next_poll.pop(uid, None)
        self._failed_polls.pop(uid, None)
        self.slots.release(key)
        self._owed.forget(uid)
        self._over.forget(uid)

    async def _batch(self, seen: Seen) -> Seen:
        wait = self.poll_in(seen.owner.uid)
        return self._between_polls(seen, wait) if wait > 0 else await self._poll(seen)

    def _between_polls(self, seen: Seen, wait: float) -> Seen:
        failed = self._failed_polls.get(seen.owner.uid)
        if failed is not None:
            return _troubled(seen, failed.model_copy(update={"retry_after_seconds": wait}))
        return _with(seen, poll_in=wait)

    async def _poll(self, seen: Seen) -> Seen:
        client, batch_id = seen.client, seen.observation.batch.id
        if client is None or batch_id is None:
            return seen
        uid, interval = seen.owner.uid, client.spec.poll_interval_seconds
        answer = await client.gateway.get_batch(batch_id)
        if not isinstance(answer, Answered):
            problem = await self.problem(client, answer)
            self._failed_polls[uid] = problem
            wait = self.polled(uid, problem.retry_after_seconds or min(interval, self.limits.recheck_seconds))
            return _troubled(seen, problem.model_copy(update={"retry_after_seconds": wait}))
        self._failed_polls.pop(uid, None)
        wait = self.polled(uid, interval)
        status = facts.with_remote(seen.stored, answer.value, seen.observation.now)
        return _with(seen, status=status, batch_errors=facts.told_errors(answer.value), poll_in=wait)

    async def problem(self, client: Client, answer: Failure) -> Problem:
        """Translate a failed call, and have the gateway asked anew."""
        if isinstance(answer, NotFound):
            message = f"{answer.message}. Was it deleted, or does the gateway now lead to another resource?"
            return Problem(reason=Reason.REMOTE_BATCH_NOT_FOUND, message=message)
        client.slow_down(answer.retry_after)
        await self.gateways.suspect(client.key)
        return Problem(reason=answer.reason, message=answer.message, retry_after_seconds=answer.retry_after)

    # --- the uploaded file -------------------------------------------------------------------------------------------

    async def _file(self, seen: Seen, gateway: Key) -> Seen:
        client, file_id = seen.client, seen.observation.batch.input_file_id
        if client is None or file_id is None:
            return seen
        wait = self.poll_in(seen.owner.uid)
        if wait > 0:
            return _with(seen, file_state=FileState.PENDING, poll_in=wait)
        answer = await client.gateway.get_file(file_id)
        state, details = FileState.USABLE, ""
        if isinstance(answer, Answered):
            said = quotes.without_passages(answer.value.status_details or "")
            details = said or f"its status is {answer.value.status}"
            if answer.value.status in ("pending", "running"):
                wait = self.polled(seen.owner.uid, client.spec.poll_interval_seconds)
                state = FileState.PENDING
            elif answer.value.status in ("error", "deleted"):
                state = FileState.FAILED
        elif not isinstance(answer, NotFound):
            return _troubled(seen, await self.problem(client, answer))
        # Some servers know nothing of a file's metadata; a batch made of it shows whether it is there.
        slot = state is not FileState.USABLE or self.slots.claim(
            seen.key, gateway, client.spec.limits.max_active_batches
        )
        return _with(seen, file_state=state, file_details=details, poll_in=wait, slot_free=slot)

    # --- data --------------------------------------------------------------------------------------------------------

    async def _input(self, seen: Seen) -> Seen:
        client, spec = seen.client, seen.observation.spec
        if client is None:
            return seen
        found = await self.transfers.read_input(seen.key.namespace, spec)
        if isinstance(found, Problem):
            return _troubled(seen, found)
        attempt = seen.observation.next_attempt
        if found is not None:
            plan = self.transfers.upload_plan(seen.owner, spec, client.spec, attempt, client.access.connection)
            return replace(seen, data=found, plan=plan)
        connection = transfer_job.pod_connection(client.spec)
        plan = self.transfers.upload_plan(seen.owner, spec, client.spec, attempt, connection)
        return await self._transfer(replace(seen, plan=plan))

    async def _results(self, seen: Seen) -> Seen:
        client, spec, batch = seen.client, seen.observation.spec, seen.observation.batch
        if client is None:
            return seen
        if batch.status == "failed" and not batch.output_file_id and not batch.error_file_id:
            # The reasons are not in our status; ask once more for the message.
            return await self._poll(seen)
        if batch.status == "completed" and batch.output_file_id is None and _answered(batch) > 0:
            return await self._late(seen)
        volume = spec.output.persistent_volume_claim
        if volume is None:
            return seen
        if (
            problem := await self.transfers.claim_problem(seen.key.namespace, volume.claim_name, "spec.output")
        ) is not None:
            return _troubled(seen, problem)
        plan = self.transfers.collect_plan(spec, seen.stored, transfer_job.pod_connection(client.spec))
        found = await self._transfer(replace(seen, plan=plan))
        if found.observation == seen.observation and (problem := self.gateways.readiness(client.key)) is not None:
            # No pod is started only to find what is known.
            return _troubled(seen, problem)
        return found

    async def _late(self, seen: Seen) -> Seen:
        """Wait for the results' file of a batch that is completed and names none yet."""
        wait = self.poll_in(seen.owner.uid)
        found = self._between_polls(seen, wait) if wait > 0 else await self._poll(seen)
        if found.observation.trouble is not None:
            return found
        if found.observation.batch.output_file_id is not None:
            return replace(found, observation=replace(found.observation, unrecorded=True))
        message = "The provider says that requests succeeded, but names no file with their results yet."
        seconds = self.poll_in(seen.owner.uid)
        return _troubled(found, Problem(reason=Reason.RESULTS_UNREADABLE, message=message, retry_after_seconds=seconds))

    async def _transfer(self, seen: Seen) -> Seen:
        """Look at the transfer Job, and take its report into the status."""
        plan = seen.plan
        if plan is None:
            return seen
        match await self.transfers.state(seen.owner, plan):
            case None:
                return seen
            case Working(told):
                return _with(seen, transferring=told)
            case Blocked(problem):
                return _troubled(seen, problem)
            case Ended(report, problem):
                return self.absorb(seen, report, problem)

    def absorb(self, seen: Seen, report: Report | None, problem: Problem | None = None) -> Seen:
        """Take a transfer's report into the status, or say why there is nothing to take."""
        now = seen.observation.now
        if isinstance(seen.plan, UploadPlan):
            problem = facts.upload_problem(report) if isinstance(report, UploadReport) else problem
            unknown = problem is not None and problem.reason in (Reason.GATEWAY_UNREACHABLE, Reason.TRANSFER_FAILED)
            self.uploads.ended(seen.owner.uid, known=not unknown)
        if isinstance(report, UploadReport):
            if problem is None:
                return _with(seen, status=facts.with_upload(seen.stored, report))
        elif isinstance(report, CollectReport):
            problem = report.problem
            volume = seen.observation.spec.output.persistent_volume_claim
            if problem is None and volume is not None:
                where = volume_destination(volume.claim_name, volume.path)
                status = facts.with_results(
                    seen.stored, report, location=where.location, errors_location=where.errors_location, now=now
                )
                return _with(seen, status=status)
        if problem is None:
            return seen
        told = placed(problem, seen.observation.spec, uploads=isinstance(seen.plan, UploadPlan))
        return replace(_with(seen, trouble=told, costly=True), spent=True)


def _answered(batch: Batch) -> int:
    return batch.request_counts.completed if batch.request_counts is not None else 0


def _with(seen: Seen, **found: Any) -> Seen:  # noqa: ANN401 - any field of an observation
    observation = replace(seen.observation, **found)
    unrecorded = observation.stage is not stage_of(seen.stored)
    return replace(seen, observation=replace(observation, unrecorded=unrecorded))


def _troubled(seen: Seen, problem: Problem) -> Seen:
    return _with(seen, trouble=problem)
