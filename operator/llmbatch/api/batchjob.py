"""BatchJob: one batch of LLM requests, from JSONL in the cluster to results in the cluster."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from llmbatch.api.base import Key, Model, Name, Time
from llmbatch.api.conditions import Condition, Conditions

MAX_OBJECT_BYTES = 1_048_576
"""What a Secret or a ConfigMap can hold (1 MiB over all keys)."""


class Phase(StrEnum):
    """For people; logic reads the conditions."""

    PENDING = "Pending"
    UPLOADING = "Uploading"
    SUBMITTING = "Submitting"
    VALIDATING = "Validating"
    IN_PROGRESS = "InProgress"
    FINALIZING = "Finalizing"
    CANCELLING = "Cancelling"
    COLLECTING = "Collecting"
    CLEANING_UP = "CleaningUp"
    COMPLETE = "Complete"
    FAILED = "Failed"
    DELETING = "Deleting"


RelativePath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        description="Path in the volume: relative, without '..', for example in/batch.jsonl.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "!self.startsWith('/') && !self.endsWith('/') && !self.split('/').exists(part, part in ['', '.', '..'])",
                    "message": "path must be relative to the volume, name a file, and have no empty, '.' or '..' parts",
                }
            ]
        },
    ),
]

ONE_PLACE = (
    "[has(self.configMap), has(self.secret), has(self.persistentVolumeClaim)].filter(given, given).size() == 1",
    "exactly one of configMap, secret, persistentVolumeClaim must be set",
)


class GatewayRef(Model):
    """A BatchGateway in the same namespace."""

    name: Name


class KeyInObject(Model):
    """A key of a ConfigMap or Secret in the same namespace."""

    name: Name
    key: Key


class PathInVolume(Model):
    """A file in the volume of a PersistentVolumeClaim in the same namespace."""

    claim_name: Name = Field(description="Name of the PersistentVolumeClaim.")
    path: RelativePath


class Input(Model):
    """Where the requests are: JSONL, one request per line."""

    rules = (ONE_PLACE,)

    config_map: KeyInObject | None = Field(None, description="A key of a ConfigMap (up to 1 MiB).")
    secret: KeyInObject | None = Field(None, description="A key of a Secret (up to 1 MiB).")
    persistent_volume_claim: PathInVolume | None = Field(
        None, description="A file in a volume (up to the gateway's maxFileBytes)."
    )


class Output(Model):
    """Where the results go. Failed requests go beside them: <path>.errors.jsonl, or key <key>.errors."""

    rules = (ONE_PLACE,)

    config_map: KeyInObject | None = Field(
        None, description="A key of a ConfigMap that the operator makes (up to 1 MiB)."
    )
    secret: KeyInObject | None = Field(None, description="A key of a Secret that the operator makes (up to 1 MiB).")
    persistent_volume_claim: PathInVolume | None = Field(
        None, description="A file in a volume; written under a temporary name and renamed when whole."
    )
    order: Literal["Input", "Completion"] = Field(
        "Input", description="Order of the results: that of the input's lines, or as the provider answered."
    )


class TransferResources(Model):
    """Resources of the transfer Job's container."""

    limits: dict[str, Annotated[int | str, Field(union_mode="left_to_right")]] = Field(
        default={}, max_length=16, description="Most that the container may use."
    )
    requests: dict[str, Annotated[int | str, Field(union_mode="left_to_right")]] = Field(
        default={}, max_length=16, description="What the container is promised."
    )


class Toleration(Model):
    """A taint that the transfer Job's pod tolerates (core/v1 Toleration)."""

    key: str | None = Field(None, max_length=316, description="Taint key; empty with operator Exists matches all.")
    operator: Literal["Exists", "Equal"] | None = Field(
        None, description="How key and value are compared; Equal by default."
    )
    value: str | None = Field(None, max_length=63, description="Taint value.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Taint effect; all when absent."
    )
    toleration_seconds: int | None = Field(None, description="How long a NoExecute taint is tolerated.")


