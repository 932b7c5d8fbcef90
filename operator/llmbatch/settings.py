"""The operator's settings, from environment variables that the Helm chart sets."""

import json
import os
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from llmbatch.api.transfer import DEFAULTS, Transfer

PREFIX = "LLMBATCH_"


class Settings(BaseModel):
    """Settings of the operator; each field is the variable LLMBATCH_<FIELD>."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    namespace: str = "default"
    """Namespace the operator runs in."""
    pod_name: str = "llmbatch"
    pod_uid: str = ""
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces to work in; empty: all."""
    image: str = "llmbatch"
    """Image of the transfer Job."""
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    metrics_port: int = Field(8080, ge=0, le=65535)
    """Port of /metrics, /livez and /readyz; 0 takes a free one."""
    metrics_address: str = ""
    """Address that port is bound to; empty: all."""
    metrics_of_gateways: bool = True
    """Tell of each BatchGateway by namespace and name; without, no metric names a namespace or a BatchGateway."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    settle_seconds: float = Field(120, gt=0)
    recheck_seconds: float = Field(15, gt=0)
    cleanup_timeout_seconds: float = Field(300, gt=0)
    stall_after_seconds: float = Field(120, ge=0)
    """How long what often passes by itself (a missing Secret, a pod that no node takes yet) is Reconciling before it is Stalled."""
    request_retry_seconds: float = Field(60, gt=0)
    """Before requests that failed in a way that may pass are sent again; it doubles with each attempt."""
    ca_file: str = ""
    """File with PEM certificates of authorities that are trusted besides the system's, here and in transfer pods."""
    lease_name: str = "llmbatch"
    """Name of the Lease in `namespace` by which one of several operators is chosen to work."""
    lease_seconds: float = Field(15, ge=1)
    """A leader that has not been heard of for so long is replaced."""
    renew_seconds: float = Field(10, gt=0)
    """A leader that could not renew the Lease for so long ends; less than lease_seconds."""
    retry_seconds: float = Field(2, gt=0)
    """Time between two looks at the Lease."""
    workers: int = Field(32, ge=1, le=1000)
    transfer_resources: dict[str, Any] = {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"memory": "256Mi"},
    }

    transfer_defaults: Transfer = DEFAULTS
    """What holds for all transfer Jobs, besides the resources, where a BatchJob's spec.transfer says nothing else."""

    @field_validator("watch_namespaces", "image_pull_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("transfer_resources", mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        return json.loads(value) if isinstance(value, str) else value

    @field_validator("transfer_defaults", mode="before")
    @classmethod
    def _parse_transfer(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        # A chart's value that is not set is "".
        return Transfer.parse({name: item for name, item in json.loads(value).items() if item not in ("", {}, [])})

    @model_validator(mode="after")
    def _lease_outlasts_its_holder(self) -> Self:
        if not self.retry_seconds < self.renew_seconds < self.lease_seconds:
            raise ValueError("LLMBATCH_RETRY_SECONDS < LLMBATCH_RENEW_SECONDS < LLMBATCH_LEASE_SECONDS is needed")
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the settings; an empty variable counts as absent.

        Raises:
            pydantic.ValidationError: A variable has a value that can't be used.
        """
        found = os.environ if environment is None else environment
        given = {name: found.get(PREFIX + name.upper(), "") for name in cls.model_fields}
        return cls.model_validate({name: value for name, value in given.items() if value})
