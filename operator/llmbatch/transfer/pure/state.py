"""How far a transfer Job is, read from the Job, its pod and the pod's events; in their own words.

A pod may have more containers than ours: what a mesh, an agent or a person with kubectl debug put beside it. Ours is
known by its name, and what it says is all that counts; the others are told of only when they keep it from starting.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure import naming, suspension
from llmbatch.transfer.pure.containers import (
    CRASHED,
    ended_by,
    ended_for_good,
    endings,
    failed_beside,
    is_ours,
    others,
    outlived,
    report_of,
    unreported,
)
from llmbatch.transfer.pure.report import (
    Problem,
    Report,
)

Json = dict[str, Any]
RUNNING = {
    "upload": Problem(reason=Reason.UPLOADING, message="The transfer Job is checking and uploading the input."),
    "collect": Problem(reason=Reason.COLLECTING, message="The transfer Job is downloading and writing the results."),
    "merge": Problem(
        reason=Reason.COLLECTING, message="The transfer Job is putting the results of all parts together."
    ),
    "discard": Problem(reason=Reason.DELETING, message="The transfer Job is deleting the results."),
}

LOST = timedelta(seconds=60)
"""A pod that should have ended so long ago is on a node that is gone: nobody can say any more what it does."""


@dataclass(frozen=True)
class Working:
    """The pod is at work, or about to be."""

    told: Problem
    running: bool = field(default=False, compare=False)
    """Our container has started: the Job is left alone, whatever has changed since it was made."""
    young: bool = field(default=False, compare=False)
    """It was made a moment ago, and nothing is known of its pod yet."""


@dataclass(frozen=True)
class Blocked:
    """The pod can't start until something is mended; the Job stays and goes on by itself."""

    problem: Problem


@dataclass(frozen=True)
class Ended:
    """Our container has ended: with its report, or with the problem of having left none."""

    report: Report | None
    problem: Problem | None = None
    lingers: bool = field(default=False, compare=False)
    """Another container keeps the pod alive: the Job will not end by itself."""


TransferState = Working | Blocked | Ended

IMAGE = Reason.TRANSFER_IMAGE_PULL_FAILED
WAITING = {
    "ErrImagePull": IMAGE,
    "ImagePullBackOff": IMAGE,
    "ErrImageNeverPull": IMAGE,
    "InvalidImageName": IMAGE,
    "ImageInspectError": IMAGE,
    "RegistryUnavailable": IMAGE,
    "SignatureValidationFailed": IMAGE,
    "CreateContainerConfigError": Reason.CREDENTIALS_NOT_FOUND,
    "CreateContainerError": Reason.TRANSFER_REFUSED,
    "RunContainerError": Reason.TRANSFER_REFUSED,
}
"""Why a container that waits will not start by itself soon."""


def read(job: Json, pods: list[Json], events: list[Json], now: datetime) -> TransferState:
    """Read the state of a transfer Job.

    Args:
        job: The Job.
        pods: Its pods.
        events: Events about the Job or its pod, for what no status tells (mounts, quota).
        now: The moment by the API server's clock.
    """
    kind = naming.kind_of(job["metadata"]["name"])
    held = suspension.problem(job)
    suspended = None if held is None else Blocked(held)
    pod = max(pods, key=lambda item: str(item["metadata"].get("creationTimestamp", "")), default=None)
    if pod is None:
        return suspended or _without_pod(job, events)
    status = pod.get("status") or {}
    ours: Json = next((item for item in status.get("containerStatuses") or [] if is_ours(item)), {})
    over = status.get("phase") in ("Failed", "Succeeded")
    lingers = not over and outlived(status)
    if (report := report_of(kind, ours)) is not None:
        return Ended(report, lingers=lingers)
    if suspended is not None:
        # Its pods are being ended, which is no failure of theirs: they are made anew when the Job goes on.
        return suspended
    if (terminated := ended_for_good(ours)) is not None:
        return Ended(None, unreported(terminated, pod), lingers=lingers)
    if over:
        why = ended_by(status) or failed_beside(status) or status.get("reason") or "no reason given"
        return Ended(None, Problem(reason=Reason.TRANSFER_FAILED, message=f"The transfer pod was ended: {why}"[:1000]))
    if (lost := _lost(pod, now)) is not None:
        return Ended(None, lost)
    state = ours.get("state") or {}
    if "running" in state:
        return Working(RUNNING[kind], running=True)
    return _held(state) or _held_beside(status) or _starting(pod, events)


