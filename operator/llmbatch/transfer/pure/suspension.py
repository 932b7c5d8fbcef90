"""A transfer Job that something holds back: a queue, a person, an admission webhook."""

from typing import Any

from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure.report import Problem

Json = dict[str, Any]

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def problem(job: Json) -> Problem | None:
    """Say that a Job is held back, and by what; it goes on by itself when that lets it."""
    spec, metadata = job.get("spec") or {}, job.get("metadata") or {}
    conditions = (job.get("status") or {}).get("conditions") or []
    said: Json = next((item for item in conditions if item.get("type") == "Suspended"), {})
    if not spec.get("suspend", said.get("status") == "True"):
        return None
    queue = (metadata.get("labels") or {}).get(QUEUE_LABEL)
    by = f"by Kueue (queue {queue})" if queue else f"by {_suspender(metadata) or 'somebody'}"
    remedy = "starts when it is admitted" if queue else "goes on when its spec.suspend is false again"
    message = f"The transfer Job {metadata.get('name')} is suspended {by}; the transfer {remedy}."
    return Problem(reason=Reason.TRANSFER_SUSPENDED, message=message)


def suspenders(metadata: Json) -> list[Json]:
    """Leave of managedFields what tells who has set spec.suspend; the rest may be of any size."""
    return [
        {**{name: item[name] for name in ("manager", "time") if name in item}, "fieldsV1": {"f:spec": told}}
        for item in metadata.get("managedFields") or []
        if "f:suspend" in (told := _of_spec(item))
    ]


def _of_spec(item: Json) -> Json:
    fields = (item.get("fieldsV1") or {}).get("f:spec") or {}
    return {name: {} for name in ("f:suspend", "f:template") if name in fields}


def _suspender(metadata: Json) -> str:
    """Find who has set spec.suspend, as the API server remembers it."""
    latest: Json = {}
    for item in metadata.get("managedFields") or []:
        fields = _of_spec(item)
        if "f:suspend" in fields and str(item.get("time") or "") >= str(latest.get("time") or ""):
            # We never set it: what came with all the rest was put in on the way.
            latest = {**item, "manager": "an admission webhook"} if "f:template" in fields else item
    return str(latest.get("manager") or "")
