"""How far a transfer Job is, read from the Job, its pod and the pod's events; in their own words.

A pod may have more containers than ours: what a mesh, an agent or a person with kubectl debug put beside it. Ours is
known by its name, and what it says is all that counts; the others are told of only when they keep it from starting.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure import naming, suspension
from llmbatch.transfer.pure.report import (
    CollectReport,
    DiscardReport,
    MergeReport,
    Problem,
    Report,
    UploadReport,
    believable,
    decoded,
)

Json = dict[str, Any]
REPORTS: dict[str, type[Report]] = {
    "upload": UploadReport,
    "collect": CollectReport,
    "merge": MergeReport,
    "discard": DiscardReport,
}
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


CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
UNCUT = 3
"""Of so many containers each has its whole message; of more, each its part of the same 12 KiB."""
_LOG = "; the pod's log tells more"

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
CRASHED = "CrashLoopBackOff"


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
    ours: Json = next((item for item in status.get("containerStatuses") or [] if _is_ours(item)), {})
    over = status.get("phase") in ("Failed", "Succeeded")
    lingers = not over and _outlived(status)
    if (report := _report(kind, ours)) is not None:
        return Ended(report, lingers=lingers)
    if suspended is not None:
        # Its pods are being ended, which is no failure of theirs: they are made anew when the Job goes on.
        return suspended
    if (terminated := _terminated(ours)) is not None:
        return Ended(None, _unreported(terminated, pod), lingers=lingers)
    if over:
        why = status.get("message") or _failed_beside(status) or status.get("reason") or "no reason given"
        return Ended(None, Problem(reason=Reason.TRANSFER_FAILED, message=f"The transfer pod was ended: {why}"[:1000]))
    if (lost := _lost(pod, now)) is not None:
        return Ended(None, lost)
    state = ours.get("state") or {}
    if "running" in state:
        return Working(RUNNING[kind], running=True)
    return _held(state) or _held_beside(status) or _starting(pod, events)


def _is_ours(container: Json) -> bool:
    return bool(container.get("name", naming.CONTAINER) == naming.CONTAINER)


def _states(container: Json) -> Iterator[Json]:
    """Give how our container ended, and how it ended before it was started anew (by a policy that somebody put in)."""
    for name in ("state", "lastState"):
        terminated = (container.get(name) or {}).get("terminated")
        if terminated is not None:
            yield terminated


def _outlived(status: Json) -> bool:
    """Tell whether another container has not ended; a native sidecar, which is an init container, ends with ours.

    Not by the pod's phase, which comes to its end a moment later than its containers do.
    """
    beside = (item for item in status.get("containerStatuses") or [] if not _is_ours(item))
    return any("terminated" not in (item.get("state") or {}) for item in beside)


def _report(kind: str, container: Json) -> Report | None:
    for terminated in _states(container):
        try:
            return believable(REPORTS[kind].parse(decoded(terminated.get("message", ""))))
        except (ValueError, TypeError, AttributeError, ValidationError, RecursionError):
            continue
    return None


def _terminated(container: Json) -> Json | None:
    """Say how our container ended for good, or ends again and again."""
    state = container.get("state") or {}
    if (state.get("waiting") or {}).get("reason") == CRASHED:
        return next(_states(container), {})
    found: Json | None = state.get("terminated")
    return found


def _unreported(terminated: Json, pod: Json) -> Problem:
    containers = sum(len(pod.get("spec", {}).get(name) or []) for name in CONTAINERS)
    if terminated.get("reason") == "OOMKilled":
        message = "The transfer pod ran out of memory; raise spec.transfer.resources.limits.memory."
    elif terminated.get("exitCode") == 0 and containers > UNCUT and (terminated.get("message") or "").startswith("{"):
        message = (
            f"The report of the transfer pod was cut off by Kubernetes, since the pod has {containers} containers; keep others"
            " from being put into it (by an annotation or a label in spec.transfer, as whoever puts them in asks for)."
        )
    else:
        why = _why(terminated)
        message = f"The transfer pod ended with exit code {terminated.get('exitCode')} and no report: {why}"
    return Problem(reason=Reason.TRANSFER_FAILED, message=message[:1000])


def _why(terminated: Json) -> str:
    """Say why a container ended. With the reasons left out here the message is its own, and may hold anything."""
    left, reason = terminated.get("message") or "", terminated.get("reason") or "no reason given"
    if not left or terminated.get("reason") not in (None, "", "Error", "Completed"):
        return left or reason
    return f"{'Traceback' if 'Traceback' in left else reason}{_LOG}"


def _beside(status: Json) -> Iterator[Json]:
    """Give the containers that are not ours and could keep it from starting; those of kubectl debug can not."""
    yield from status.get("initContainerStatuses") or []
    yield from (item for item in status.get("containerStatuses") or [] if not _is_ours(item))


def _failed_beside(status: Json) -> str:
    """Name the container for which a pod was ended before ours could begin."""
    for container in _beside(status):
        for terminated in _states(container):
            if terminated.get("exitCode"):
                why = _why(terminated)
                return f"its container {container.get('name')} ended with exit code {terminated['exitCode']}: {why}"
    return ""


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
    for container in _beside(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        why = waiting.get("reason", "")
        if why not in WAITING and why != CRASHED:
            continue
        told = waiting.get("message") or why
        for terminated in _states(container) if why == CRASHED else ():
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
