"""Where a job's data is and goes, as the API server shows it; and what moves it."""

import asyncio

from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.reasons import Reason
from llmbatch.kube.client import Cluster
from llmbatch.kube.following import Following
from llmbatch.kube.once import Once
from llmbatch.kube.permissions import CONFIGMAPS, KUBERNETES_JOBS, SECRETS
from llmbatch.kube.values import value_of
from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.queue import WorkQueue
from llmbatch.settings import Settings
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfers.claims import Claims
from llmbatch.transfers.failures import Failures
from llmbatch.transfers.followed import SELECTOR, Followed
from llmbatch.transfers.here import Here, goes_with_job
from llmbatch.transfers.inputs import Inputs
from llmbatch.transfers.objects import settle_ownership, taken
from llmbatch.transfers.transfer_jobs import TransferJobs


class Transfers:
    """Runs uploads and collections."""

    def __init__(self, cluster: Cluster, settings: Settings, metrics: Metrics, queue: WorkQueue) -> None:
        """Prepare the threads for data that needs no pod."""
        self._cluster, failures = cluster, Failures(metrics)
        self.inputs = Inputs()
        self.jobs = TransferJobs(cluster, settings, failures, Followed(queue))
        self.here = Here(cluster, failures)
        self.claims = Claims(cluster)
        self._namespaces: tuple[str | None, ...] = settings.watch_namespaces or (None,)

    async def follow(self) -> None:
        """Follow the transfer Jobs, for ever."""
        followed = self.jobs.followed
        every = (Following(self._cluster, KUBERNETES_JOBS, where, SELECTOR, followed) for where in self._namespaces)
        await asyncio.gather(*(following.run() for following in every))

    # --- here --------------------------------------------------------------------------------------------------------

    async def read_input(self, namespace: str, job: BatchJobSpec) -> bytes | Problem | None:
        """Read the input from a ConfigMap or Secret; None when it is in a volume."""
        if job.input.persistent_volume_claim is not None:
            return None
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
            return await self.claims.problem_of_late(owner.namespace, volume.claim_name, "spec.output", once=once)
        if place is None:
            return Problem(reason=Reason.INVALID_SPEC, message="spec.output names no place.")
        return await taken(self._cluster, SECRETS if job.output.secret else CONFIGMAPS, owner, place.name)

    async def settle_ownership(self, owner: Owner, job: BatchJobSpec) -> None:
        """Have stored results in a Secret or ConfigMap go with the BatchJob, or not, as its spec says."""
        place = job.output.secret or job.output.config_map
        if place is not None and self.here.owned.pop(owner.uid, None) != goes_with_job(job):
            resource = SECRETS if job.output.secret else CONFIGMAPS
            await settle_ownership(self._cluster, resource, owner, place.name, owned=goes_with_job(job))

    def close(self) -> None:
        """Let the threads end."""
        self.here.close()
