"""Names that can be made again from what is known, so that a repeat finds what an earlier try made."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from llmbatch.api import API_VERSION
from llmbatch.transfer.pure.plan import Plan

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_UID = "llmbatch.io/batchjob-uid"
"""Label on everything made for a BatchJob. The uid, since a BatchJob's name may be longer than a label's 63 characters."""
MANAGER = "llmbatch"
CONTAINER = "transfer"
"""Name of the container that does the work in a transfer pod; others may be put beside it."""
KINDS = frozenset({"upload", "collect", "merge", "discard"})
PASSING = {
    "upload": frozenset({"look"}),
    "collect": frozenset({"patient", "acceptMissing", "leftOut", "model"}),
}
"""By kind: what may change of a plan while its Job is at work, whose report is then still to be found."""


def upload_filename(uid: str, part: str, attempt: int) -> str:
    """Name an uploaded file, so that the file of a lost answer can be recognised; `part` is the label of its batch."""
    return f"{uid}-{part}-{attempt}.jsonl"


def is_upload_of(uid: str, filename: str | None) -> bool:
    """Tell whether a file was uploaded for a BatchJob, from the name that it was given."""
    return filename is not None and filename.startswith(f"{uid}-") and filename.endswith(".jsonl")


def transfer_job_name(job_name: str, uid: str, plan: Plan) -> str:
    """Name a transfer Job after its BatchJob and what it is to do, and at which gateway; a new plan is a new Job.

    How the gateway is reached doesn't count: a Job at work is not repeated for a changed time-out.
    At most 63 characters, since the Job controller copies the name into a label of the pod.
    """
    passing = PASSING.get(plan.kind, frozenset())
    told = {name: value for name, value in plan.dump().items() if name not in passing}
    if "connection" in told:
        told["connection"] = {key: told["connection"].get(key) for key in ("url", "filesPath")}
    digest = hashlib.sha256(f"{uid}\n{json.dumps(told, sort_keys=True)}".encode()).hexdigest()[:10]
    return f"{job_name[:40].rstrip('-.').replace('.', '-')}-{plan.kind}-{digest}"


def kind_of(transfer_job: str) -> str:
    """Tell from a transfer Job's name what it does; "": it is none of ours, whatever its labels say."""
    _, *rest = transfer_job.rsplit("-", 2)
    return rest[0] if len(rest) == 2 and rest[0] in KINDS else ""


def batch_metadata(
    uid: str, part: str, attempt: int, given: dict[str, str], *, parts: int | None = None
) -> dict[str, str]:
    """Make the metadata of a batch: the user's, and ours to find it again.

    Args:
        uid: The BatchJob's.
        part: Which of its batches (Batch.label): "3" is the first attempt at part 3, "3.2" the second.
        attempt: Number of the create call.
        given: The user's.
        parts: Parts of the input, of a job that has them.
    """
    ours = {"llmbatch_uid": uid, "llmbatch_part": part, "llmbatch_attempt": str(attempt)}
    return {**given, **ours, **({"llmbatch_parts": str(parts)} if parts else {})}


Json = dict[str, Any]


@dataclass(frozen=True)
class Owner:
    """The BatchJob that a Job is made for."""

    namespace: str
    name: str
    uid: str

    def reference(self) -> Json:
        """Make the ownerReference."""
        return {
            "apiVersion": API_VERSION,
            "kind": "BatchJob",
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }

    def metadata(self, name: str, *, owned: bool = True) -> Json:
        """Make the metadata of an object made for the BatchJob; the garbage collector deletes it after it, if owned."""
        made = {
            "name": name,
            "namespace": self.namespace,
            "labels": {LABEL_MANAGED_BY: MANAGER, LABEL_UID: self.uid},
        }
        return {**made, "ownerReferences": [self.reference()]} if owned else made