class TransferSecurityContext(Model):
    """User and groups of the transfer Job's pod; the rest is fixed to the restricted pod security standard."""

    run_as_user: int | None = Field(None, ge=1, le=2**31 - 1, description="User id, never 0. Default 65532.")
    run_as_group: int | None = Field(None, ge=1, le=2**31 - 1, description="Group id. Default 65532.")
    fs_group: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Group that owns the volume's files. Default 65532."
    )
    supplemental_groups: list[Annotated[int, Field(ge=1, le=2**31 - 1)]] = Field(
        default=[], max_length=16, description="Further groups."
    )


class Transfer(Model):
    """The Job that moves data between a volume and the gateway."""

    resources: TransferResources = Field(TransferResources(), description="Resources of its container.")
    node_selector: dict[str, str] = Field(default={}, max_length=32, description="Labels of the nodes it may run on.")
    tolerations: list[Toleration] = Field(default=[], max_length=32, description="Taints it tolerates.")
    security_context: TransferSecurityContext = Field(
        TransferSecurityContext(), description="User and groups, to match the volume's owner."
    )


IMMUTABLE = {
    "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable: make a new BatchJob instead"}]
}


class BatchJobSpec(Model):
    """What is to be done. What costs money (gateway, endpoint, input, model) can't change once the job exists."""

    rules = (
        (
            "has(self.model) == has(oldSelf.model) && (!has(self.model) || self.model == oldSelf.model)",
            "spec.model is immutable: make a new BatchJob instead",
        ),
        (
            "!has(self.input.persistentVolumeClaim) || !has(self.output.persistentVolumeClaim)"
            " || self.input.persistentVolumeClaim != self.output.persistentVolumeClaim",
            "spec.output must not be the file that spec.input names",
        ),
        (
            "(!has(self.input.configMap) || !has(self.output.configMap) || self.input.configMap != self.output.configMap)"
            " && (!has(self.input.secret) || !has(self.output.secret) || self.input.secret != self.output.secret)",
            "spec.output must not be the object and key that spec.input names",
        ),
    )

    gateway_ref: GatewayRef = Field(
        description="The BatchGateway, in the same namespace, that the batch goes through. Immutable.",
        json_schema_extra=IMMUTABLE,
    )
    endpoint: str = Field(
        "/v1/chat/completions",
        min_length=1,
        max_length=128,
        pattern=r"^/[A-Za-z0-9/_-]+$",
        description="Endpoint that every request of the batch is for, for example /v1/chat/completions or /v1/responses. Immutable.",
        json_schema_extra=IMMUTABLE,
    )
    completion_window: Literal["24h"] = Field("24h", description="Time the provider has; 24h is the only one it knows.")
    model: str | None = Field(
        None,
        max_length=256,
        description="When set, replaces body.model on every line. On Azure OpenAI this is the name of the batch deployment. Immutable.",
    )
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] = Field(
        default={},
        max_length=12,
        description="Passed on to the provider with the batch; keys that start with llmbatch_ are the operator's.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(key, size(key) >= 1 && size(key) <= 64 && !key.startsWith('llmbatch_'))",
                    "message": "keys have 1 to 64 characters and do not start with llmbatch_",
                }
            ]
        },
    )
    input: Input = Field(
        description="The requests, as JSONL: one object per line with custom_id, method, url and body. Exactly one place. Immutable.",
        json_schema_extra=IMMUTABLE,
    )
    output: Output = Field(
        description="Where the results are stored. Exactly one place. May be changed until they are, for example when they turn out too large."
    )
    remote_files: Literal["Delete", "Retain"] = Field(
        "Delete", description="What becomes of the provider's files (input, output, error) once the results are stored."
    )
    transfer: Transfer = Field(Transfer(), description="The Job that moves data between a volume and the gateway.")


class RequestCounts(Model):
    """Requests of the batch. While it runs: as the provider tells. At the end: as counted from the result lines."""

    total: int = Field(description="Requests in the input.")
    completed: int = Field(description="Requests that succeeded (status_code 200 and no error).")
    failed: int = Field(description="Requests that failed; one without a result line counts as failed.")


class InputStatus(Model):
    """The input as it was read."""

    bytes: int = Field(description="Size of the input as it is in the cluster, in bytes.")
    requests: int = Field(description="Lines, that is requests.")
    sha256: str = Field(description="SHA-256 of the input as it is in the cluster, in hexadecimal.")


