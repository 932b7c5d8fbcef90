"""What a BatchJob's status says of each of its batches."""

from typing import Any, Literal, Self

from pydantic import Field

from llmbatch.api.base import Model, Time
from llmbatch.api.counts import RequestCounts, Usage

MOST_REFUSED = 64
"""Refused batches of a file that status holds."""
MOST_REFUSED_CHARACTERS = 4096
"""Of their ids together: a hundred parts may each have been refused that often, and an object has 1.5 MiB."""


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
    answer: str | None = Field(
        None,
        description="What the call came to, where that doesn't tell whether it made a batch: a timeout, 5xx, a page.",
    )
    foreign_answer: bool | None = Field(
        None,
        description="Set when the call was answered with a batch of another file or job: without a batch of this job's in the list, a person decides.",
    )


class Source(Model):
    """The bytes of the input that a part was cut from."""

    offset: int = Field(description="Where they begin in the input.")
    bytes: int = Field(description="How many they are, as they are in the input.")
    crc32: str = Field(description="Their CRC-32 in hexadecimal; with another one the input was changed.")


class State(Model):
    """Where a batch of a job with several is: what Ready would say, had the job no other."""

    phase: str = Field(description="Where the batch is.")
    status: Literal["True", "False", "Unknown"] = Field(description="As in a job's Ready condition.")
    reason: str = Field(description="Why, in one word.")
    message: str = Field("", max_length=512, description="Why, for a person, and what to do about it.")
    since_time: Time = Field(description="When the status last changed.")
    observed_generation: int | None = Field(
        None,
        description="Generation of the spec that it tells of; of what needs a person, who may have changed it since.",
    )


class PartResults(Model):
    """The results of one batch of several, stored by themselves in a volume until those of all are put together."""

    bytes: int = Field(description="Size of the results, in bytes.")
    requests: int = Field(description="Lines in the results.")
    sha256: str = Field(description="SHA-256 of the results, in hexadecimal.")
    errors_bytes: int | None = Field(None, description="Size of the failed requests, in bytes; absent without any.")
    errors_sha256: str | None = Field(None, alias="errorsSHA256", description="SHA-256 of the failed requests.")
    foreign_bytes: int | None = Field(None, description="Size of the lines that fit no request; absent without any.")
    foreign_sha256: str | None = Field(None, alias="foreignSHA256", description="SHA-256 of those lines.")
    usage: Usage | None = Field(None, description="Tokens used, summed over the answers.")
    stored_time: Time = Field(description="When they were durably stored.")


class Refusal(Model):
    """Why there is nothing to collect of a part: its batch was refused, or never could be made."""

    reason: str = Field(description="Why, in one word.")
    message: str = Field(max_length=512, description="Why, for a person.")


class Unfinished(Model):
    """Requests of a batch that failed in a way that may pass, as spec.requestFailurePolicy says."""

    requests: int = Field(description="How many they are.")
    missing: int | None = Field(None, description="Of them, those without a result line that can be read.")
    bytes: int = Field(0, description="Size of their lines of the input, in bytes.")
    crc32: str = Field("", description="CRC-32 of these lines in hexadecimal.")
    again: bool | None = Field(None, description="True: they are to be sent again; absent: there is no attempt left.")
    since_time: Time = Field(description="Since when they are known; the delay before the next attempt begins then.")


