"""The PersistentVolumeClaims that BatchJobs name: whether they are there and of use, and how many pods may use them at once."""

import time
from dataclasses import dataclass, field

from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.reasons import Reason
from llmbatch.kube.client import Cluster, Json
from llmbatch.kube.once import Once
from llmbatch.kube.permissions import CLAIMS
from llmbatch.transfer.pure.report import Problem

AT_ONCE = 4
"""Transfer Jobs of one BatchJob that are at work at the same time, where its volumes can be on several nodes."""
WRITTEN_BY_MANY = frozenset({"ReadWriteMany"})
READ_BY_MANY = WRITTEN_BY_MANY | {"ReadOnlyMany"}
"""Access modes of claims."""
JUST_NOW_SECONDS = 5.0
"""For so long a claim that was fit is taken to be: its pod tells soon enough of one that goes in that time."""


@dataclass
class Claims:
    """Reads claims."""

    cluster: Cluster
    _fit: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """By namespace, claim and what names it: when it was seen to be fit, by the monotonic clock."""

    async def problem_of_late(
        self, namespace: str, claim: str, where: str, *, once: Once | None = None
    ) -> Problem | None:
        """Say it unless there was nothing just now."""
        if time.monotonic() - self._fit.get((namespace, claim, where), -JUST_NOW_SECONDS) < JUST_NOW_SECONDS:
            return None
        return await self.problem(namespace, claim, where, once=once)

    async def problem(self, namespace: str, claim: str, where: str, *, once: Once | None = None) -> Problem | None:
        """Say whether a PersistentVolumeClaim is missing, or of no use."""
        found = await self._read(namespace, claim, once)
        problem = _problem(found, namespace, claim, where)
        self._note((namespace, claim, where), fit=problem is None)
        return problem

    def _note(self, known: tuple[str, str, str], *, fit: bool) -> None:
        now = time.monotonic()
        # The first ones are the oldest.
        while self._fit and now - next(iter(self._fit.values())) >= JUST_NOW_SECONDS:
            del self._fit[next(iter(self._fit))]
        self._fit.pop(known, None)
        if fit:
            self._fit[known] = now

    async def at_once(self, namespace: str, job: BatchJobSpec) -> int:
        """Say how many transfer Jobs of a BatchJob may be at work at one time: pods on several nodes need a volume for many."""
        source, target = job.input.persistent_volume_claim, job.output.persistent_volume_claim
        if not job.uses_volume:
            return 1
        for volume, modes in ((source, READ_BY_MANY), (target, WRITTEN_BY_MANY)):
            if volume is None:
                continue
            found = await self.cluster.get(CLAIMS, namespace, volume.claim_name)
            if found is None or not modes & set((found.get("spec") or {}).get("accessModes") or []):
                return 1
        return AT_ONCE

    async def exists(self, namespace: str, claim: str) -> bool:
        """Tell whether there is a PersistentVolumeClaim of that name."""
        return await self.cluster.get(CLAIMS, namespace, claim) is not None

    async def _read(self, namespace: str, claim: str, once: Once | None) -> Json | None:
        if once is None:
            return await self.cluster.get(CLAIMS, namespace, claim)
        return await once.ask(("claim", claim), lambda: self.cluster.get(CLAIMS, namespace, claim))


def _problem(found: Json | None, namespace: str, claim: str, where: str) -> Problem | None:
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
        message = f"{told} is a block device (volumeMode Block) without files; name another one, and the job goes on."
        return Problem(reason=unfit, message=message)
    if writes and claimed.get("accessModes") == ["ReadOnlyMany"]:
        message = f"{told} can't be written (accessModes ReadOnlyMany); name another one, and the job goes on."
        return Problem(reason=unfit, message=message)
    return None