def _held(state: Json) -> Blocked | None:
    """Say why our container does not start."""
    waiting = state.get("waiting") or {}
    reason = WAITING.get(waiting.get("reason", ""))
    if reason is None:
        return None
    told = waiting.get("message") or waiting["reason"]
    if reason is Reason.CREDENTIALS_NOT_FOUND and "runAsNonRoot" in told:
        # The kubelet has one word for all that is wrong with a container's configuration.
        reason = Reason.TRANSFER_REFUSED
    return Blocked(Problem(reason=reason, message=f"The transfer pod can't start: {told}"[:1000]))


def _held_beside(status: Json) -> Blocked | None:
    """Say which other container keeps ours from starting: those before it have to end, or to be ready."""
    for container in others(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        why = waiting.get("reason", "")
        if why not in WAITING and why != CRASHED:
            continue
        told = waiting.get("message") or why
        for terminated in endings(container) if why == CRASHED else ():
            told += f" (last exit code {terminated.get('exitCode')}: {terminated.get('message') or terminated.get('reason')})"
        reason = IMAGE if WAITING.get(why) is IMAGE else Reason.TRANSFER_PENDING
        name = container.get("name")
        message = f"The transfer pod can't start: its container {name}, which is not llmbatch's, does not: {told}"
        return Blocked(Problem(reason=reason, message=message[:1000]))
    return None


def _lost(pod: Json, now: datetime) -> Problem | None:
    """Tell of a pod that was to be gone long ago: Kubernetes deletes the pods of a node that does not answer for minutes."""
    due = pod["metadata"].get("deletionTimestamp")
    if due is None or now - datetime.fromisoformat(due) < LOST:
        return None
    node = pod.get("spec", {}).get("nodeName", "unknown")
    message = (
        f"The transfer pod was to end at {due} and its node {node} does not say that it has; another pod is started."
    )
    return Problem(reason=Reason.TRANSFER_FAILED, message=message)


def _conditions(found: Json) -> list[Json]:
    conditions: list[Json] = (found.get("status") or {}).get("conditions") or []
    return conditions


def _starting(pod: Json, events: list[Json]) -> TransferState:
    for condition in _conditions(pod):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            told = condition.get("message") or "no node takes it"
            if condition.get("reason") == "SchedulingGated":
                return Blocked(
                    Problem(
                        reason=Reason.TRANSFER_SUSPENDED, message=f"The transfer pod is held back by a gate: {told}"
                    )
                )
            unbound = "PersistentVolumeClaim" in told or "persistentvolumeclaim" in told
            reason = Reason.VOLUME_CLAIM_UNBOUND if unbound else Reason.TRANSFER_UNSCHEDULABLE
            return Blocked(Problem(reason=reason, message=f"The transfer pod can't be scheduled: {told}"))
    if (told := _latest_warning(events)) is not None:
        return Blocked(Problem(reason=Reason.TRANSFER_PENDING, message=f"The transfer pod is not starting: {told}"))
    return Working(Problem(reason=Reason.TRANSFER_PENDING, message="The transfer pod is starting."))


def _without_pod(job: Json, events: list[Json]) -> TransferState:
    for condition in _conditions(job):
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            told = condition.get("message") or condition.get("reason")
            return Ended(None, Problem(reason=Reason.TRANSFER_FAILED, message=f"The transfer Job failed: {told}"))
    if (told := _latest_warning(events)) is not None:
        return Blocked(Problem(reason=Reason.TRANSFER_REFUSED, message=f"The transfer pod can't be made: {told}"))
    return Working(Problem(reason=Reason.TRANSFER_PENDING, message="The transfer pod is being made."))


def _latest_warning(events: list[Json]) -> str | None:
    """Give the last warning, unless something that went well came after it."""
    told = [event for event in events if event.get("message")]
    latest = max(told, key=lambda event: (_moment(event), event.get("type") == "Warning"), default=None)
    return str(latest["message"]) if latest is not None and latest.get("type") == "Warning" else None


def _moment(event: Json) -> str:
    series = event.get("series") or {}
    found = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or ""
    # Some have microseconds and some have not; a second is as far as they can be compared.
    return str(found)[:19]
