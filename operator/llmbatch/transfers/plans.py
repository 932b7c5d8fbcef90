"""What a transfer is asked, from a job's spec and status and its gateway's spec."""

from dataclasses import dataclass
from typing import Any, Self

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.batchjob import MAX_OBJECT_BYTES, BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus, InputStatus
from llmbatch.batch.pure import late
from llmbatch.batch.pure.observation import Observation
from llmbatch.common.tokens import BYTES_PER_TOKEN
from llmbatch.provider.pure.connection import Connection
from llmbatch.transfer.pure import naming
from llmbatch.transfer.pure.destination import Destination
from llmbatch.transfer.pure.mounts import INPUT_ROOT, OUTPUT_ROOT
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.plan import (
    OBJECTS_FILE,
    CollectPlan,
    Judging,
    Rests,
    UploadPlan,
    errors_path,
    foreign_path,
    part_path,
)

INLINE_SECONDS = 60
RESULTS_FILE = "results.jsonl"
"""Name of the results in a folder of our own."""
ROOM_FOR_KEYS = 2048
"""What a Secret's or ConfigMap's keys may take of its 1 MiB."""


@dataclass(frozen=True)
class Look:
    """How results are looked at: with patience for what is not there yet, or with what there is."""

    patient: bool = False
    accept_missing: bool = False

    @classmethod
    def of(cls, seen: Observation) -> Self:
        """Look with patience until the wait is over."""
        nothing = seen.batch.refusal is not None
        return cls(patient=not (nothing or late.is_over(seen)), accept_missing=nothing or seen.accepts_missing)


def upload_plan(
    owner: Owner,
    job: BatchJobSpec,
    gateway: BatchGatewaySpec,
    connection: Connection,
    *,
    batch: Batch,
    attempt: int,
    rests: Rests | None = None,
    look: bool = False,
) -> UploadPlan:
    """Plan an upload; the same job gives the same plan, but for whether the file is looked for first.

    Args:
        owner: The BatchJob.
        job: Its spec.
        gateway: Its gateway's.
        connection: How that is reached.
        batch: What is sent.
        attempt: Number of the create call that is to follow.
        rests: What a later attempt sends, in place of the input.
        look: An earlier try may have sent the file.
    """
    volume, target = job.input.persistent_volume_claim, job.output.persistent_volume_claim
    limits, source = gateway.limits, batch.source
    of_part: dict[str, Any] = {}
    if source is not None:
        of_part = {"offset": source.offset, "length": source.bytes, "crc32": int(source.crc32, 16)}
    elif rests is not None:
        of_part = {"rests": rests} if target else {}
        volume = target
    else:
        least = job.success_policy.min_succeeded if job.success_policy is not None else None
        of_part = {
            "split": True if job.split_policy == "Auto" else None,
            "cut_always": True if job.judges_requests or limits.max_enqueued_tokens else None,
            "bytes_per_token": limits.bytes_per_token if limits.bytes_per_token != BYTES_PER_TOKEN else None,
            "max_tokens": limits.max_enqueued_tokens or None,
            "token_ceiling": job.max_estimated_tokens or None,
            "min_requests": least if isinstance(least, int) else None,
        }
    is_cut = source is not None or rests is not None
    return UploadPlan(
        connection=connection if volume else patient(connection),
        filename=naming.upload_filename(owner.uid, batch.label, attempt),
        endpoint=job.endpoint,
        model=job.model,
        # A part stays as it was cut, whatever the limits are by now.
        max_bytes=max(limits.max_file_bytes, batch.bytes or 0) if is_cut else limits.max_file_bytes,
        max_requests=batch.requests or 0 if is_cut else limits.max_requests_per_file,
        max_line_bytes=max(limits.max_line_bytes, batch.bytes or 0) if is_cut else limits.max_line_bytes,
        root=INPUT_ROOT if volume and rests is None else None,
        path=volume.path if volume and rests is None else None,
        output_root=OUTPUT_ROOT if volume and target else None,
        output_path=target.path if volume and target else None,
        look=look,
        **of_part,
    )


def collect_plan(
    job: BatchJobSpec,
    status: BatchJobStatus,
    connection: Connection,
    look: Look,
    *,
    rests: Rests | None = None,
    root: str | None = None,
    has_input: bool = False,
) -> CollectPlan:
    """Plan a collection, into the output volume or (with `root`) into a folder of our own, in which the input may be."""
    batch, volume = status.batches[0], job.output.persistent_volume_claim
    # Of a batch that was found again after the status was lost, only the count is known: the uploaded file tells the rest.
    counts = batch.request_counts or status.request_counts
    uid = status.uid or ""
    target = volume.path if volume is not None else RESULTS_FILE
    of_part = batch.is_one_of_several and (volume is not None or root is not None)
    unknown = InputStatus(bytes=0, requests=counts.total if counts is not None else 0, sha256="")
    return CollectPlan(
        connection=connection if volume else patient(connection),
        input_file_id=batch.input_file_id,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        endpoint=job.endpoint,
        model=job.model,
        order=job.output.order,
        input=status.input or unknown,
        **_input_of(job, batch, root=root, rests=rests, has_input=has_input),
        output_root=root or OUTPUT_ROOT,
        output_path=part_path(target, uid, batch.part or 0, batch.attempt) if of_part else target,
        offset=batch.source.offset if batch.source is not None else None,
        length=batch.source.bytes if batch.source is not None else None,
        judging=Judging(policy=job.request_failure_policy) if of_part and job.judges_requests else None,
        rests=rests if volume is not None else None,
        patient=look.patient,
        left_out=late.left_out(batch),
        accept_missing=look.accept_missing,
        max_output_bytes=MAX_OBJECT_BYTES - ROOM_FOR_KEYS if volume is None else None,
    )


def is_unsent(batch: Batch) -> bool:
    """Tell whether a part has come to nothing before its file was sent, so that only the input names its requests."""
    return batch.source is not None and batch.refusal is not None and batch.input_file_id is None


def _input_of(
    job: BatchJobSpec, batch: Batch, *, root: str | None, rests: Rests | None, has_input: bool
) -> dict[str, Any]:
    """Say where a collection finds the input, besides at the provider."""
    volume, is_pod = job.input.persistent_volume_claim, job.output.persistent_volume_claim is not None
    if rests is not None:
        return {}
    told: dict[str, Any] = {"input_root": INPUT_ROOT, "input_path": volume.path if volume else OBJECTS_FILE}
    if batch.source is not None and is_unsent(batch) and (is_pod or volume is None):
        told["crc32"] = int(batch.source.crc32, 16)
        return {**told, "input_linked": None if volume else True} if is_pod else {**told, "input_root": root}
    if has_input and not batch.is_one_of_several:
        return {**told, "input_root": root}
    return told if is_pod and volume is not None else {}


def patient(connection: Connection) -> Connection:
    """Bound the silence that a transfer in the operator waits out: its thread serves other gateways' jobs too."""
    return connection.model_copy(update={"transfer_seconds": min(connection.transfer_seconds, INLINE_SECONDS)})


def volume_destination(claim: str, path: str) -> Destination:
    """Say where results in a volume are."""
    where = f"persistentvolumeclaim/{claim} path"
    return Destination(f"{where} {path}", f"{where} {errors_path(path)}", f"{where} {foreign_path(path)}")
