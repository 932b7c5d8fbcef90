"""BatchJob: one batch of LLM requests, from JSONL in the cluster to results in the cluster."""

from typing import Annotated, Literal

from pydantic import Field

from llmbatch.api.base import JsonDict, Key, Model, Name
from llmbatch.api.deletion import DeletionPolicy
from llmbatch.api.request_policy import MOST_RETRIES, RequestFailurePolicy, SuccessPolicy
from llmbatch.api.transfer import Transfer

MAX_OBJECT_BYTES = 1_048_576
"""What a Secret or a ConfigMap can hold (1 MiB over all keys)."""


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


MOST_KEY = 245
"""Longest key for results: 253 are allowed, and .errors or .foreign is put behind it."""

ROOM_BESIDE = (
    (
        f"(!has(self.secret) || size(self.secret.key) <= {MOST_KEY}) && (!has(self.configMap) || size(self.configMap.key) <= {MOST_KEY})",
        f"key has at most {MOST_KEY} characters: .errors and .foreign are put behind it",
    ),
    (
        "!has(self.persistentVolumeClaim) || self.persistentVolumeClaim.path.matches('(^|/)[^/]{1,241}([.]jsonl)?$')",
        "the file's name in path has at most 241 characters without .jsonl: .errors.jsonl and .foreign.jsonl are put behind it",
    ),
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
        None,
        description="A file in a volume (up to the gateway's maxFileBytes; with splitPolicy Auto, 100 times that).",
    )


class Output(Model):
    """Where the results go. Failed requests go beside them: <path>.errors.jsonl, or key <key>.errors.

    Lines of the provider that fit no request go there too: <path>.foreign.jsonl, or key <key>.foreign.
    """

    rules = (ONE_PLACE, *ROOM_BESIDE)

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


IMMUTABLE: JsonDict = {
    "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable: make a new BatchJob instead"}]
}


PLACES = (("persistentVolumeClaim", "claimName", "path"), ("configMap", "name", "key"), ("secret", "name", "key"))


def _elsewhere(place: str, *parts: str) -> tuple[str, str]:
    """Make the rule that results never go where the input is; CEL compares only members of two different types."""
    given = f"!has(self.input.{place}) || !has(self.output.{place})"
    differ = " || ".join(f"self.input.{place}.{part} != self.output.{place}.{part}" for part in parts)
    return f"{given} || {differ}", f"spec.output.{place} must not be what spec.input names: it would be overwritten"


def _fixed(name: str) -> tuple[str, str]:
    """Make the rule that keeps an optional field as it is; a rule of the field's own would not see it come and go."""
    same = f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})"
    return same, f"spec.{name} is immutable: make a new BatchJob instead"


class BatchJobSpec(Model):
    """What is to be done. What costs money (gateway, endpoint, input, model) can't change once the job exists."""

    rules = (
        *(_fixed(name) for name in ("model", "requestFailurePolicy", "successPolicy")),
        (
            "!has(self.requestFailurePolicy) || !self.requestFailurePolicy.rules.exists(rule, rule.action == 'Retry') ||"
            " (has(self.backoffLimitPerRequest) && self.backoffLimitPerRequest > 0)",
            "a rule of spec.requestFailurePolicy says Retry: set spec.backoffLimitPerRequest to 1 or more",
        ),
        *(_elsewhere(place, *parts) for place, *parts in PLACES),
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
        min_length=1,
        max_length=256,
        description="When set, replaces body.model on every line. On Azure OpenAI this is the name of the batch deployment. Immutable.",
    )
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] = Field(
        default={},
        max_length=12,
        description="Passed on to the provider with the batch: up to 12 keys; those that start with llmbatch_ are the operator's.",
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
        description="Where the results are stored. Exactly one place. May be changed until they are, for example when they turn out too large;"
        " once those of a part are stored in a volume (status.partsLocation), only the file's name in the same folder."
    )
    split_policy: Literal["Auto", "Never"] = Field(
        "Auto",
        description="Auto: an input that is too large for one batch (limits.maxRequestsPerFile and limits.maxFileBytes of the"
        " BatchGateway) is cut into up to 100 parts, each a batch of its own, and the results are put together. Never: it is InvalidInput. Immutable.",
        json_schema_extra=IMMUTABLE,
    )
    parallelism: int = Field(
        0,
        ge=0,
        description="Batches of this job that may be at the provider at one time, when its input is split; 0: as many as the"
        " gateway's limits allow.",
    )
    priority: int = Field(
        0,
        ge=-1000,
        le=1000,
        description="Among the batches that wait for tokens of the gateway's quota, those of a higher priority go first. May be"
        " changed; it is of no effect on what is at the provider already.",
    )
    max_estimated_tokens: int = Field(
        0,
        ge=0,
        le=1_000_000_000_000,
        description="An input that is estimated at more tokens than this is refused before anything is sent; 0: there is no"
        " ceiling. Immutable.",
        json_schema_extra=IMMUTABLE,
    )
    ready_when: Literal["Completed", "Submitted"] = Field(
        "Completed",
        description="What the condition Ready waits for. Completed: the results are stored. Submitted: every batch that can be"
        " submitted at once is at the provider, for tools that wait for Ready and would give up in the day that a batch may take;"
        " a job that fails after that is not Ready all the same.",
    )
    backoff_limit_per_request: int = Field(
        0,
        ge=0,
        le=MOST_RETRIES,
        description="Further attempts at a request that failed in a way that may pass, see requestFailurePolicy: such requests"
        " are sent again together, in a batch of their own, after 60 seconds, doubling with each attempt, at most an hour. Immutable.",
        json_schema_extra=IMMUTABLE,
    )
    request_failure_policy: RequestFailurePolicy | None = Field(
        None, description="Which failed requests are tried again, which are not, and which end the job. Immutable."
    )
    success_policy: SuccessPolicy | None = Field(
        None,
        description="How many requests must succeed; absent: one, and a batch that was alone must have run to its end, or the job"
        " is Failed (BatchExpired, BatchCancelled, BatchFailed). Immutable.",
    )
    remote_files: Literal["Delete", "Retain"] = Field(
        "Delete", description="What becomes of the provider's files (input, output, error) once the results are stored."
    )
    deletion_policy: DeletionPolicy = Field(
        DeletionPolicy(), description="What becomes of the batch and of the results when the BatchJob is deleted."
    )
    transfer: Transfer = Field(Transfer(), description="The Job that moves data between a volume and the gateway.")

    @property
    def uses_volume(self) -> bool:
        """Tell whether data is moved by transfer Jobs."""
        return self.input.persistent_volume_claim is not None or self.output.persistent_volume_claim is not None

    @property
    def judges_requests(self) -> bool:
        """Tell whether failed requests decide about more than their own place among the results."""
        return self.backoff_limit_per_request > 0 or self.request_failure_policy is not None
