"""Conditions as Kubernetes has them (metav1.Condition)."""

from typing import Annotated, Literal

from pydantic import Field

from llmbatch.api.base import Model, Time

READY = "Ready"
"""The job has ended well and its results are stored; for a gateway: it can be used. Always present."""
RECONCILING = "Reconciling"
"""The operator is working on the object or waiting for something that comes by itself. Present only while True."""
STALLED = "Stalled"
"""A person must act, or the job has failed; the message says what to do. Present only while True."""
INSECURE = "Insecure"
"""Of a gateway: its certificate is not checked. Present only while True."""
INPUT_READY = "InputReady"
"""The input was found, checked and uploaded."""
SUBMITTED = "Submitted"
"""The batch exists at the provider and its id is in status.batches."""
RESULTS_STORED = "ResultsStored"
"""The results are durably stored at status.output.location."""
COMPLETE = "Complete"
"""Terminal: at least one request succeeded and everything is stored. Present only while True."""
FAILED = "Failed"
"""Terminal: nothing succeeded, or the batch did not run to its end. Present only while True."""


class Condition(Model):
    """One aspect of an object's state."""

    type: str = Field(max_length=64, description="Name of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition holds.")
    observed_generation: int | None = Field(None, description="Generation of the spec that this condition tells of.")
    last_transition_time: Time = Field(description="When the status last changed.")
    reason: str = Field(max_length=64, description="Why, in one word.")
    message: str = Field("", max_length=4096, description="Why, for a person, and what to do about it.")


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
