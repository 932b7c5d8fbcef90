"""How a BatchJob's transfer Jobs are found and read: by what is told of them, or by asking for them and their pods."""

import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from llmbatch.kube.client import Cluster
from llmbatch.kube.once import Once
from llmbatch.kube.permissions import EVENTS, KUBERNETES_JOBS, PODS, Resource
from llmbatch.transfer.pure import naming, state, told
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.plan import PLAN_VARIABLE, Plan, UploadPlan, read
from llmbatch.transfer.pure.state import Ended, TransferState, Working
from llmbatch.transfers.followed import Followed

Json = dict[str, Any]

PATIENCE_SECONDS = 5.0
"""A pod that hasn't started by then is asked for its events."""
OF_JOB = "batch.kubernetes.io/controller-uid"
"""Kubernetes' own label of a Job's pods."""
FINISHED = frozenset({"Complete", "Failed"})
RUNNING_SECONDS = 10.0
"""A BatchJob whose transfer runs, and is told of, is looked at so much later, should the news be lost."""


@dataclass
class Listed:
    """Gives a BatchJob's transfer Jobs, and their pods."""

    cluster: Cluster
    followed: Followed

    async def jobs(self, owner: Owner) -> list[Json]:
        """Give all of its Jobs, as they are told of, or as they are listed."""
        known = self.followed.of(owner)
        found = known if known is not None else await self.all(owner, KUBERNETES_JOBS)
        return [job for job in found if naming.kind_of(job["metadata"]["name"])]

    async def all(self, owner: Owner, resource: Resource) -> list[Json]:
        """List all of a kind."""
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


@dataclass
class Looks:
    """Finds transfer Jobs, and reads how far they are."""

    cluster: Cluster
    followed: Followed
    named: dict[str, str] = field(default_factory=dict)
    """By the name that a Job would have today: its own, which another version of the operator has given it."""

    def __post_init__(self) -> None:
        """Make what gives Jobs and pods."""
        self.listed = Listed(self.cluster, self.followed)

    async def find(self, owner: Owner, plan: Plan, name: str, once: Once | None) -> Json | None:
        """Give the Job of a plan, as it is told of; else as it is read, of several batches from one list of all."""
        if self.followed.is_told(owner.namespace):
            listed = await self.listed.jobs(owner)
            found = next((job for job in listed if job["metadata"]["name"] == name), None)
            found = found or self._of_another_version(plan, listed, name, owner)
            if found is not None and not is_finished(found) and self.followed.is_overdue(found):
                return await self.asked(owner.namespace, found["metadata"]["name"])
            return found
        if once is None:
            found = await self.cluster.get(KUBERNETES_JOBS, owner.namespace, name)
            return found or self._of_another_version(plan, await self.listed.jobs(owner), name, owner)
        listed = await once.ask(("jobs",), lambda: self.listed.jobs(owner))
        found = next((job for job in listed if job["metadata"]["name"] == name), None)
        return found or self._of_another_version(plan, listed, name, owner)

    async def asked(self, namespace: str, name: str) -> Json | None:
        """Ask for a Job of which something else was told than is true now, or nothing for too long."""
        found = await self.cluster.get(KUBERNETES_JOBS, namespace, name)
        if found is None:
            self.followed.gone(namespace, name)
        else:
            self.followed.answered(found)
        return found

    def _of_another_version(self, plan: Plan, listed: list[Json], name: str, owner: Owner) -> Json | None:
        """Find a Job of the same plan under another name: one that was at work when the operator was upgraded."""
        self.named.pop(name, None)
        for job in listed:
            if "deletionTimestamp" in job["metadata"]:
                continue
            made_for = _plan_of(job, type(plan))
            if made_for is not None and name_of(owner, made_for) == name_of(owner, _as_planned_by(made_for, plan)):
                self.named[name] = job["metadata"]["name"]
                return job
        return None

    async def read(self, owner: Owner, job: Json, once: Once | None = None, *, by_job: bool = True) -> TransferState:
        """Read how far a Job is, from what it tells, or (not `by_job`, and wherever that says too little) from its pod."""
        made = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
        age = (self.cluster.now() - made).total_seconds()
        if by_job and (known := self._told(owner, job, age)) is not None:
            return known
        pods = await self.listed.pods(owner, job, once)
        events: list[Json] = []
        if _is_waiting(pods) and age > PATIENCE_SECONDS:
            about = pods[0]["metadata"]["name"] if pods else job["metadata"]["name"]
            events, _ = await self.cluster.page(EVENTS, owner.namespace, fields=f"involvedObject.name={about}")
        found = state.read(job, pods, events, self.cluster.now())
        if (held := self.followed.held(job)) is not None:
            held.looked, held.is_done = time.monotonic(), isinstance(found, Ended)
        return found

    def _told(self, owner: Owner, job: Json, age_seconds: float) -> Working | None:
        """Say how a transfer is by what its Job tells; None: its pod is to be read, as now and then in any case."""
        held = self.followed.held(job)
        if held is None or not self.followed.is_told(owner.namespace):
            return None
        if time.monotonic() - held.looked > self.followed.overdue_seconds:
            return None
        known = told.working(held.job, age_seconds, was_ready=held.was_ready)
        if known is None:
            return None
        seconds = RUNNING_SECONDS if known.running else max(0.5, told.YOUNG_SECONDS - age_seconds)
        return replace(known, told=known.told.model_copy(update={"retry_after_seconds": seconds}))


def name_of(owner: Owner, plan: Plan) -> str:
    """Name the transfer Job of a plan."""
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
        return kind.model_validate_json(read(told or ""))
    except ValidationError:
        return None


def is_finished(job: Json) -> bool:
    """Tell whether a Job says that it has ended."""
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(item.get("type") in FINISHED and item.get("status") == "True" for item in conditions)


def _is_waiting(pods: list[Json]) -> bool:
    return all(pod.get("status", {}).get("phase") == "Pending" for pod in pods)
