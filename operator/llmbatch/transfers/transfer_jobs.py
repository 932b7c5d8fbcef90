"""The transfer Jobs of a BatchJob: made, looked at, replaced and removed."""

import os
from collections.abc import Collection
from typing import Any

from llmbatch import crash
from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.reasons import Reason
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.once import Once
from llmbatch.kube.permissions import KUBERNETES_JOBS
from llmbatch.settings import Settings
from llmbatch.transfer.pure import connections, manifest, naming
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.plan import Plan
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfer.pure.state import Blocked, Ended, TransferState, Working
from llmbatch.transfers.failures import Failures
from llmbatch.transfers.followed import Followed
from llmbatch.transfers.looking import Looks, is_finished, name_of

Json = dict[str, Any]

REPLACED = "The transfer Job is made anew: what its pod is made from has changed before it started."
LEAVING = Working(Problem(reason=Reason.TRANSFER_PENDING, message="The last transfer Job is being removed."))


class TransferJobs:
    """Makes transfer Jobs and looks at them."""

    def __init__(self, cluster: Cluster, settings: Settings, failures: Failures, followed: Followed) -> None:
        """Take what a Job's pod is made from, besides the BatchJob."""
        self._cluster, self._settings = cluster, settings
        self.followed, self._looks = followed, Looks(cluster, followed)
        self._failures = failures
        self._proxies = connections.proxies_of(os.environ)

    async def start(
        self,
        owner: Owner,
        job: BatchJobSpec,
        gateway: BatchGatewaySpec | None,
        plan: Plan,
        *,
        beside: Collection[Plan] = (),
    ) -> Problem | None:
        """Start the transfer Job; one that is there already is the same one. Answers why it can't be made.

        Args:
            owner: The BatchJob.
            job: Its spec.
            gateway: Its gateway's.
            plan: What is to be done.
            beside: What other Jobs of the BatchJob are at work on; all but these are of an earlier plan.
        """
        try:
            await self.create(owner, job, gateway, plan, beside=beside)
        except ClusterError as error:
            if not error.refuses:
                raise
            return Problem(reason=Reason.TRANSFER_REFUSED, message=f"The transfer Job can't be made: {error}")
        return None

    async def create(
        self,
        owner: Owner,
        job: BatchJobSpec,
        gateway: BatchGatewaySpec | None,
        plan: Plan,
        *,
        beside: Collection[Plan] = (),
    ) -> None:
        """Make the transfer Job, if it is not there yet; without a gateway for a plan that calls none.

        Raises:
            ClusterError: It can't be made.
        """
        body = manifest.manifest(owner, job, gateway, plan, self._settings, proxies=self._proxies)
        # Of an earlier plan (another output, another gateway): nobody would read what they report.
        kept = {name_of(owner, other) for other in beside}
        kept |= {self._looks.named[name] for name in kept if name in self._looks.named}
        await self.remove_others(owner, body["metadata"]["name"], *kept)
        try:
            with crash.around(crash.Effect.START_TRANSFER):
                made = await self._cluster.create(KUBERNETES_JOBS, owner.namespace, body)
        except ClusterError as error:
            if error.status != 409:
                raise
            name = body["metadata"]["name"]
            found = await self._looks.asked(owner.namespace, name)
            if found is not None and not _is_of(found, owner):
                # It would be made again and again, and what it does never be read.
                why = f"Job {owner.namespace}/{name} exists without the labels of this BatchJob's; delete it, and the job goes on"
                raise ClusterError(422, "Invalid", why) from None
        else:
            self.followed.answered(made)

    async def state(
        self,
        owner: Owner,
        job: BatchJobSpec,
        gateway: BatchGatewaySpec | None,
        plan: Plan,
        once: Once | None = None,
    ) -> TransferState | None:
        """Look at the transfer Job of a plan; None when there is none.

        One that was made from another template (spec.transfer, image, connection, the operator's settings) and whose
        container has not started is removed, so that it is made anew.
        """
        wanted = manifest.manifest(owner, job, gateway, plan, self._settings, proxies=self._proxies)
        name = wanted["metadata"]["name"]
        found = await self._looks.find(owner, plan, name, once)
        if found is None:
            return None
        if "deletionTimestamp" in found["metadata"]:
            return LEAVING
        is_current = _is_made_from(found, wanted)
        # Whether its container has started is then the pod's to say.
        state = await self._looks.read(owner, found, once, by_job=is_current)
        if isinstance(state, Ended):
            self._failures.job(plan.kind, found["metadata"]["uid"], state)
        held = isinstance(state, Blocked) or (isinstance(state, Working) and not state.running)
        if held and not is_current:
            await self.remove(owner, plan)
            return Working(Problem(reason=Reason.TRANSFER_PENDING, message=REPLACED))
        return state

    async def remove(self, owner: Owner, plan: Plan) -> None:
        """Remove the transfer Job of a plan, so that the next try starts a new one."""
        name = name_of(owner, plan)
        with crash.around(crash.Effect.REMOVE_TRANSFER):
            await self._delete(owner.namespace, name)
            if (other := self._looks.named.pop(name, None)) is not None:
                await self._delete(owner.namespace, other)

    async def _delete(self, namespace: str, name: str) -> None:
        await self._cluster.delete(KUBERNETES_JOBS, namespace, name)
        self.followed.removed(namespace, name)

    async def remove_others(self, owner: Owner, *names: str) -> None:
        """Remove the BatchJob's transfer Jobs that have not ended, but those of these names.

        Of a Job whose report is taken another container may keep the pod alive for ever.
        """
        for job in await self._looks.listed.jobs(owner):
            metadata = job["metadata"]
            if metadata["name"] in names or "deletionTimestamp" in metadata or is_finished(job):
                continue
            state = await self._looks.read(owner, job)
            # One that has ended and is about to be told so keeps its log.
            if not isinstance(state, Ended) or state.lingers:
                await self._delete(owner.namespace, metadata["name"])


def _is_of(job: Json, owner: Owner) -> bool:
    labels = job["metadata"].get("labels") or {}
    return (labels.get(naming.LABEL_MANAGED_BY), labels.get(naming.LABEL_UID)) == (naming.MANAGER, owner.uid)


def _is_made_from(job: Json, wanted: Json) -> bool:
    """Tell whether a Job was made from the wanted template; one that doesn't say is left alone."""
    said = (job["metadata"].get("annotations") or {}).get(manifest.TEMPLATE_ANNOTATION)
    return said is None or said == wanted["metadata"]["annotations"][manifest.TEMPLATE_ANNOTATION]
