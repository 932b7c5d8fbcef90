"""What a job, or one of its batches, owes next: told from the facts in its status alone; and where it stands in line."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure import lifecycle


class Stage(StrEnum):
    """What a job owes next, from the facts in its status alone."""

    INPUT = "input"
    """The input is not uploaded yet."""
    FILE = "file"
    """The input is uploaded; no batch was asked for yet."""
    ANSWER = "answer"
    """A batch was asked for; the answer is owed."""
    BATCH = "batch"
    """The batch is under way."""
    RESULTS = "results"
    """The batch has ended; its results are not stored yet."""
    CLEANUP = "cleanup"
    """The results are stored; remote files may be left."""
    ENDED = "ended"
    """Complete or Failed."""


def stage_of(status: BatchJobStatus) -> Stage:
    """Tell what a job owes next."""
    if status.has_ended:
        return Stage.ENDED
    if status.output is not None:
        return Stage.CLEANUP
    if status.parts:
        return _of_parts(status)
    return stage_of_batch(status.batches[0] if status.batches else Batch())


AT_WORK = (Stage.FILE, Stage.ANSWER, Stage.BATCH)
"""Stages of a batch that counts for spec.parallelism."""


def stage_of_batch(batch: Batch) -> Stage:
    """Tell what is owed next for a batch, from its entry alone."""
    if batch.refusal is not None:
        return Stage.RESULTS
    if batch.id is not None:
        return Stage.RESULTS if batch.status in lifecycle.ENDED else Stage.BATCH
    if batch.submission is not None:
        return Stage.ANSWER
    return Stage.INPUT if batch.input_file_id is None else Stage.FILE


def is_full(status: BatchJobStatus, parallelism: int) -> bool:
    """Tell whether as many batches are stored to be at work as the job lets be (spec.parallelism; 0: any number)."""
    return 0 < parallelism <= sum(stage_of_batch(batch) in AT_WORK for batch in status.batches)


def _of_parts(status: BatchJobStatus) -> Stage:
    """Tell what a job with several batches owes next, as far as it matters for the job."""
    if any(batch.id is not None or batch.submission is not None for batch in status.batches):
        return Stage.BATCH
    return Stage.FILE if any(batch.input_file_id is not None for batch in status.batches) else Stage.INPUT


def memory_of(uid: str, batch: Batch) -> str:
    """Give the name by which a process remembers what it knows of one of a job's batches, and of no other."""
    return f"{uid}/{batch.label}" if batch.label != "0" else uid


@dataclass(frozen=True)
class Queued:
    """Where a batch stands among those that wait for tokens."""

    position: int
    """From 1."""
    ahead_tokens: int
    tokens: int
    """Its own, estimated."""
    gateway: str
    """Name of the BatchGateway, whose status tells what is reserved."""
    behind: bool = False
    """Another batch of the gateway, which the provider has refused, tries first."""
    after: float = math.inf
    """Seconds until it may be its turn by the passing of time alone."""

    @property
    def reason(self) -> Literal["EnqueuedTokensExceeded", "QuotaExceeded"]:
        """Why it waits, in one word."""
        return "QuotaExceeded" if self.behind else "EnqueuedTokensExceeded"

    @property
    def message(self) -> str:
        """Why it waits, for a person."""
        why = (
            "The provider has refused another batch of this gateway for want of quota, which tries again first."
            if self.behind
            else "The tokens of the quota are reserved."
        )
        return (
            f"{why} This batch, of about {self.tokens} tokens, is number {self.position} in line, with {self.ahead_tokens}"
            f" tokens ahead of it; the status of BatchGateway {self.gateway} tells what is reserved (enqueuedTokens)."
        )
