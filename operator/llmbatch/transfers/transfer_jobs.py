"""The transfer Jobs of a BatchJob: made, looked at, replaced and removed."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from llmbatch import crash
from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.reasons import Reason
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.once import Once
from llmbatch.kube.permissions import EVENTS, KUBERNETES_JOBS, PODS, Resource
from llmbatch.settings import Settings
from llmbatch.transfer.pure import manifest, naming, state
from llmbatch.transfer.pure.manifest import Owner
from llmbatch.transfer.pure.plan import PLAN_VARIABLE, Plan, UploadPlan
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfer.pure.state import Blocked, Ended, TransferState, Working
from llmbatch.transfers.failures import Failures

Json = dict[str, Any]

REFUSED = frozenset({400, 403, 422})
"""The API server's answers to a transfer Job that it will not have: by quota, admission or permission."""
PATIENCE_SECONDS = 5.0
"""A pod that hasn't started by then is asked for its events."""
OF_JOB = "batch.kubernetes.io/controller-uid"
"""Kubernetes' own label of a Job's pods."""
FINISHED = frozenset({"Complete", "Failed"})
REPLACED = "The transfer Job is made anew: what its pod is made from has changed before it started."
LEAVING = Working(Problem(reason=Reason.TRANSFER_PENDING, message="The last transfer Job is being removed."))


@dataclass
class _Listed:
    """Lists a BatchJob's transfer Jobs, and their pods."""

    cluster: Cluster

    async def all(self, owner: Owner, resource: Resource = KUBERNETES_JOBS) -> list[Json]:
        """Give all of them."""
        selector = f"{naming.LABEL_MANAGED_BY}={naming.MANAGER},{naming.LABEL_UID}={owner.uid}"
        return [item async for item in self.cluster.each(resource, owner.namespace, selector=selector)]

    async def pods(self, owner: Owner, job: Json, once: Once | None) -> list[Json]:
        """Give a Job's pods; of several Jobs that are looked at together, from one list of all."""
        # By uid: the pod of an earlier Job of this name may still be there, for as long as its node is gone.
        uid = job["metadata"]["uid"]
        if once is None:
            pods, _ = await self.cluster.page(PODS, owner.namespace, selector=f"{OF_JOB}={uid}")
            return pods
        listed = await once.ask(("pods",), lambda: self.all(owner, PODS))
        return [pod for pod in listed if (pod["metadata"].get("labels") or {}).get(OF_JOB) == uid]


