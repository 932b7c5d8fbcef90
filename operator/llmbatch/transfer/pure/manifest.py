"""The Kubernetes Job that moves data between a volume and the gateway."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmbatch.api import API_VERSION
from llmbatch.api.batchgateway import BatchGatewaySpec, NamedValue
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.provider.pure.connection import Connection, Setting
from llmbatch.settings import Settings
from llmbatch.transfer.pure import naming, pod_template
from llmbatch.transfer.pure.plan import OBJECTS_FILE, PLAN_VARIABLE, CollectPlan, DiscardPlan, Plan, UploadPlan, written

Json = dict[str, Any]

TEMPLATE_ANNOTATION = "llmbatch.io/template"
"""Annotation of the Job: a digest of all that it was made from."""
INPUT_ROOT = "/data/input"
OUTPUT_ROOT = "/data/output"
CA_ROOT = "/etc/llmbatch/ca"
CLIENT_ROOT = "/etc/llmbatch/client"
LONGEST_SECONDS = 6 * 3600
"""A Job that takes longer is ended and begun anew: its node may be gone."""
KEPT_SECONDS = 3600
"""A finished Job stays so long, for its log and in case the operator was away when it ended."""


PROXIES = tuple(
    form for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY") for form in (name, name.lower())
)


def proxies_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the variables by which the operator itself finds its way to gateways, for the transfer pods."""
    return {name: environment[name] for name in PROXIES if environment.get(name)}


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
            "labels": {naming.LABEL_MANAGED_BY: naming.MANAGER, naming.LABEL_UID: self.uid},
        }
        return {**made, "ownerReferences": [self.reference()]} if owned else made


def secret_variable(kind: str, index: int) -> str:
    """Name the environment variable that holds a header's or parameter's secret value."""
    return f"LLMBATCH_{kind.upper()}_{index}"


def settings_of(kind: str, values: list[NamedValue]) -> list[Setting]:
    """Turn headers or parameters into settings; those from a Secret name a variable."""
    return [
        Setting(name=item.name, value=item.value)
        if item.value_from is None
        else Setting(name=item.name, variable=secret_variable(kind, index))
        for index, item in enumerate(values)
    ]


def connection(
    spec: BatchGatewaySpec,
    *,
    ca_file: str | None,
    certificate_file: str | None,
    key_file: str | None,
    authorities: str | None = None,
) -> Connection:
    """Describe how the gateway is reached, with files where the caller has put them."""
    return Connection(
        url=spec.url.rstrip("/"),
        files_path=spec.files_path,
        batches_path=spec.batches_path,
        headers=settings_of("header", spec.headers),
        query=settings_of("query", spec.query),
        ca_file=ca_file,
        certificate_file=certificate_file,
        key_file=key_file,
        # A gateway's own bundle is trusted in place of all others.
        authorities=authorities if ca_file is None else None,
        server_name=spec.tls.server_name,
        insecure_skip_verify=spec.tls.insecure_skip_verify,
        connect_seconds=spec.timeouts.connect_seconds,
        request_seconds=spec.timeouts.request_seconds,
        transfer_seconds=spec.timeouts.transfer_seconds,
    )


def pod_connection(spec: BatchGatewaySpec, authorities: str | None = None) -> Connection:
    """Describe how the transfer pod reaches the gateway."""
    client = spec.tls.client_certificate is not None
    return connection(
        spec,
        ca_file=f"{CA_ROOT}/ca.crt" if spec.tls.ca_bundle is not None else None,
        certificate_file=f"{CLIENT_ROOT}/tls.crt" if client else None,
        key_file=f"{CLIENT_ROOT}/tls.key" if client else None,
        authorities=authorities,
    )


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
    volumes, mounts = _volumes(job, gateway, plan, mode=0o440 if "fsGroup" in security else 0o444)
    container = {
        "name": naming.CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": [plan.kind],
        "env": [
            {"name": PLAN_VARIABLE, "value": written(plan)},
            *(_secrets(gateway) if gateway is not None else ()),
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


def _secrets(gateway: BatchGatewaySpec) -> list[Json]:
    return [
        {
            "name": secret_variable(kind, index),
            "valueFrom": {"secretKeyRef": item.value_from.secret_key_ref.dump()},
        }
        for kind, values in (("header", gateway.headers), ("query", gateway.query))
        for index, item in enumerate(values)
        if item.value_from is not None
    ]


def _volumes(
    job: BatchJobSpec, gateway: BatchGatewaySpec | None, plan: Plan, *, mode: int
) -> tuple[list[Json], list[Json]]:
    volumes: list[Json] = [{"name": "tmp", "emptyDir": {}}]
    mounts: list[Json] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - an emptyDir of the pod's own
    source, target = job.input.persistent_volume_claim, job.output.persistent_volume_claim
    claims: dict[str, str] = {}
    reads = isinstance(plan, UploadPlan) or (isinstance(plan, CollectPlan) and plan.input_root is not None)
    writes = not isinstance(plan, UploadPlan) or plan.output_root is not None
    if source is not None and reads:
        claims[source.claim_name] = "input"
        mounts.append({"name": "input", "mountPath": INPUT_ROOT, "readOnly": True})
    elif reads and isinstance(plan, CollectPlan):
        volumes.append({"name": "input", **_input_object(job, mode)})
        mounts.append({"name": "input", "mountPath": INPUT_ROOT, "readOnly": True})
    if target is not None and writes:
        # One claim twice is one volume with two mounts.
        volume = claims.setdefault(target.claim_name, "output")
        mounts.append({"name": volume, "mountPath": OUTPUT_ROOT})
    volumes += [{"name": volume, "persistentVolumeClaim": {"claimName": claim}} for claim, volume in claims.items()]
    if gateway is None:
        return volumes, mounts
    if (bundle := gateway.tls.ca_bundle) is not None:
        volumes.append({"name": "ca", **_ca_source(bundle.config_map_key_ref, bundle.secret_key_ref, mode)})
        mounts.append({"name": "ca", "mountPath": CA_ROOT, "readOnly": True})
    if (client := gateway.tls.client_certificate) is not None:
        volumes.append({"name": "client", "secret": {"secretName": client.secret_name, "defaultMode": mode}})
        mounts.append({"name": "client", "mountPath": CLIENT_ROOT, "readOnly": True})
    return volumes, mounts


def _input_object(job: BatchJobSpec, mode: int) -> Json:
    """Give the volume with what is in a ConfigMap or Secret, whose requests were never sent."""
    place, kind = (job.input.config_map, "configMap") if job.input.config_map else (job.input.secret, "secret")
    if place is None:
        raise ValueError("spec.input names no place")
    name = {"configMap": "name", "secret": "secretName"}[kind]
    # It may be gone: the results are stored all the same.
    told = {name: place.name, "items": [{"key": place.key, "path": OBJECTS_FILE}], "optional": True}
    return {kind: {**told, "defaultMode": mode}}


def _ca_source(config_map: Any, secret: Any, mode: int) -> Json:  # noqa: ANN401 - either kind of key reference
    if config_map is not None:
        return {"configMap": {"name": config_map.name, "items": [{"key": config_map.key, "path": "ca.crt"}]}}
    return {
        "secret": {"secretName": secret.name, "items": [{"key": secret.key, "path": "ca.crt"}], "defaultMode": mode}
    }
