"""What a transfer Job itself tells of its transfer: what is kept of it, and what need not be asked of its pod."""

from typing import Any

from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure import naming, state, suspension
from llmbatch.transfer.pure.manifest import TEMPLATE_ANNOTATION
from llmbatch.transfer.pure.plan import PLAN_VARIABLE
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfer.pure.state import Working

Json = dict[str, Any]

YOUNG_SECONDS = 2.0
"""A Job made less than so long ago is taken to be starting, until it says something else."""
STARTING = "The transfer pod is starting."

MOST_PLAN = 128 * 1024
"""Characters; no process takes a longer variable."""
METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "ownerReferences")
LABELS = (naming.LABEL_MANAGED_BY, naming.LABEL_UID, suspension.QUEUE_LABEL)
COUNTS = ("active", "ready", "terminating", "succeeded", "failed")


def kept(job: Json) -> Json:
    """Leave of a Job what is ever looked at: a tenth of it."""
    metadata, spec, status = job["metadata"], job.get("spec") or {}, job.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    made: Json = {name: metadata[name] for name in METADATA if name in metadata}
    made["labels"] = {name: labels[name] for name in LABELS if name in labels}
    made["annotations"] = {name: annotations[name] for name in (TEMPLATE_ANNOTATION,) if name in annotations}
    if suspension.problem(job) is not None and "managedFields" in metadata:
        # They say by whom.
        made["managedFields"] = suspension.suspenders(metadata)
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or []
    plans = [
        {
            "name": naming.CONTAINER,
            "env": [
                item
                for item in container.get("env") or []
                if item["name"] == PLAN_VARIABLE and len(item.get("value") or "") < MOST_PLAN
            ],
        }
        for container in containers
        if container.get("name") == naming.CONTAINER
    ]
    told: Json = {name: status[name] for name in COUNTS if status.get(name)}
    told["conditions"] = status.get("conditions") or []
    suspend = {"suspend": spec["suspend"]} if "suspend" in spec else {}
    return {"metadata": made, "spec": {**suspend, "template": {"spec": {"containers": plans}}}, "status": told}


def is_ready(job: Json) -> bool:
    """Tell whether a pod of the Job is ready: all of its containers run, ours among them."""
    status = job.get("status") or {}
    return bool(status.get("ready")) and not status.get("terminating")


def is_news(before: Json, after: Json) -> bool:
    """Tell whether a Job says something by which its transfer goes on, or goes on no more."""
    return _said(before) != _said(after) or (is_ready(before) and not is_ready(after))


def _said(job: Json) -> tuple[object, ...]:
    status: Json = job.get("status") or {}
    conditions = tuple((item.get("type"), item.get("status")) for item in status.get("conditions") or [])
    held = suspension.problem(job) is not None
    counts = tuple(status.get(name) or 0 for name in ("succeeded", "failed", "terminating"))
    return "deletionTimestamp" in job["metadata"], held, counts, conditions


def working(job: Json, age_seconds: float, *, was_ready: bool) -> Working | None:
    """Say how a transfer is by its Job alone; None: its pod tells more.

    Args:
        job: The Job, as it is by now.
        age_seconds: Since it was made.
        was_ready: Its pod was once.
    """
    status = job.get("status") or {}
    if suspension.problem(job) is not None:
        return None
    if is_ready(job):
        kind = naming.kind_of(job["metadata"]["name"])
        return Working(state.RUNNING[kind], running=True)
    if was_ready or age_seconds >= YOUNG_SECONDS or status.get("conditions"):
        return None
    if any(status.get(name) for name in ("succeeded", "failed", "terminating")):
        return None
    return Working(Problem(reason=Reason.TRANSFER_PENDING, message=STARTING), young=True)
