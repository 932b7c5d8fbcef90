"""The transfer Jobs of a BatchJob: made, looked at, replaced and removed."""

import os
from datetime import datetime
from typing import Any

from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.reasons import Reason
from llmbatch.core import naming, transfer_state
from llmbatch.core.plan import CollectPlan, Plan, Problem, UploadPlan
from llmbatch.core.transfer_state import Blocked, Ended, TransferState, Working
from llmbatch.edges import crash, transfer_job
from llmbatch.edges.cluster import Cluster, ClusterError
from llmbatch.edges.permissions import EVENTS, KUBERNETES_JOBS, PODS
from llmbatch.edges.transfer_job import Owner
from llmbatch.settings import Settings

Json = dict[str, Any]

REFUSED = frozenset({400, 403, 422})
"""The API server's answers to a transfer Job that it will not have: by quota, admission or permission."""
PATIENCE_SECONDS = 5.0
"""A pod that hasn't started by then is asked for its events."""
FINISHED = frozenset({"Complete", "Failed"})
REPLACED = "The transfer Job is made anew: what its pod is made from has changed before it started."
LEAVING = Working(Problem(reason=Reason.TRANSFER_PENDING, message="The last transfer Job is being removed."))


class TransferJobs:
    """Makes transfer Jobs and looks at them."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        """Take what a Job's pod is made from, besides the BatchJob."""
        self._cluster, self._settings = cluster, settings
        self._proxies = transfer_job.proxies_of(os.environ)

    async def start(
        self, owner: Owner, job: BatchJobSpec, gateway: BatchGatewaySpec, plan: UploadPlan | CollectPlan
    ) -> Problem | None:
        """Start the transfer Job; one that is there already is the same one."""
        try:
            await self.create(owner, job, gateway, plan)
        except ClusterError as error:
            if error.status not in REFUSED:
                raise
            return Problem(reason=Reason.TRANSFER_REFUSED, message=f"The transfer Job can't be made: {error}")
        return None

    async def create(self, owner: Owner, job: BatchJobSpec, gateway: BatchGatewaySpec | None, plan: Plan) -> None:
        """Make the transfer Job, if it is not there yet; without a gateway for a plan that calls none.

        Raises:
            ClusterError: It can't be made.
        """
        body = transfer_job.manifest(owner, job, gateway, plan, self._settings, proxies=self._proxies)
        # Of an earlier plan (another output, another gateway): nobody would read what they report.
        await self.remove_others(owner, body["metadata"]["name"])
        try:
            with crash.around(crash.Effect.START_TRANSFER):
                await self._cluster.create(KUBERNETES_JOBS, owner.namespace, body)
        except ClusterError as error:
            if error.status != 409:
                raise

    async def state(
        self, owner: Owner, job: BatchJobSpec, gateway: BatchGatewaySpec | None, plan: Plan
    ) -> TransferState | None:
        """Look at the transfer Job of a plan; None when there is none.

        One that was made from another template (spec.transfer, image, connection, the operator's settings) and whose
        container has not started is removed, so that it is made anew.
        """
        wanted = transfer_job.manifest(owner, job, gateway, plan, self._settings, proxies=self._proxies)
        name = wanted["metadata"]["name"]
        found = await self._cluster.get(KUBERNETES_JOBS, owner.namespace, name)
        if found is None:
            return None
        if "deletionTimestamp" in found["metadata"]:
            return LEAVING
        state = await self._read(owner, found)
        held = isinstance(state, Blocked) or (isinstance(state, Working) and not state.running)
        if held and not _is_made_from(found, wanted):
            await self.remove(owner, plan)
            return Working(Problem(reason=Reason.TRANSFER_PENDING, message=REPLACED))
        return state

    async def _read(self, owner: Owner, job: Json) -> TransferState:
        # By uid: the pod of an earlier Job of this name may still be there, for as long as its node is gone.
        selector = f"batch.kubernetes.io/controller-uid={job['metadata']['uid']}"
        pods, _ = await self._cluster.page(PODS, owner.namespace, selector=selector)
        events: list[Json] = []
        made = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
        if _is_waiting(pods) and (self._cluster.now() - made).total_seconds() > PATIENCE_SECONDS:
            about = pods[0]["metadata"]["name"] if pods else job["metadata"]["name"]
            events, _ = await self._cluster.page(EVENTS, owner.namespace, fields=f"involvedObject.name={about}")
        return transfer_state.read(job, pods, events, self._cluster.now())

    async def remove(self, owner: Owner, plan: Plan) -> None:
        """Remove the transfer Job of a plan, so that the next try starts a new one."""
        name = naming.transfer_job_name(owner.name, owner.uid, plan)
        with crash.around(crash.Effect.REMOVE_TRANSFER):
            await self._cluster.delete(KUBERNETES_JOBS, owner.namespace, name)

    async def remove_others(self, owner: Owner, name: str = "") -> None:
        """Remove the BatchJob's transfer Jobs that have not ended, but the one of that name.

        Of a Job whose report is taken another container may keep the pod alive for ever.
        """
        selector = f"{naming.LABEL_MANAGED_BY}={naming.MANAGER},{naming.LABEL_UID}={owner.uid}"
        found, _ = await self._cluster.page(KUBERNETES_JOBS, owner.namespace, selector=selector)
        for job in found:
            metadata = job["metadata"]
            if metadata["name"] == name or "deletionTimestamp" in metadata or _is_finished(job):
                continue
            state = await self._read(owner, job)
            # One that has ended and is about to be told so keeps its log.
            if not isinstance(state, Ended) or state.lingers:
                await self._cluster.delete(KUBERNETES_JOBS, owner.namespace, metadata["name"])


def _is_made_from(job: Json, wanted: Json) -> bool:
    """Tell whether a Job was made from the wanted template; one that doesn't say is left alone."""
    said = (job["metadata"].get("annotations") or {}).get(transfer_job.TEMPLATE_ANNOTATION)
    return said is None or said == wanted["metadata"]["annotations"][transfer_job.TEMPLATE_ANNOTATION]


def _is_finished(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(item.get("type") in FINISHED and item.get("status") == "True" for item in conditions)


def _is_waiting(pods: list[Json]) -> bool:
    return all(pod.get("status", {}).get("phase") == "Pending" for pod in pods)
