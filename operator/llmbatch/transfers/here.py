"""The transfers that need no pod: inputs and results in Secrets and ConfigMaps, moved by threads of the operator's own."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from llmbatch import crash
from llmbatch.api.batchjob import MAX_OBJECT_BYTES, BatchJobSpec, KeyInObject
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import late
from llmbatch.gateway.credentials import Access
from llmbatch.kube.client import Cluster
from llmbatch.kube.permissions import CONFIGMAPS, SECRETS
from llmbatch.provider.edge.pace import Bounds
from llmbatch.runtime.lanes import Lanes
from llmbatch.runtime.queue import Key
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.edge.fetch import too_large
from llmbatch.transfer.edge.merge import merge
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure.destination import Destination
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.plan import (
    OBJECTS_FILE,
    CollectPlan,
    Judging,
    MergePlan,
    UploadPlan,
    errors_path,
    foreign_path,
    rest_path,
)
from llmbatch.transfer.pure.report import CollectReport, MergeReport, Problem, UploadReport
from llmbatch.transfers.failures import Failures, problem_of
from llmbatch.transfers.objects import store, taken
from llmbatch.transfers.plans import RESULTS_FILE, ROOM_FOR_KEYS, Look, collect_plan

INLINE_WHOLE_SECONDS = 120.0
"""For a whole transfer in the operator, and for each megabyte of it another minute."""
MOST_BYTES = MAX_OBJECT_BYTES - ROOM_FOR_KEYS
RESULTS, ERRORS, FOREIGN = "", ".errors", ".foreign"
"""Suffixes of the keys."""


@dataclass(frozen=True)
class Collected:
    """What became of a collection into a Secret or ConfigMap."""

    report: CollectReport
    """On all of it, or on the batch at which it ended."""
    destination: Destination | None = None
    parts: list[CollectReport] = field(default_factory=list)
    """On each batch, up to the one at which it ended."""


class Several(Protocol):
    """How the results of several batches are put together."""

    def plan(self, reports: list[CollectReport], path: str, root: str) -> MergePlan:
        """Plan it, from what became of each batch in turn."""

    def report(self, reports: list[CollectReport], made: MergeReport) -> CollectReport:
        """Report on all of it as if it were one batch's."""


