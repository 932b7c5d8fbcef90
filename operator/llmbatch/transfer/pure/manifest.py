"""The Kubernetes Job that moves data between a volume and the gateway."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.settings import Settings
from llmbatch.transfer.pure import naming, pod_template
from llmbatch.transfer.pure.connections import secrets_of
from llmbatch.transfer.pure.mounts import volumes_of
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.plan import PLAN_VARIABLE, DiscardPlan, Plan, UploadPlan, written

Json = dict[str, Any]

TEMPLATE_ANNOTATION = "llmbatch.io/template"
"""Annotation of the Job: a digest of all that it was made from."""
LONGEST_SECONDS = 6 * 3600
"""A Job that takes longer is ended and begun anew: its node may be gone."""
KEPT_SECONDS = 3600
"""A finished Job stays so long, for its log and in case the operator was away when it ended."""


def manifest(
    owner: Owner,
    job: BatchJobSpec,
    gateway: BatchGatewaySpec | None,
    plan: Plan,
    settings: Settings,
    *,
    proxies: Mapping[str, str] | None = None,
) -> Json:
    """Make the Job: restricted pod security, no service-account token, read-only root."""
    transfer = pod_template.merged(settings.transfer_defaults, job.transfer)
    security = pod_template.security_context(settings.transfer_defaults, job.transfer)
    # Files of a Secret belong to root: the pod's group may read them, or, where the namespace chooses it, everybody in the pod.
    volumes, mounts = volumes_of(job, gateway, plan, mode=0o440 if "fsGroup" in security else 0o444)
    container = {
        "name": naming.CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": [plan.kind],
        "env": [
            {"name": PLAN_VARIABLE, "value": written(plan)},
            *(secrets_of(gateway) if gateway is not None else ()),
            *({"name": name, "value": value} for name, value in (proxies or {}).items() if gateway is not None),
        ],
        "resources": pod_template.resources(settings.transfer_resources, job.transfer),
        "volumeMounts": mounts,
        "securityContext": pod_template.RESTRICTED,
    }
    pod = {
        **pod_template.pod(transfer, security, settings.image_pull_secrets),
        "containers": [container],
        "volumes": volumes,
    }
    # A foreground deletion would remove an owned Job before the BatchJob, while it is at work for that deletion.
    name = naming.transfer_job_name(owner.name, owner.uid, plan)
    metadata = owner.metadata(name, owned=not isinstance(plan, DiscardPlan))
    # On the Job for what looks at Jobs (a queue), on the pod for what looks at pods (a mesh).
    metadata["labels"] = {**pod_template.allowed(transfer.labels), **metadata["labels"]}
    annotations = pod_template.allowed(transfer.annotations)
    metadata["annotations"] = annotations
    made = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            # The operator decides about another try, since it also says so in the BatchJob.
            "backoffLimit": 0,
            "activeDeadlineSeconds": _longest(job, plan, settings),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": metadata["labels"], **({"annotations": annotations} if annotations else {})},
                "spec": {key: value for key, value in pod.items() if value not in ([], {}, None)},
            },
        },
    }
    # What the API server gives back has its own defaults in it, so what was sent is remembered by its digest.
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]
    if isinstance(plan, UploadPlan) and plan.look:
        # Which a pod that has not started yet need not do: nothing was sent since its Job was made.
        first = manifest(owner, job, gateway, plan.model_copy(update={"look": False}), settings, proxies=proxies)
        digest = first["metadata"]["annotations"][TEMPLATE_ANNOTATION]
    metadata["annotations"] = {**annotations, TEMPLATE_ANNOTATION: digest}
    return made


def _longest(job: BatchJobSpec, plan: Plan, settings: Settings) -> int:
    if not isinstance(plan, DiscardPlan):
        return LONGEST_SECONDS
    # The BatchJob is let go by then, and an event has said that the results are still there.
    return math.ceil(job.deletion_policy.cleanup_timeout_seconds or settings.cleanup_timeout_seconds)