class TransferJobs:
    """Makes transfer Jobs and looks at them."""

    def __init__(self, cluster: Cluster, settings: Settings, failures: Failures) -> None:
        """Take what a Job's pod is made from, besides the BatchJob."""
        self._cluster, self._settings, self._listed = cluster, settings, _Listed(cluster)
        self._failures = failures
        self._proxies = manifest.proxies_of(os.environ)
        self._named: dict[str, str] = {}
        """By the name that a Job would have today: its own, which another version of the operator has given it."""

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
            if error.status not in REFUSED:
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
        kept = {_name(owner, other) for other in beside}
        kept |= {self._named[name] for name in kept if name in self._named}
        await self.remove_others(owner, body["metadata"]["name"], *kept)
        try:
            with crash.around(crash.Effect.START_TRANSFER):
                await self._cluster.create(KUBERNETES_JOBS, owner.namespace, body)
        except ClusterError as error:
            if error.status != 409:
                raise

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
        found = await self._job(owner, plan, name, once)
        if found is None:
            return None
        if "deletionTimestamp" in found["metadata"]:
            return LEAVING
        state = await self._read(owner, found, once)
        if isinstance(state, Ended):
            self._failures.job(plan.kind, found["metadata"]["uid"], state)
        held = isinstance(state, Blocked) or (isinstance(state, Working) and not state.running)
        if held and not _is_made_from(found, wanted):
            await self.remove(owner, plan)
            return Working(Problem(reason=Reason.TRANSFER_PENDING, message=REPLACED))
        return state

    async def _job(self, owner: Owner, plan: Plan, name: str, once: Once | None) -> Json | None:
        """Read the Job of a plan; of several batches, whose Jobs are looked at together, from one list of all."""
        if once is None:
            found = await self._cluster.get(KUBERNETES_JOBS, owner.namespace, name)
            return found or self._of_another_version(plan, await self._listed.all(owner), name, owner)
        listed = await once.ask(("jobs",), lambda: self._listed.all(owner))
        found = next((job for job in listed if job["metadata"]["name"] == name), None)
        return found or self._of_another_version(plan, listed, name, owner)

    def _of_another_version(self, plan: Plan, listed: list[Json], name: str, owner: Owner) -> Json | None:
        """Find a Job of the same plan under another name: one that was at work when the operator was upgraded."""
        self._named.pop(name, None)
        for job in listed:
            if "deletionTimestamp" in job["metadata"]:
                continue
            made_for = _plan_of(job, type(plan))
            if made_for is not None and _name(owner, made_for) == _name(owner, _as_planned_by(made_for, plan)):
                self._named[name] = job["metadata"]["name"]
                return job
        return None

    async def _read(self, owner: Owner, job: Json, once: Once | None = None) -> TransferState:
        pods = await self._listed.pods(owner, job, once)
        events: list[Json] = []
        made = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
        if _is_waiting(pods) and (self._cluster.now() - made).total_seconds() > PATIENCE_SECONDS:
            about = pods[0]["metadata"]["name"] if pods else job["metadata"]["name"]
            events, _ = await self._cluster.page(EVENTS, owner.namespace, fields=f"involvedObject.name={about}")
        return state.read(job, pods, events, self._cluster.now())

    async def remove(self, owner: Owner, plan: Plan) -> None:
        """Remove the transfer Job of a plan, so that the next try starts a new one."""
        name = _name(owner, plan)
        with crash.around(crash.Effect.REMOVE_TRANSFER):
            await self._cluster.delete(KUBERNETES_JOBS, owner.namespace, name)
            if (other := self._named.pop(name, None)) is not None:
                await self._cluster.delete(KUBERNETES_JOBS, owner.namespace, other)

    async def remove_others(self, owner: Owner, *names: str) -> None:
        """Remove the BatchJob's transfer Jobs that have not ended, but those of these names.

        Of a Job whose report is taken another container may keep the pod alive for ever.
        """
        for job in await self._listed.all(owner):
            metadata = job["metadata"]
            if metadata["name"] in names or "deletionTimestamp" in metadata or _is_finished(job):
                continue
            state = await self._read(owner, job)
            # One that has ended and is about to be told so keeps its log.
            if not isinstance(state, Ended) or state.lingers:
                await self._cluster.delete(KUBERNETES_JOBS, owner.namespace, metadata["name"])


def _name(owner: Owner, plan: Plan) -> str:
    return naming.transfer_job_name(owner.name, owner.uid, plan)


def _as_planned_by(other: Plan, plan: Plan) -> Plan:
    """Leave out of a plan what another version, which did not look at the output before an upload or split an input, left out."""
    if not (isinstance(other, UploadPlan) and isinstance(plan, UploadPlan)):
        return plan
    unknown = {"output_root": None, "output_path": None} if other.output_root is None else {}
    return plan.model_copy(update={**unknown, "split": other.split})


def _plan_of(job: Json, kind: type[Plan]) -> Plan | None:
    """Read a Job's plan, if it is one of that kind."""
    containers = ((job.get("spec") or {}).get("template") or {}).get("spec", {}).get("containers") or []
    ours: Json = next((item for item in containers if item.get("name") == naming.CONTAINER), {})
    told = next((item.get("value") for item in ours.get("env") or [] if item.get("name") == PLAN_VARIABLE), None)
    try:
        return kind.model_validate_json(told or "")
    except ValidationError:
        return None


def _is_made_from(job: Json, wanted: Json) -> bool:
    """Tell whether a Job was made from the wanted template; one that doesn't say is left alone."""
    said = (job["metadata"].get("annotations") or {}).get(manifest.TEMPLATE_ANNOTATION)
    return said is None or said == wanted["metadata"]["annotations"][manifest.TEMPLATE_ANNOTATION]


def _is_finished(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(item.get("type") in FINISHED and item.get("status") == "True" for item in conditions)


def _is_waiting(pods: list[Json]) -> bool:
    return all(pod.get("status", {}).get("phase") == "Pending" for pod in pods)