class Here:
    """Moves data that needs no pod."""

    def __init__(self, cluster: Cluster, failures: Failures) -> None:
        """Prepare the threads."""
        self._cluster, self._failures = cluster, failures
        self._lanes = Lanes()
        self.owned: dict[str, bool] = {}
        """By uid: whether the results that this process has stored go with their BatchJob."""
        self.refused: set[str] = set()
        """uids of BatchJobs whose results could not be stored where they are to go."""

    async def upload(self, plan: UploadPlan, data: bytes, access: Access, gateway: Key) -> UploadReport:
        """Upload data that is in memory."""
        bounds = Bounds(gateway.namespace, _whole_seconds(len(data)))
        report = await self._lanes.run(gateway, partial(upload, plan, data, access.environ, bounds=bounds))
        self._failures.here(plan.kind, problem_of(report))
        return report

    async def collect(
        self,
        owner: Owner,
        job: BatchJobSpec,
        batches: Sequence[tuple[BatchJobStatus, Look]],
        access: Access,
        gateway: Key,
        *,
        several: Several | None = None,
        source: bytes | None = None,
    ) -> Collected:
        """Collect the results of batches into one Secret or ConfigMap.

        Args:
            owner: The BatchJob.
            job: Its spec.
            batches: Its batches, as the statuses of jobs with one each, and how their results are looked at.
            access: To its gateway.
            gateway: Which that is.
            several: The job has several batches, whose results are put together.
            source: The input, where it is in the cluster and needed: for the order of the results, or to name the requests of
                parts that were never sent. It counts as long as it is what was sent.
        """
        place: KeyInObject | None = job.output.secret or job.output.config_map
        if place is None:
            raise ValueError("spec.output names no Secret or ConfigMap")
        resource = SECRETS if job.output.secret else CONFIGMAPS
        if owner.uid in self.refused and (problem := await taken(self._cluster, resource, owner, place.name)):
            # Nothing is downloaded again and again for nothing.
            return Collected(CollectReport(problem=problem))
        reports: list[CollectReport] = []
        with tempfile.TemporaryDirectory(prefix="collect-") as folder:
            path, left = RESULTS_FILE, MOST_BYTES
            if source is not None:
                await asyncio.to_thread(Path(folder, OBJECTS_FILE).write_bytes, source)
            for status, look in batches:
                plan = collect_plan(job, status, access.connection, look, root=folder, has_input=source is not None)
                report = await self._fetch(plan, access, gateway, most=left)
                reports.append(report)
                if report.problem is not None:
                    return Collected(report, parts=reports)
                # What is sent again is there several times; so that only all together is compared with what there is room for.
                left -= 0 if job.judges_requests else report.bytes + report.errors_bytes
            report = reports[0]
            if several is not None:
                made = _on_own_disk(await self._lanes.run(gateway, merge, several.plan(reports, path, folder)))
                self._failures.here("merge", made.problem)
                report = several.report(reports, made)
            data = await asyncio.to_thread(_read, folder, path, report) if report.problem is None else {}
        if report.problem is None and sum(map(len, data.values())) > MOST_BYTES:
            report = report.model_copy(update={"problem": too_large(None, MOST_BYTES).problem})
            self._failures.here("collect", report.problem)
        if report.problem is not None:
            return Collected(report, parts=reports)
        stored = {f"{place.key}{suffix}": data.get(suffix) for suffix in (RESULTS, ERRORS, FOREIGN)}
        with crash.around(crash.Effect.STORE_RESULTS):
            problem = await store(self._cluster, resource, owner, place.name, stored, owned=goes_with_job(job))
        self._failures.here("collect", problem)
        if problem is None:
            self.owned[owner.uid] = goes_with_job(job)
            self.refused.discard(owner.uid)
        else:
            self.refused.add(owner.uid)
        where = f"{'secret' if resource is SECRETS else 'configmap'}/{place.name} key"
        destination = Destination(f"{where} {place.key}", f"{where} {place.key}.errors", f"{where} {place.key}.foreign")
        return Collected(report.model_copy(update={"problem": problem}), destination, reports)

    async def judge(
        self, job: BatchJobSpec, status: BatchJobStatus, look: Look, access: Access, gateway: Key
    ) -> CollectReport:
        """Look at the results of one of several batches, without storing them."""
        with tempfile.TemporaryDirectory(prefix="judge-") as folder:
            plan = collect_plan(job, status, access.connection, look, root=folder)
            return await self._fetch(plan, access, gateway, most=MOST_BYTES)

    async def rest(
        self, job: BatchJobSpec, statuses: Sequence[BatchJobStatus], access: Access, gateway: Key
    ) -> bytes | Problem:
        """Read the lines of requests that are to be sent again, from what their batches have left at the provider.

        Args:
            job: The BatchJob's spec.
            statuses: Of jobs with one of these batches each.
            access: To its gateway.
            gateway: Which that is.
        """
        lines: list[bytes] = []
        with tempfile.TemporaryDirectory(prefix="rest-") as folder:
            for status in statuses:
                known = status.batches[0].unfinished
                look = Look(accept_missing=bool(known is not None and known.missing))
                plan = collect_plan(job, status, access.connection, look, root=folder)
                plan = plan.model_copy(update={"judging": Judging(policy=job.request_failure_policy, again=True)})
                report = await self._fetch(plan, access, gateway, most=MOST_BYTES)
                if report.problem is not None:
                    return _told(report.problem, status)
                if known is None or (report.unfinished or 0) > known.requests:
                    # To send by it would be to pay again for what was answered.
                    message = f"fewer requests of batch {status.batches[0].id} have an answer than before; it is looked at again"
                    fewer = Problem(reason=Reason.RESULTS_UNREADABLE, message=message)
                    self._failures.here("collect", fewer)
                    return _told(fewer, status)
                if report.unfinished:
                    lines.append(await asyncio.to_thread(Path(folder, rest_path(plan.output_path)).read_bytes))
        return b"".join(lines)

    async def _fetch(self, plan: CollectPlan, access: Access, gateway: Key, *, most: int) -> CollectReport:
        """Collect the results of a batch into a folder of our own."""
        plan = plan.model_copy(update={"max_output_bytes": most})
        # Results and failed requests may repeat lines, and the input is fetched for its order.
        bounds = Bounds(gateway.namespace, _whole_seconds(8 * MAX_OBJECT_BYTES + plan.input.bytes))
        report = _on_own_disk(await self._lanes.run(gateway, partial(collect, plan, access.environ, bounds=bounds)))
        self._failures.here(plan.kind, report.problem)
        return report

    def close(self) -> None:
        """Let the threads end."""
        self._lanes.close()


R = TypeVar("R", CollectReport, MergeReport)


def _on_own_disk(report: R) -> R:
    """Say of a full disk whose it is: the operator's own, and not that of a claim."""
    if report.problem is None or report.problem.reason is not Reason.VOLUME_FULL:
        return report
    message = (
        "the operator has no room in /tmp to put the results together before they are stored; they stay at the provider, and"
        " it is tried again: make room on the node of its pod, or name a PersistentVolumeClaim in spec.output"
    )
    return report.model_copy(update={"problem": Problem(reason=Reason.TRANSFER_FAILED, message=message)})


def _told(problem: Problem, status: BatchJobStatus) -> Problem:
    """Say what a person may do where results can't be read."""
    if problem.reason is not Reason.RESULTS_UNREADABLE:
        return problem
    return problem.model_copy(update={"message": late.with_remedy(problem.message, status.batches[0])})


def goes_with_job(job: BatchJobSpec) -> bool:
    """Tell whether results in a Secret or ConfigMap are deleted together with their BatchJob."""
    return job.deletion_policy.output == "Delete"


def _whole_seconds(size: int) -> float:
    return INLINE_WHOLE_SECONDS + 60 * size / MAX_OBJECT_BYTES


def _read(folder: str, path: str, report: CollectReport) -> dict[str, bytes]:
    """Read back what was written, by the suffix of its key."""
    there = {RESULTS: path}
    if report.errors_bytes:
        there[ERRORS] = errors_path(path)
    if report.foreign_bytes:
        there[FOREIGN] = foreign_path(path)
    return {suffix: Path(folder, name).read_bytes() for suffix, name in there.items()}
