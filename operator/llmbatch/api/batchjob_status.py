"""The status of a BatchJob: what the operator has done and found out."""

from enum import StrEnum

from pydantic import Field

from llmbatch.api.base import Model, ObservedGeneration, Time
from llmbatch.api.conditions import Condition, Conditions

MOST_REFUSED = 64
"""Refused batches of a file that status holds."""


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


class RequestCounts(Model):
    """Requests of the batch. While it runs: as the provider tells. At the end: as counted from the result lines."""

    total: int = Field(description="Requests in the input.")
    completed: int = Field(description="Requests that succeeded (status_code 200 and no error).")
    failed: int = Field(description="Requests that failed; one without a result line counts as failed.")


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


class Batch(Model):
    """A batch at the provider, made of one part of the input."""

    id: str | None = Field(None, description="Id of the batch; absent until it is made.")
    input_file_id: str | None = Field(None, alias="inputFileID", description="Id of the uploaded input file.")
    uploaded_time: Time | None = Field(None, description="When the input file was uploaded.")
    refused_ids: list[str] = Field(
        default=[],
        max_length=MOST_REFUSED,
        alias="refusedIDs",
        description="Earlier batches of the same file, which the provider failed for want of quota or because it did not know the file yet; the last 64.",
    )
    output_file_id: str | None = Field(None, alias="outputFileID", description="Id of the file with the answers.")
    error_file_id: str | None = Field(None, alias="errorFileID", description="Id of the file with the failed requests.")
    status: str | None = Field(None, description="Status in the provider's own words.")
    request_counts: RequestCounts | None = Field(None, description="Counts as the provider tells them.")
    created_at: Time | None = Field(None, description="When the provider made the batch.")
    in_progress_at: Time | None = Field(None, description="When the provider began to run it.")
    finalizing_at: Time | None = Field(None, description="When the provider began to prepare the results.")
    completed_at: Time | None = Field(None, description="When the batch ended, in whatever way.")
    expires_at: Time | None = Field(None, description="When the completion window closes.")
    late_since: Time | None = Field(
        None, description="Since when results are waited for that the ended batch owes; absent once they are stored."
    )
    looked_at: Time | None = Field(None, description="When they were last looked for; the delays grow.")


class UploadTries(Model):
    """Uploads that failed since the last one that succeeded."""

    failures: int = Field(description="Uploads that failed in a row; the delays grow with them.")
    unanswered: int = Field(
        0, description="Of them, those that were sent and got no usable answer; each may have left a copy."
    )
    last_time: Time = Field(description="When the last one failed.")
    generation: int = Field(description="Generation of the spec that they were made for; another one is tried at once.")


class Submission(Model):
    """The intent to create a batch, written before the call; present only while an answer is owed."""

    attempt: int = Field(description="Number of the attempt, from 1.")
    intent_time: Time = Field(description="When the intent was written.")
    since: Time | None = Field(
        None,
        description="Set when the status that told of earlier attempts was lost: batches of this job made since then are looked for.",
    )
    unusable: bool | None = Field(
        None, description="Set when the batch was made under an id that can't be used: it is not submitted again."
    )
    refusal: str | None = Field(
        None,
        description="What the call was refused with for good. It is believed once a look at the gateway's list after the settle period has shown no batch: a proxy on the way may have sent the call twice.",
    )
    foreign_answer: bool | None = Field(
        None,
        description="Set when the call was answered with a batch of another file or job: without a batch of this job's in the list, a person decides.",
    )


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
    submission_time: Time | None = Field(None, description="When the batch was made.")
    duplicates_checked_time: Time | None = Field(
        None, description="When the gateway's list was last searched for other batches of this job."
    )
    completion_time: Time | None = Field(None, description="When the job ended, well or not.")
    input: InputStatus | None = Field(None, description="The input as it was sent.")
    batches: list[Batch] = Field(
        default=[], max_length=64, description="The provider's batches, one per part of the input."
    )
    submission: Submission | None = Field(None, description="Present only while the answer to a create call is owed.")
    attempts: int | None = Field(None, description="Create calls begun so far.")
    upload_tries: UploadTries | None = Field(None, description="Present only while the upload fails.")
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

    def condition(self, kind: str) -> Condition | None:
        """Find a condition by its type."""
        return next((item for item in self.conditions if item.type == kind), None)

    def holds(self, kind: str) -> bool:
        """Tell whether a condition is there and True."""
        found = self.condition(kind)
        return found is not None and found.status == "True"
