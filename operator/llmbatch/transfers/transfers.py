"""Moving data: here for ConfigMaps and Secrets, in a transfer Job for volumes."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from llmbatch import crash
from llmbatch.api.batch_status import Batch
from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.batchjob import MAX_OBJECT_BYTES, BatchJobSpec, KeyInObject
from llmbatch.api.batchjob_status import BatchJobStatus, InputStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import late
from llmbatch.batch.pure.observation import Observation
from llmbatch.gateway.credentials import Access, value_of
from llmbatch.kube.client import Cluster
from llmbatch.kube.permissions import CLAIMS, CONFIGMAPS, SECRETS
from llmbatch.provider.edge.pace import Bounds
from llmbatch.provider.pure.connection import Connection
from llmbatch.runtime.lanes import Lanes
from llmbatch.runtime.queue import Key
from llmbatch.settings import Settings
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure import naming
from llmbatch.transfer.pure.destination import Destination
from llmbatch.transfer.pure.manifest import INPUT_ROOT, OUTPUT_ROOT, Owner
from llmbatch.transfer.pure.plan import CollectPlan, UploadPlan, errors_path, foreign_path, part_path
from llmbatch.transfer.pure.report import CollectReport, Problem, UploadReport
from llmbatch.transfers.objects import settle_ownership, store, taken
from llmbatch.transfers.put_together import PutTogether
from llmbatch.transfers.transfer_jobs import TransferJobs

Json = dict[str, Any]

INLINE_SECONDS = 60
INLINE_WHOLE_SECONDS = 120.0
"""For a whole transfer in the operator, and for each megabyte of it another minute."""
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


@dataclass(frozen=True)
class Collected:
    """What became of a collection."""

    report: CollectReport
    """On all of it, or on the batch at which it ended."""
    destination: Destination | None = None
    parts: list[CollectReport] = field(default_factory=list)
    """On each batch, up to the one at which it ended."""


class Transfers:
    """Runs uploads and collections."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        """Prepare the threads for data that needs no pod."""
        self._cluster = cluster
        self.jobs = TransferJobs(cluster, settings)
        self._lanes = Lanes()

    # --- plans -------------------------------------------------------------------------------------------------------

    def upload_plan(
        self,
        owner: Owner,
        job: BatchJobSpec,
        gateway: BatchGatewaySpec,
        connection: Connection,
        *,
        batch: Batch,
        attempt: int,
        look: bool = False,
    ) -> UploadPlan:
        """Plan an upload; the same job gives the same plan, but for whether the file is looked for first."""
        volume, target = job.input.persistent_volume_claim, job.output.persistent_volume_claim
        limits, source = gateway.limits, batch.source
        of_part: dict[str, Any] = {}
        if source is not None:
            of_part = {"offset": source.offset, "length": source.bytes, "crc32": int(source.crc32, 16)}
        elif job.split_policy == "Auto":
            of_part = {"split": True}
        return UploadPlan(
            connection=connection if volume else patient(connection),
            filename=naming.upload_filename(owner.uid, batch.part or 0, attempt),
            endpoint=job.endpoint,
            model=job.model,
            # A part stays as it was cut, whatever the limits are by now.
            max_bytes=limits.max_file_bytes if source is None else max(limits.max_file_bytes, batch.bytes or 0),
            max_requests=limits.max_requests_per_file if source is None else batch.requests or 0,
            max_line_bytes=limits.max_line_bytes if source is None else max(limits.max_line_bytes, source.bytes),
            root=INPUT_ROOT if volume else None,
            path=volume.path if volume else None,
            output_root=OUTPUT_ROOT if volume and target else None,
            output_path=target.path if volume and target else None,
            look=look,
            **of_part,
        )

    def collect_plan(
        self, job: BatchJobSpec, status: BatchJobStatus, connection: Connection, look: Look, *, root: str | None = None
    ) -> CollectPlan:
        """Plan a collection, into the output volume or (with `root`) into a folder of our own."""
        batch, volume = status.batches[0], job.output.persistent_volume_claim
        source = job.input.persistent_volume_claim if volume is not None else None
        # Of a batch that was found again after the status was lost, only the count is known: the uploaded file tells the rest.
        counts = batch.request_counts or status.request_counts
        source_of, uid = batch.source, status.uid or ""
        target = volume.path if volume is not None else "results.jsonl"
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
            input_root=INPUT_ROOT if source else None,
            input_path=source.path if source else None,
            output_root=root or OUTPUT_ROOT,
            output_path=target if source_of is None or volume is None else part_path(target, uid, batch.part or 0),
            offset=source_of.offset if source_of is not None else None,
            length=source_of.bytes if source_of is not None else None,
            patient=look.patient,
            left_out=late.left_out(batch),
            accept_missing=look.accept_missing,
            max_output_bytes=MAX_OBJECT_BYTES - ROOM_FOR_KEYS if volume is None else None,
        )

    # --- here --------------------------------------------------------------------------------------------------------

    async def read_input(self, namespace: str, job: BatchJobSpec) -> bytes | Problem | None:
        """Read the input from a ConfigMap or Secret; None when it is in a volume, whose claim exists."""
        if (volume := job.input.persistent_volume_claim) is not None:
            return await self.claim_problem(namespace, volume.claim_name, "spec.input")
        resource, place = (SECRETS, job.input.secret) if job.input.secret else (CONFIGMAPS, job.input.config_map)
        if place is None:
            return Problem(reason=Reason.INVALID_SPEC, message="spec.input names no place.")
        kind = "Secret" if resource is SECRETS else "ConfigMap"
        found = await self._cluster.get(resource, namespace, place.name)
        if found is None:
            message = f"{kind} {namespace}/{place.name}, which spec.input names, does not exist; create it, and the job goes on."
            return Problem(reason=Reason.INPUT_NOT_FOUND, message=message)
        value = value_of(found, place.key)
        if value is None:
            message = f"{kind} {namespace}/{place.name} has no key '{place.key}', which spec.input names; add it, and the job goes on."
            return Problem(reason=Reason.INPUT_NOT_FOUND, message=message)
        return value

    async def output_problem(self, owner: Owner, job: BatchJobSpec) -> Problem | None:
        """Say what keeps results from being stored where spec.output says, as the API server shows it."""
        volume, place = job.output.persistent_volume_claim, job.output.secret or job.output.config_map
        if volume is not None:
            return await self.claim_problem(owner.namespace, volume.claim_name, "spec.output")
        if place is None:
            return Problem(reason=Reason.INVALID_SPEC, message="spec.output names no place.")
        return await taken(self._cluster, SECRETS if job.output.secret else CONFIGMAPS, owner, place.name)

    async def claim_problem(self, namespace: str, claim: str, where: str) -> Problem | None:
        """Say whether a PersistentVolumeClaim is missing, or of no use."""
        found = await self._cluster.get(CLAIMS, namespace, claim)
        told = f"PersistentVolumeClaim {namespace}/{claim}, which {where} names,"
        if found is None:
            message = f"{told} does not exist; create it, and the job goes on."
            return Problem(reason=Reason.VOLUME_CLAIM_NOT_FOUND, message=message)
        if found["metadata"].get("deletionTimestamp"):
            message = f"{told} is being deleted; create it anew, or name another one, and the job goes on."
            return Problem(reason=Reason.VOLUME_CLAIM_NOT_FOUND, message=message)
        if (found.get("status") or {}).get("phase") == "Lost":
            message = f"{told} has lost its volume; create it anew, or name another one, and the job goes on."
            return Problem(reason=Reason.VOLUME_CLAIM_UNBOUND, message=message)
        writes, claimed = where == "spec.output", found.get("spec") or {}
        unfit = Reason.OUTPUT_INVALID if writes else Reason.INPUT_NOT_FOUND
        if claimed.get("volumeMode") == "Block":
            message = (
                f"{told} is a block device (volumeMode Block) without files; name another one, and the job goes on."
            )
            return Problem(reason=unfit, message=message)
        if writes and claimed.get("accessModes") == ["ReadOnlyMany"]:
            message = f"{told} can't be written (accessModes ReadOnlyMany); name another one, and the job goes on."
            return Problem(reason=unfit, message=message)
        return None

    async def claim_exists(self, namespace: str, claim: str) -> bool:
        """Tell whether there is a PersistentVolumeClaim of that name."""
        return await self._cluster.get(CLAIMS, namespace, claim) is not None

    async def upload_here(self, plan: UploadPlan, data: bytes, access: Access, gateway: Key) -> UploadReport:
        """Upload data that is in memory."""
        bounds = Bounds(gateway.namespace, _whole_seconds(len(data)))
        return await self._lanes.run(gateway, partial(upload, plan, data, access.environ, bounds=bounds))

    async def collect_here(
        self,
        owner: Owner,
        job: BatchJobSpec,
        batches: Sequence[tuple[BatchJobStatus, Look]],
        access: Access,
        gateway: Key,
    ) -> Collected:
        """Collect the results of batches, given as the statuses of jobs with one each, into one Secret or ConfigMap."""
        place: KeyInObject | None = job.output.secret or job.output.config_map
        if place is None:
            raise ValueError("spec.output names no Secret or ConfigMap")
        resource = SECRETS if job.output.secret else CONFIGMAPS
        if (problem := await taken(self._cluster, resource, owner, place.name)) is not None:
            return Collected(CollectReport(problem=problem))
        together = PutTogether(MAX_OBJECT_BYTES - ROOM_FOR_KEYS)
        for status, look in batches:
            with tempfile.TemporaryDirectory(prefix="collect-") as folder:
                plan = self.collect_plan(job, status, access.connection, look, root=folder)
                plan = plan.model_copy(update={"max_output_bytes": together.left_bytes})
                # Results and failed requests may repeat lines, and the input is fetched for its order.
                bounds = Bounds(gateway.namespace, _whole_seconds(8 * MAX_OBJECT_BYTES + plan.input.bytes))
                report, parts = await self._lanes.run(gateway, _collect, plan, access, bounds)
            together.add(report, parts)
            if report.problem is not None:
                return Collected(report, parts=together.reports)
        report = together.report()
        data = {f"{place.key}{suffix}": part for suffix, part in together.content().items()}
        with crash.around(crash.Effect.STORE_RESULTS):
            problem = await store(self._cluster, resource, owner, place.name, data, owned=_goes_with_job(job))
        where = f"{'secret' if resource is SECRETS else 'configmap'}/{place.name} key"
        destination = Destination(f"{where} {place.key}", f"{where} {place.key}.errors", f"{where} {place.key}.foreign")
        return Collected(report.model_copy(update={"problem": problem}), destination, together.reports)

    async def settle_ownership(self, owner: Owner, job: BatchJobSpec) -> None:
        """Have stored results in a Secret or ConfigMap go with the BatchJob, or not, as its spec says."""
        place = job.output.secret or job.output.config_map
        if place is not None:
            resource = SECRETS if job.output.secret else CONFIGMAPS
            await settle_ownership(self._cluster, resource, owner, place.name, owned=_goes_with_job(job))

    def close(self) -> None:
        """Let the threads end."""
        self._lanes.close()


def _whole_seconds(size: int) -> float:
    return INLINE_WHOLE_SECONDS + 60 * size / MAX_OBJECT_BYTES


def _collect(plan: CollectPlan, access: Access, bounds: Bounds) -> tuple[CollectReport, dict[str, bytes]]:
    """Collect into a folder, and read back from it what was written: by the suffix of its key."""
    report = collect(plan, access.environ, bounds=bounds)
    if report.problem is not None:
        return report, {}
    there = {"": plan.output_path}
    if report.errors_requests:
        there[".errors"] = errors_path(plan.output_path)
    if report.foreign_bytes:
        there[".foreign"] = foreign_path(plan.output_path)
    return report, {suffix: Path(plan.output_root, path).read_bytes() for suffix, path in there.items()}


def patient(connection: Connection) -> Connection:
    """Bound the silence that a transfer in the operator waits out: its thread serves other gateways' jobs too."""
    return connection.model_copy(update={"transfer_seconds": min(connection.transfer_seconds, INLINE_SECONDS)})


def volume_destination(claim: str, path: str) -> Destination:
    """Say where results in a volume are."""
    where = f"persistentvolumeclaim/{claim} path"
    return Destination(f"{where} {path}", f"{where} {errors_path(path)}", f"{where} {foreign_path(path)}")


def _goes_with_job(job: BatchJobSpec) -> bool:
    return job.deletion_policy.output == "Delete"
