"""What the containers of a transfer pod say: ours, known by its name, and those that others have put beside it."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure import naming
from llmbatch.transfer.pure.report import (
    REPORTS,
    Problem,
    Report,
    believable,
    decoded,
)

Json = dict[str, Any]


CONTAINERS = ("containers", "initContainers", "ephemeralContainers")

UNCUT = 3
"""Of so many containers each has its whole message; of more, each its part of the same 12 KiB."""

_LOG = "; the pod's log tells more"

CRASHED = "CrashLoopBackOff"


def is_ours(container: Json) -> bool:
    """Tell whether a container's status is that of the one that does the work."""
    return bool(container.get("name", naming.CONTAINER) == naming.CONTAINER)


def endings(container: Json) -> Iterator[Json]:
    """Give how our container ended, and how it ended before it was started anew (by a policy that somebody put in)."""
    for name in ("state", "lastState"):
        terminated = (container.get(name) or {}).get("terminated")
        if terminated is not None:
            yield terminated


def outlived(status: Json) -> bool:
    """Tell whether another container has not ended; a native sidecar, which is an init container, ends with ours.

    Not by the pod's phase, which comes to its end a moment later than its containers do.
    """
    beside = (item for item in status.get("containerStatuses") or [] if not is_ours(item))
    return any("terminated" not in (item.get("state") or {}) for item in beside)


def report_of(kind: str, container: Json) -> Report | None:
    """Give the report that our container has left; None: none that can be read."""
    for terminated in endings(container):
        try:
            return believable(REPORTS[kind].parse(decoded(terminated.get("message", ""))))
        except (ValueError, TypeError, AttributeError, ValidationError, RecursionError):
            continue
    return None


def ended_for_good(container: Json) -> Json | None:
    """Say how our container ended for good, or ends again and again."""
    state = container.get("state") or {}
    if (state.get("waiting") or {}).get("reason") == CRASHED:
        return next(endings(container), {})
    found: Json | None = state.get("terminated")
    return found


def unreported(terminated: Json, pod: Json) -> Problem:
    """Say why our container has left no report, and what to do about it."""
    containers = sum(len(pod.get("spec", {}).get(name) or []) for name in CONTAINERS)
    if terminated.get("reason") == "OOMKilled":
        message = "The transfer pod ran out of memory; raise spec.transfer.resources.limits.memory."
    elif terminated.get("exitCode") == 0 and containers > UNCUT and (terminated.get("message") or "").startswith("{"):
        message = (
            f"The report of the transfer pod was cut off by Kubernetes, since the pod has {containers} containers; keep others"
            " from being put into it (by an annotation or a label in spec.transfer, as whoever puts them in asks for)."
        )
    elif why := ended_by(pod.get("status") or {}) or (pod.get("status") or {}).get("reason"):
        message = f"The transfer pod was ended: {why}"
    else:
        why = _why(terminated)
        message = f"The transfer pod ended with exit code {terminated.get('exitCode')} and no report: {why}"
    return Problem(reason=Reason.TRANSFER_FAILED, message=message[:1000])


def ended_by(status: Json) -> str:
    """Say why a pod was ended, in the words of who did it (the kubelet, the scheduler, a drain); empty: nobody says so."""
    disrupted: Json = next(
        (
            item
            for item in status.get("conditions") or []
            if item.get("type") == "DisruptionTarget" and item.get("status") == "True"
        ),
        {},
    )
    return str(status.get("message") or disrupted.get("message") or disrupted.get("reason") or "")


def _why(terminated: Json) -> str:
    """Say why a container ended. With the reasons left out here the message is its own, and may hold anything."""
    left, reason = terminated.get("message") or "", terminated.get("reason") or "no reason given"
    if not left or terminated.get("reason") not in (None, "", "Error", "Completed"):
        return left or reason
    return f"{'Traceback' if 'Traceback' in left else reason}{_LOG}"


def others(status: Json) -> Iterator[Json]:
    """Give the containers that are not ours and could keep it from starting; those of kubectl debug can not."""
    yield from status.get("initContainerStatuses") or []
    yield from (item for item in status.get("containerStatuses") or [] if not is_ours(item))


def failed_beside(status: Json) -> str:
    """Name the container for which a pod was ended before ours could begin."""
    for container in others(status):
        for terminated in endings(container):
            if terminated.get("exitCode"):
                why = _why(terminated)
                return f"its container {container.get('name')} ended with exit code {terminated['exitCode']}: {why}"
    return ""
