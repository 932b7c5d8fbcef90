"""How far a transfer Job is, read from the Job, its pod and the pod's events; in their own words."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from llmbatch.api.reasons import Reason
from llmbatch.core.plan import CollectReport, DiscardReport, Problem, Report, UploadReport

Json = dict[str, Any]
REPORTS: dict[str, type[Report]] = {"upload": UploadReport, "collect": CollectReport, "discard": DiscardReport}
RUNNING = {
    "upload": Problem(reason=Reason.UPLOADING, message="The transfer Job is checking and uploading the input."),
    "collect": Problem(reason=Reason.COLLECTING, message="The transfer Job is downloading and writing the results."),
    "discard": Problem(reason=Reason.DELETING, message="The transfer Job is deleting the results."),
}


LOST = timedelta(seconds=60)
"""A pod that should have ended so long ago is on a node that is gone: nobody can say any more what it does."""


@dataclass(frozen=True)
class Working:
    """The pod is at work, or about to be."""

    told: Problem


@dataclass(frozen=True)
class Blocked:
    """The pod can't start until something is mended; the Job stays and goes on by itself."""

    problem: Problem


@dataclass(frozen=True)
class Ended:
    """The pod has ended: with its report, or with the problem of having left none."""

    report: Report | None
    problem: Problem | None = None


TransferState = Working | Blocked | Ended

WAITING = {
    "ErrImagePull": Reason.TRANSFER_IMAGE_PULL_FAILED,
    "ImagePullBackOff": Reason.TRANSFER_IMAGE_PULL_FAILED,
    "ErrImageNeverPull": Reason.TRANSFER_IMAGE_PULL_FAILED,
    "InvalidImageName": Reason.TRANSFER_IMAGE_PULL_FAILED,
    "CreateContainerConfigError": Reason.CREDENTIALS_NOT_FOUND,
    "CreateContainerError": Reason.TRANSFER_REFUSED,
}


def read(job: Json, pods: list[Json], events: list[Json], now: datetime) -> TransferState:
    """Read the state of a transfer Job.

    Args:
        job: The Job.
        pods: Its pods.
        events: Events about the Job or its pod, for what no status tells (mounts, quota).
        now: The moment by the API server's clock.
    """
    kind = job.get("metadata", {}).get("name", "").rsplit("-", 2)[1]
    pod = max(pods, key=lambda item: str(item["metadata"].get("creationTimestamp", "")), default=None)
    if pod is None:
        return _without_pod(job, events)
    status = pod.get("status", {})
    containers = status.get("containerStatuses") or []
    state = containers[0].get("state", {}) if containers else {}
    if "terminated" in state:
        return _ended(kind, state["terminated"])
    if status.get("phase") in ("Failed", "Succeeded"):
        why = status.get("message") or status.get("reason") or "no reason given"
        return Ended(None, Problem(reason=Reason.TRANSFER_FAILED, message=f"The transfer pod was ended: {why}"))
    if (lost := _lost(pod, now)) is not None:
        return Ended(None, lost)
    if "running" in state:
        return Working(RUNNING[kind])
    waiting = state.get("waiting", {})
    if (reason := WAITING.get(waiting.get("reason", ""))) is not None:
        told = waiting.get("message") or waiting["reason"]
        return Blocked(Problem(reason=reason, message=f"The transfer pod can't start: {told}"))
    return _starting(pod, events)


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


def _ended(kind: str, terminated: Json) -> Ended:
    try:
        return Ended(REPORTS[kind].parse(json.loads(terminated.get("message", ""))))
    except (ValueError, ValidationError):
        pass
    if terminated.get("reason") == "OOMKilled":
        message = "The transfer pod ran out of memory; raise spec.transfer.resources.limits.memory."
    else:
        why = terminated.get("message") or terminated.get("reason") or "no reason given"
        message = f"The transfer pod ended with exit code {terminated.get('exitCode')} and no report: {why}"
    return Ended(None, Problem(reason=Reason.TRANSFER_FAILED, message=message[:1000]))


def _starting(pod: Json, events: list[Json]) -> TransferState:
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            told = condition.get("message") or "no node takes it"
            unbound = "PersistentVolumeClaim" in told or "persistentvolumeclaim" in told
            reason = Reason.VOLUME_CLAIM_UNBOUND if unbound else Reason.TRANSFER_UNSCHEDULABLE
            return Blocked(Problem(reason=reason, message=f"The transfer pod can't be scheduled: {told}"))
    if (told := _latest_warning(events)) is not None:
        return Blocked(Problem(reason=Reason.TRANSFER_PENDING, message=f"The transfer pod is not starting: {told}"))
    return Working(Problem(reason=Reason.TRANSFER_PENDING, message="The transfer pod is starting."))


def _without_pod(job: Json, events: list[Json]) -> TransferState:
    for condition in job.get("status", {}).get("conditions") or []:
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            told = condition.get("message") or condition.get("reason")
            return Ended(None, Problem(reason=Reason.TRANSFER_FAILED, message=f"The transfer Job failed: {told}"))
    if (told := _latest_warning(events)) is not None:
        return Blocked(Problem(reason=Reason.TRANSFER_REFUSED, message=f"The transfer pod can't be made: {told}"))
    return Working(Problem(reason=Reason.TRANSFER_PENDING, message="The transfer pod is being made."))


def _latest_warning(events: list[Json]) -> str | None:
    warnings = [event for event in events if event.get("type") == "Warning" and event.get("message")]
    latest = max(
        warnings, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), default=None
    )
    return None if latest is None else str(latest["message"])