class Batch(Model):
    """A batch at the provider: one attempt at one part of the input, or at what is unfinished of several."""

    part: int | None = Field(
        None, description="Number of the part of the input, from 0; the first of them, of several."
    )
    attempt: int | None = Field(None, description="Number of the attempt at the part's requests, from 1.")
    parts: list[int] = Field(
        default=[], description="From the second attempt on: the parts whose unfinished requests it sends again."
    )
    unfinished: Unfinished | None = Field(
        None,
        description="Requests that failed in a way that may pass; present once its results were looked at, of a job with"
        " backoffLimitPerRequest or requestFailurePolicy.",
    )

    first_request: int | None = Field(None, description="Number of the part's first request in the input, from 0.")
    requests: int | None = Field(None, description="Requests of the batch.")
    bytes: int | None = Field(None, description="Size of the file that is sent, in bytes.")
    estimated_tokens: int | None = Field(
        None, description="Tokens that its requests are estimated to take of the quota; see input.estimatedTokens."
    )
    sha256: str | None = Field(None, description="SHA-256 of the file that was sent, in hexadecimal.")
    source: Source | None = Field(None, description="Where the part is in the input; of a job with several parts.")
    missing_requests: int | None = Field(
        None, description="Requests of the part without a result line that can be read; see output.missingRequests."
    )
    never_run: int | None = Field(
        None,
        description="Of them, those that the provider says it had not run when the batch was cancelled; they are in no doubt.",
    )
    foreign_requests: int | None = Field(
        None, description="Lines of its files that fit no request; see output.foreignRequests."
    )
    refusal: Refusal | None = Field(
        None, description="Why the part has come to nothing; its requests are counted as failed."
    )
    results: PartResults | None = Field(
        None, description="The part's own results, in a volume, until those of all parts are put together."
    )
    state: State | None = Field(None, description="Where the batch is; of a job with several parts.")
    create_calls: int | None = Field(None, description="Create calls begun so far.")
    submission: Submission | None = Field(None, description="Present only while the answer to a create call is owed.")
    submission_time: Time | None = Field(None, description="When the batch was made.")
    recorded_time: Time | None = Field(None, description="When its id was stored, by the API server's clock.")
    duplicates_checked_time: Time | None = Field(
        None, description="When the gateway's list was last searched for other batches of the same submission."
    )
    upload_tries: UploadTries | None = Field(None, description="Present only while the upload fails.")
    id: str | None = Field(None, description="Id of the batch; absent until it is made.")
    input_file_id: str | None = Field(None, alias="inputFileID", description="Id of the uploaded input file.")
    uploaded_time: Time | None = Field(None, description="When the input file was uploaded.")
    refused_ids: list[str] = Field(
        default=[],
        max_length=MOST_REFUSED,
        alias="refusedIDs",
        description="Earlier batches of the same file, which the provider failed for want of quota or because it did not know the file yet; the last 64, fewer where their ids are long.",
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

    @property
    def label(self) -> str:
        """Name the batch among those of its job: by its part, and from the second attempt on by that too."""
        return f"{self.part or 0}" if (self.attempt or 1) == 1 else f"{self.part or 0}.{self.attempt}"

    @property
    def is_one_of_several(self) -> bool:
        """Tell whether its job has parts, though perhaps only one."""
        # Of one that has ended, where it was in the input is not kept.
        return self.source is not None or self.state is not None or (self.attempt or 1) > 1


class Summary(Model):
    """What status says of all batches together; each batch's own entry is what counts."""

    submission_time: Time | None = Field(None, description="When the first batch was made.")
    duplicates_checked_time: Time | None = Field(
        None,
        description="When the gateway's list was last searched for other batches of this job; absent until that was done for"
        " every batch.",
    )
    submission: Submission | None = Field(
        None, description="The oldest of the intents whose answer is owed; see batches[].submission."
    )
    attempts: int | None = Field(None, description="Create calls begun so far.")
    upload_tries: UploadTries | None = Field(
        None, description="The first of batches[].uploadTries: present only while an upload fails."
    )

    @classmethod
    def names(cls) -> list[str]:
        """Give the fields' names as they are stored."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @classmethod
    def of(cls, batches: list[Batch]) -> Self:
        """Sum up the entries of a status."""
        made = [batch.submission_time for batch in batches if batch.submission_time is not None]
        checked = [batch.duplicates_checked_time for batch in batches]
        owed = [batch.submission for batch in batches if batch.submission is not None]
        return cls(
            submission_time=min(made, default=None),
            duplicates_checked_time=min((moment for moment in checked if moment is not None), default=None)
            if None not in checked
            else None,
            submission=min(owed, key=lambda intent: intent.intent_time, default=None),
            attempts=sum(batch.create_calls or 0 for batch in batches) or None,
            upload_tries=next((batch.upload_tries for batch in batches if batch.upload_tries), None),
        )


OF_THE_BATCH = ("submission", "submissionTime", "duplicatesCheckedTime", "uploadTries")
"""What earlier releases said of the job, who had one batch only, and what is now said of each batch."""


def entries(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the batches of a stored status, without judging it otherwise."""
    found = with_entries(data).get("batches")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def with_entries(data: dict[str, Any]) -> dict[str, Any]:
    """Give the job's one batch what an earlier release has said of the job.

    Such a release may work again after this one, and then writes nothing but its own fields: an intent that only the job
    tells of is an intent.
    """
    found, told = data.get("batches") or [], data.get("attempts") or 0
    if not isinstance(told, int) or not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        # It can't be read, which the model says better.
        return data
    given: dict[str, Any] = {
        name: data[name]
        for name in OF_THE_BATCH
        if data.get(name) is not None and not any(entry.get(name) for entry in found)
    }
    calls = told - sum(entry.get("createCalls") or 0 for entry in found)
    if calls > 0:
        given["createCalls"] = calls + ((found[0].get("createCalls") or 0) if found else 0)
    if not given:
        return data
    first, *others = found or [{}]
    return {**data, "batches": [{**first, **given}, *others]}
