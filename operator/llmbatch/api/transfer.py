"""spec.transfer: the Job that moves data between a volume and the gateway, and its pod."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from llmbatch.api.base import JsonDict, Model, Name

USER = 65532
"""The image's user; also the group that owns the volume's files, unless somebody says otherwise."""

LabelValue = Annotated[str, Field(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")]
Quantities = dict[str, Annotated[int | str, Field(union_mode="left_to_right")]]
Id = Annotated[int, Field(ge=1, le=2**31 - 1)]
MOST_AFFINITY = 16 * 1024
"""Bytes, as JSON."""
TOO_LARGE = "tooLarge"
FREE: JsonDict = {"x-kubernetes-preserve-unknown-fields": True}


class TransferResources(Model):
    """Resources of the transfer Job's container."""

    limits: Quantities = Field(
        default={}, max_length=16, description="Most that the container may use. What is absent here is the chart's."
    )
    requests: Quantities = Field(
        default={}, max_length=16, description="What the container is promised. What is absent here is the chart's."
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


class Affinity(Model):
    """Where the transfer Job's pod is to run (core/v1 Affinity)."""

    @classmethod
    def as_read(cls, given: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Give an affinity, or in place of one that is too large what is told of it: its form is free, and so is its size."""
        return given if len(json.dumps(given)) <= MOST_AFFINITY else {TOO_LARGE: True}

    @model_validator(mode="before")
    @classmethod
    def _is_no_larger(cls, given: Any) -> Any:  # noqa: ANN401 - as above
        if isinstance(given, dict) and TOO_LARGE in cls.as_read(given):
            raise ValueError(f"has more than {MOST_AFFINITY} bytes")
        return given

    node_affinity: dict[str, Any] = Field(
        default={}, description="Nodes that it needs or prefers (core/v1 NodeAffinity).", json_schema_extra=FREE
    )
    pod_affinity: dict[str, Any] = Field(
        default={}, description="Pods that it is to be near to (core/v1 PodAffinity).", json_schema_extra=FREE
    )
    pod_anti_affinity: dict[str, Any] = Field(
        default={}, description="Pods that it is to be away from (core/v1 PodAntiAffinity).", json_schema_extra=FREE
    )


class PullSecret(Model):
    """A Secret with registry credentials, in the same namespace."""

    name: Name


class TransferSecurityContext(Model):
    """User and groups of the transfer Job's pod; the rest is fixed to the restricted pod security standard."""

    run_as_user: Id | None = Field(
        None, description="User id, never 0. The chart's when absent: 65532, or the namespace's."
    )
    run_as_group: Id | None = Field(None, description="Group id. The chart's when absent: 65532, or the namespace's.")
    fs_group: Id | None = Field(
        None, description="Group that owns the volume's files. The chart's when absent: 65532, or the namespace's."
    )
    supplemental_groups: list[Id] = Field(
        default=[], max_length=16, description="Further groups. The chart's when absent."
    )


class Transfer(Model):
    """The Job that moves data between a volume and the gateway."""

    resources: TransferResources = Field(TransferResources(), description="Resources of its container.")
    node_selector: dict[str, str] = Field(
        default={}, max_length=32, description="Labels of the nodes it may run on, besides the chart's."
    )
    tolerations: list[Toleration] = Field(
        default=[], max_length=32, description="Taints it tolerates, besides the chart's."
    )
    affinity: Affinity = Field(
        Affinity(), description="Where it is to run, in place of the chart's; of at most 16 KiB as JSON."
    )
    labels: dict[str, LabelValue] = Field(
        default={},
        max_length=32,
        description="Labels of the Job and of its pod, besides the chart's, for example kueue.x-k8s.io/queue-name. "
        "The operator's own can't be changed.",
    )
    annotations: dict[str, Annotated[str, Field(max_length=8192)]] = Field(
        default={},
        max_length=32,
        description="Annotations of the Job and of its pod, besides the chart's, for example sidecar.istio.io/inject. "
        "The operator's own can't be changed.",
    )
    priority_class_name: Name | None = Field(None, description="Its pod's PriorityClass; the chart's when absent.")
    service_account_name: Name | None = Field(
        None, description="Its pod's ServiceAccount; the chart's when absent. Its token is not mounted."
    )
    runtime_class_name: Name | None = Field(None, description="Its pod's RuntimeClass; the chart's when absent.")
    image_pull_secrets: list[PullSecret] = Field(
        default=[], max_length=16, description="Secrets with registry credentials, besides the chart's."
    )
    security_context: TransferSecurityContext = Field(
        TransferSecurityContext(), description="User and groups, to match the volume's owner."
    )


DEFAULTS = Transfer(security_context=TransferSecurityContext(run_as_user=USER, run_as_group=USER, fs_group=USER))
"""What holds for all jobs where the chart says nothing else, but for the resources."""

OPEN = ("run_as_user", "run_as_group", "fs_group")
"""What the chart can leave to the namespace."""
