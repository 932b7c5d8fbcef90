"""Where a job's data is and goes, as the API server shows it; and what moves it."""

from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.reasons import Reason
from llmbatch.kube.client import Cluster, Json
from llmbatch.kube.once import Once
from llmbatch.kube.permissions import CLAIMS, CONFIGMAPS, SECRETS
from llmbatch.kube.values import value_of
from llmbatch.runtime.metrics import Metrics
from llmbatch.settings import Settings
from llmbatch.transfer.pure.manifest import Owner
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfers.failures import Failures
from llmbatch.transfers.here import Here, goes_with_job
from llmbatch.transfers.inputs import Inputs
from llmbatch.transfers.objects import settle_ownership, taken
from llmbatch.transfers.transfer_jobs import TransferJobs

AT_ONCE = 4
"""Transfer Jobs of one BatchJob that are at work at the same time, where its volumes can be on several nodes."""
WRITTEN_BY_MANY = frozenset({"ReadWriteMany"})
READ_BY_MANY = WRITTEN_BY_MANY | {"ReadOnlyMany"}
"""Access modes of claims."""


class Transfers:
    """Runs uploads and collections."""

    def __init__(self, cluster: Cluster, settings: Settings, metrics: Metrics) -> None:
        """Prepare the threads for data that needs no pod."""
        self._cluster, failures = cluster, Failures(metrics)
        self.inputs = Inputs()
        self.jobs = TransferJobs(cluster, settings, failures)
        self.here = Here(cluster, failures)

    # --- here --------------------------------------------------------------------------------------------------------

    async def read_input(
        self, namespace: str, job: BatchJobSpec, *, once: Once | None = None
    ) -> bytes | Problem | None:
        """Read the input from a ConfigMap or Secret; None when it is in a volume, whose claim exists."""
        if (volume := job.input.persistent_volume_claim) is not None:
            return await self.claim_problem(namespace, volume.claim_name, "spec.input", once=once)
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

    async def output_problem(self, owner: Owner, job: BatchJobSpec, *, once: Once | None = None) -> Problem | None:
        """Say what keeps results from being stored where spec.output says, as the API server shows it."""
        volume, place = job.output.persistent_volume_claim, job.output.secret or job.output.config_map
        if volume is not None:
            return await self.claim_problem(owner.namespace, volume.claim_name, "spec.output", once=once)
        if place is None:
            return Problem(reason=Reason.INVALID_SPEC, message="spec.output names no place.")
        return await taken(self._cluster, SECRETS if job.output.secret else CONFIGMAPS, owner, place.name)

    async def claim_problem(
        self, namespace: str, claim: str, where: str, *, once: Once | None = None
    ) -> Problem | None:
        """Say whether a PersistentVolumeClaim is missing, or of no use."""
        found = await self._claim(namespace, claim, once)
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

    async def at_once(self, namespace: str, job: BatchJobSpec) -> int:
        """Say how many transfer Jobs of a BatchJob may be at work at one time: pods on several nodes need a volume for many."""
        source, target = job.input.persistent_volume_claim, job.output.persistent_volume_claim
        if not job.uses_volume:
            return 1
        for volume, modes in ((source, READ_BY_MANY), (target, WRITTEN_BY_MANY)):
            if volume is None:
                continue
            found = await self._cluster.get(CLAIMS, namespace, volume.claim_name)
            if found is None or not modes & set((found.get("spec") or {}).get("accessModes") or []):
                return 1
        return AT_ONCE

    async def _claim(self, namespace: str, claim: str, once: Once | None) -> Json | None:
        if once is None:
            return await self._cluster.get(CLAIMS, namespace, claim)
        return await once.ask(("claim", claim), lambda: self._cluster.get(CLAIMS, namespace, claim))

    async def claim_exists(self, namespace: str, claim: str) -> bool:
        """Tell whether there is a PersistentVolumeClaim of that name."""
        return await self._cluster.get(CLAIMS, namespace, claim) is not None

    async def settle_ownership(self, owner: Owner, job: BatchJobSpec) -> None:
        """Have stored results in a Secret or ConfigMap go with the BatchJob, or not, as its spec says."""
        place = job.output.secret or job.output.config_map
        if place is not None and self.here.owned.pop(owner.uid, None) != goes_with_job(job):
            resource = SECRETS if job.output.secret else CONFIGMAPS
            await settle_ownership(self._cluster, resource, owner, place.name, owned=goes_with_job(job))

    def close(self) -> None:
        """Let the threads end."""
        self.here.close()
