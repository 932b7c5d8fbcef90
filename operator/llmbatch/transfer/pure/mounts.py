"""What a transfer pod sees of volumes, ConfigMaps and Secrets, and where."""

from typing import Any

from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.transfer.pure.plan import OBJECTS_FILE, CollectPlan, Plan, UploadPlan

Json = dict[str, Any]


INPUT_ROOT = "/data/input"

OUTPUT_ROOT = "/data/output"

CA_ROOT = "/etc/llmbatch/ca"

CLIENT_ROOT = "/etc/llmbatch/client"


def volumes_of(
    job: BatchJobSpec, gateway: BatchGatewaySpec | None, plan: Plan, *, mode: int
) -> tuple[list[Json], list[Json]]:
    """Give the pod's volumes, and the container's mounts of them; files of Secrets have the mode `mode`."""
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
