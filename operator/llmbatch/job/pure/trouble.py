"""How a job ends a pass when something is in its way: by itself, or only with a person's help."""

import math
from dataclasses import replace

from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.decision import Stalled, Wait
from llmbatch.batch.pure.observation import Limits, Observation
from llmbatch.batch.pure.stage import Stage
from llmbatch.transfer.pure.report import Problem

# Goes away by itself, however long it takes; looked at again every recheck_seconds.
PASSING = frozenset({
    Reason.ACCEPTED,
    Reason.TRANSFER_SUSPENDED,
    Reason.WAITING_FOR_SLOT,
})  # fmt: skip
# Often goes away by itself, or with what is applied next (another controller brings the Secret, an autoscaler the node):
# under way for stall_after_seconds, and then a person's.
MAY_PASS = frozenset({
    Reason.INPUT_NOT_FOUND,
    Reason.GATEWAY_NOT_FOUND,
    Reason.CREDENTIALS_NOT_FOUND,
    Reason.VOLUME_CLAIM_NOT_FOUND,
    Reason.VOLUME_CLAIM_UNBOUND,
    Reason.TRANSFER_PENDING,
    Reason.TRANSFER_UNSCHEDULABLE,
    Reason.TRANSFER_IMAGE_PULL_FAILED,
})  # fmt: skip
# Goes away by itself, if the far end is left in peace: looked at again with growing delays.
FAR_END = frozenset({
    Reason.FILE_PENDING,
    Reason.GATEWAY_UNREACHABLE,
    Reason.RATE_LIMITED,
    Reason.QUOTA_EXCEEDED,
    Reason.INPUT_CHANGED,
    Reason.RESULTS_PENDING,
    Reason.RESULTS_UNREADABLE,
    Reason.TRANSFER_FAILED,
    Reason.TRANSFER_REFUSED,
    Reason.SUBMISSION_PENDING,
    Reason.CLEANING_UP,
    Reason.INTERNAL_ERROR,
})  # fmt: skip

# Needs a person, and each look costs calls: growing delays too.
LASTING = frozenset({Reason.SUBMISSION_UNKNOWN, Reason.UNUSABLE_ID})

# The transfer pod may start any moment: a look costs two reads.
POD = frozenset({
    Reason.TRANSFER_PENDING,
    Reason.TRANSFER_UNSCHEDULABLE,
    Reason.TRANSFER_IMAGE_PULL_FAILED,
    Reason.VOLUME_CLAIM_UNBOUND,
})  # fmt: skip
POD_SECONDS = 3.0

ASPECTS = {
    Stage.INPUT: "InputReady",
    Stage.FILE: "Submitted",
    Stage.ANSWER: "Submitted",
    Stage.RESULTS: "ResultsStored",
}


def passes(reason: Reason) -> bool:
    """Tell whether what is in the way goes away by itself, or with what is applied next, without a person."""
    return reason in FAR_END | PASSING


def ending_of(problem: Problem, seen: Observation, *, costly: bool = False) -> Wait | Stalled:
    """Say how a pass ends that met a problem, by how long that has been in the way."""
    if problem.reason not in MAY_PASS:
        ending = ending_for(problem, seen.stage, seen.limits, costly=costly)
        if problem.reason is Reason.INPUT_CHANGED and seen.batch.source is not None:
            # What was cut is not cut anew: it doesn't pass until a person puts the input back.
            return Stalled(ending.reason, ending.message, after=ending.after, aspect=ending.aspect)
        return ending
    known = seen.status.trouble
    since = known.since_time if known is not None and known.reason == problem.reason else seen.now
    lasted = max(0.0, (seen.now - since).total_seconds())
    return replace(ending_for(problem, seen.stage, seen.limits, costly=costly, lasted=lasted), since=since)


def ending_for(
    problem: Problem, stage: Stage, limits: Limits, *, costly: bool = False, lasted: float = math.inf
) -> Wait | Stalled:
    """Say how a pass ends that met a problem.

    Args:
        problem: What is in the way.
        stage: Where the job is; decides which condition tells of it.
        limits: The operator's settings.
        costly: Looking again starts a pod: the delays grow in place of a steady recheck.
        lasted: For how many seconds it has been in the way.
    """
    aspect = ASPECTS.get(stage, "")
    after = None if costly or problem.reason in FAR_END | LASTING else limits.recheck_seconds
    if problem.reason in POD:
        after = min(POD_SECONDS, limits.recheck_seconds)
    if problem.retry_after_seconds is not None:
        # "Retry-After: 0" is no leave to ask twenty times a second.
        after = max(1.0, problem.retry_after_seconds)
    left = limits.stall_after_seconds - lasted if problem.reason in MAY_PASS else 0.0
    if left > 0 and after is not None:
        # Times in status are whole seconds.
        after = min(after, left + 1.0)
    if passes(problem.reason) or left > 0:
        return Wait(problem.reason, problem.message, after=after, aspect=aspect)
    return Stalled(problem.reason, problem.message, after=after, aspect=aspect)


# About a file in a volume, of which the transfer knows only where it is mounted.
PLACES = frozenset({
    Reason.INPUT_NOT_FOUND,
    Reason.INPUT_CHANGED,
    Reason.PERMISSION_DENIED,
    Reason.VOLUME_FULL,
    Reason.OUTPUT_EXISTS,
    Reason.OUTPUT_INVALID,
    Reason.OUTPUT_UNSUPPORTED,
})  # fmt: skip


def placed(problem: Problem, spec: BatchJobSpec, *, uploads: bool) -> Problem:
    """Name the claim and the path as the user wrote them, in a problem that a transfer reports."""
    uploads = problem.side == "input" if problem.side is not None else uploads
    volume = spec.input.persistent_volume_claim if uploads else spec.output.persistent_volume_claim
    if volume is None or problem.reason not in PLACES:
        return problem
    where = f"{'spec.input' if uploads else 'spec.output'} (claim {volume.claim_name}, path {volume.path})"
    return problem.model_copy(update={"message": f"{where}: {problem.message}"})
