"""The status of a BatchJob: what the operator has done and found out."""

from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field

from llmbatch.api.base import Model, ObservedGeneration, Time
from llmbatch.api.batch_status import Batch, Summary, with_entries
from llmbatch.api.conditions import COMPLETE, FAILED, Condition, Conditions
from llmbatch.api.counts import RequestCounts, Usage


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


class InputStatus(Model):
    """The input as it was sent."""

    bytes: int = Field(description="Size of the file that was sent, in bytes.")
    requests: int = Field(description="Lines of the file that was sent, that is requests.")
    sha256: str = Field(description="SHA-256 of the file that was sent, in hexadecimal.")
    cleaned: bool | None = Field(
        None,
        description="True: byte-order marks, blank lines or white space at line ends were left out of what was sent."
        " Absent: nothing was; unless spec.model is set, the file that was sent is then the input itself, byte for byte.",
    )
    estimated_tokens: int | None = Field(
        None,
        description="Tokens that the requests are estimated to take of the quota: for each the bytes of its prompt through"
        " limits.bytesPerToken of the gateway, and its max_tokens, max_completion_tokens or max_output_tokens (256 without),"
        " times n or best_of.",
    )


class Queue(Model):
    """Where the job's next batch stands among those that wait for tokens of the gateway's quota."""

    position: int = Field(
        description="Its place in line when it was last told, from 1; told anew when it has halved, or more than doubled."
    )
    ahead_tokens: int = Field(description="Tokens of those before it, estimated.")
    reason: Literal["EnqueuedTokensExceeded", "QuotaExceeded"] = Field(
        description="EnqueuedTokensExceeded: the tokens reserved by the quota group and those of the batch are more than"
        " limits.maxEnqueuedTokens of the gateway, or than what it has learnt. QuotaExceeded: the provider has refused another"
        " batch of the gateway for want of quota, and that one tries first."
    )
    since: Time = Field(description="Since when it waits.")


class OutputStatus(Model):
    """The results as they were stored."""

    location: str = Field(description="Where the results are, for example secret/results key batch.jsonl.")
    errors_location: str | None = Field(None, description="Where the failed requests are; absent when there are none.")
    bytes: int = Field(description="Size of the results, in bytes.")
    requests: int = Field(description="Lines in the results.")
    sha256: str = Field(description="SHA-256 of the results, in hexadecimal.")
    errors_bytes: int | None = Field(None, description="Size of the failed requests, in bytes; absent without any.")
    errors_sha256: str | None = Field(
        None, alias="errorsSHA256", description="SHA-256 of the failed requests, in hexadecimal; absent without any."
    )
    missing_requests: int | None = Field(
        None,
        description="Requests without a result line that can be read; the remote files are then kept, but for requests that a cancelled batch never ran.",
    )
    foreign_requests: int | None = Field(
        None,
        description="Lines of the provider's files that fit no request: their custom_id is none of the input's (also: came back"
        " changed) or can't be read, or they are a second answer. The remote files are then kept.",
    )
    foreign_location: str | None = Field(
        None, description="Where those lines are; absent when there are none, or the destination has no room for them."
    )
    foreign_bytes: int | None = Field(None, description="Size of those lines as stored, in bytes; absent without any.")
    foreign_sha256: str | None = Field(
        None, alias="foreignSHA256", description="SHA-256 of those lines, in hexadecimal; absent without any."
    )
    stored_time: Time = Field(description="When they were durably stored.")


class Failure(Model):
    """One failed request, as an example of its kind."""

    custom_id: str = Field(alias="customID", description="The request's custom_id.")
    code: str = Field(description="The provider's error code, or the HTTP status of the request.")
    message: str = Field(
        description="The provider's error message, shortened; not shown when it quotes the request or can't be compared with it."
    )


class Trouble(Model):
    """What is in the way, and often passes by itself."""

    reason: str = Field(description="The reason that Ready gives.")
    since_time: Time = Field(description="Since when it has been in the way.")


class Stopped(Model):
    """Why nothing more is sent: a request failed in a way for which spec.requestFailurePolicy says FailJob."""

    custom_id: str = Field(alias="customID", description="The first such request's custom_id.")
    code: str = Field(description="The provider's error code, or the HTTP status of the request.")
    part: int = Field(description="The part of the input that it is in.")
    time: Time = Field(description="When it was found.")


class BatchJobStatus(Model):
    """What the operator has done and found out."""

    observed_generation: ObservedGeneration = Field(
        None, description="Generation of the spec that this status tells of; -1 until an operator has seen the object."
    )
    uid: str | None = Field(
        None, description="uid of the object that this status tells of; a restored copy of it is recognised by it."
    )
    phase: Phase | None = Field(None, description="Where the job is, for people; scripts read the conditions.")
    progress: str | None = Field(None, description="Requests answered, in percent.")
    request_counts: RequestCounts | None = Field(None, description="Requests in all, succeeded, failed.")
    start_time: Time | None = Field(None, description="When the operator first worked on the job.")
    completion_time: Time | None = Field(None, description="When the job ended, well or not.")
    input: InputStatus | None = Field(None, description="The input as it was sent.")
    queue: Queue | None = Field(
        None, description="Present only while a batch of the job waits for tokens of the gateway's quota."
    )
    parts: int | None = Field(
        None,
        description="Parts that the input was cut into; absent when it is one, unless single requests are judged (backoffLimitPerRequest, requestFailurePolicy) or the gateway has a limit of tokens.",
    )
    batches: list[Batch] = Field(
        default=[],
        max_length=1024,
        description="The provider's batches: one per part of the input, then those that send unfinished requests again.",
    )
    parts_location: str | None = Field(
        None,
        max_length=1536,
        description="Where the results of single batches are until those of all are put together; absent before there are any, and afterwards.",
    )
    stopped: Stopped | None = Field(
        None, description="Present once a request failed in a way for which spec.requestFailurePolicy says FailJob."
    )
    usage: Usage | None = Field(None, description="Tokens used, summed over the answers.")
    output: OutputStatus | None = Field(None, description="The results as they were stored.")
    failures: list[Failure] = Field(
        default=[], max_length=10, description="Examples of failed requests, the most frequent code first."
    )
    trouble: Trouble | None = Field(
        None,
        description="What is in the way and often passes by itself, for example a Secret that is missing. "
        "It is Reconciling until it has lasted for the operator's stallAfterSeconds, and then Stalled.",
    )
    conditions: Conditions = Field(
        default=[], description="Ready, Reconciling, Stalled, InputReady, Submitted, ResultsStored, Complete, Failed."
    )

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """Read from what the API server stores, also what a release stored whose batches had no entries of their own for it.

        Raises:
            pydantic.ValidationError: The object does not fit the model.
        """
        return super().parse(with_entries(data))

    def dump(self) -> dict[str, Any]:
        """Write as the API server stores it, with what the batches' entries come to."""
        return {**super().dump(), **self.summary.dump()}

    @property
    def summary(self) -> Summary:
        """What status says of all batches together."""
        return Summary.of(self.batches)

    def condition(self, kind: str) -> Condition | None:
        """Find a condition by its type."""
        return next((item for item in self.conditions if item.type == kind), None)

    def holds(self, kind: str) -> bool:
        """Tell whether a condition is there and True."""
        found = self.condition(kind)
        return found is not None and found.status == "True"

    @property
    def has_ended(self) -> bool:
        """Whether the job is Complete or Failed."""
        return self.holds(COMPLETE) or self.holds(FAILED)