class Batch(Model):
    """A batch at the provider, made of one part of the input."""

    id: str | None = Field(None, description="Id of the batch; absent until it is made.")
    input_file_id: str | None = Field(None, alias="inputFileID", description="Id of the uploaded input file.")
    output_file_id: str | None = Field(None, alias="outputFileID", description="Id of the file with the answers.")
    error_file_id: str | None = Field(None, alias="errorFileID", description="Id of the file with the failed requests.")
    status: str | None = Field(None, description="Status in the provider's own words.")
    request_counts: RequestCounts | None = Field(None, description="Counts as the provider tells them.")
    created_at: Time | None = Field(None, description="When the provider made the batch.")
    in_progress_at: Time | None = Field(None, description="When the provider began to run it.")
    finalizing_at: Time | None = Field(None, description="When the provider began to prepare the results.")
    completed_at: Time | None = Field(None, description="When the batch ended, in whatever way.")
    expires_at: Time | None = Field(None, description="When the completion window closes.")


class Submission(Model):
    """The intent to create a batch, written before the call; present only while an answer is owed."""

    attempt: int = Field(description="Number of the attempt, from 1.")
    intent_time: Time = Field(description="When the intent was written.")


class Usage(Model):
    """Tokens used, summed over the answers."""

    input_tokens: int = Field(description="Tokens read (prompt_tokens or input_tokens).")
    output_tokens: int = Field(description="Tokens written (completion_tokens or output_tokens).")
    total_tokens: int = Field(description="Tokens in all.")


class OutputStatus(Model):
    """The results as they were stored."""

    location: str = Field(description="Where the results are, for example secret/results key batch.jsonl.")
    errors_location: str | None = Field(None, description="Where the failed requests are; absent when there are none.")
    bytes: int = Field(description="Size of the results, in bytes.")
    requests: int = Field(description="Lines in the results.")
    sha256: str = Field(description="SHA-256 of the results, in hexadecimal.")
    stored_time: Time = Field(description="When they were durably stored.")


class Failure(Model):
    """One failed request, as an example of its kind."""

    custom_id: str = Field(alias="customID", description="The request's custom_id.")
    code: str = Field(description="The provider's error code, or the HTTP status of the request.")
    message: str = Field(description="The provider's error message, shortened.")


class BatchJobStatus(Model):
    """What the operator has done and found out."""

    observed_generation: int | None = Field(None, description="Generation of the spec that this status tells of.")
    phase: Phase | None = Field(None, description="Where the job is, for people; scripts read the conditions.")
    progress: str | None = Field(None, description="Requests answered, in percent.")
    request_counts: RequestCounts | None = Field(None, description="Requests in all, succeeded, failed.")
    start_time: Time | None = Field(None, description="When the operator first worked on the job.")
    submission_time: Time | None = Field(None, description="When the batch was made.")
    completion_time: Time | None = Field(None, description="When the job ended, well or not.")
    input: InputStatus | None = Field(None, description="The input as it was read.")
    batches: list[Batch] = Field(
        default=[], max_length=64, description="The provider's batches, one per part of the input."
    )
    submission: Submission | None = Field(None, description="Present only while the answer to a create call is owed.")
    attempts: int | None = Field(None, description="Create calls begun so far.")
    usage: Usage | None = Field(None, description="Tokens used, summed over the answers.")
    output: OutputStatus | None = Field(None, description="The results as they were stored.")
    failures: list[Failure] = Field(
        default=[], max_length=10, description="Examples of failed requests, the most frequent code first."
    )
    conditions: Conditions = Field(
        default=[], description="Ready, Reconciling, Stalled, InputReady, Submitted, ResultsStored, Complete, Failed."
    )

    def condition(self, kind: str) -> Condition | None:
        """Find a condition by its type."""
        return next((item for item in self.conditions if item.type == kind), None)

    def holds(self, kind: str) -> bool:
        """Tell whether a condition is there and True."""
        found = self.condition(kind)
        return found is not None and found.status == "True"


class ObjectMeta(Model):
    """The part of metadata that the operator reads."""

    name: str
    namespace: str = "default"
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    finalizers: list[str] = []
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}


def raw_metadata(data: dict[str, Any]) -> dict[str, Any]:
    """Read metadata from an object that may not fit its model."""
    found = data.get("metadata")
    return found if isinstance(found, dict) else {}
