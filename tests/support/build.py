"""Builders: they fill what a case doesn't care about."""

from datetime import UTC, datetime, timedelta
from typing import Any

from llmbatch.api import API_VERSION
from llmbatch.api.batch_status import OF_THE_BATCH
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure.observation import Limits, Observation
from llmbatch.provider.pure.connection import Connection
from llmbatch.transfer.pure.plan import CollectPlan, UploadPlan
from llmbatch.transfer.pure.report import CollectReport, UploadReport

Json = dict[str, Any]

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
UID = "3f0c9d1e-0000-4000-8000-000000000001"
LIMITS = Limits(settle_seconds=120, recheck_seconds=15, cleanup_seconds=300)
INPUT: Json = {"bytes": 500, "requests": 5, "sha256": "ab" * 32}
OUTPUT: Json = {
    "location": "secret/results key r.jsonl",
    "bytes": 900,
    "requests": 5,
    "sha256": "cd" * 32,
    "storedTime": "2026-03-01T12:00:00Z",
}


def ago(seconds: float) -> datetime:
    """Give a moment before NOW."""
    return NOW - timedelta(seconds=seconds)


def spec(**given: Any) -> BatchJobSpec:
    """Make a spec: ConfigMap in, Secret out."""
    return BatchJobSpec.parse(spec_json(**given))


def spec_json(**given: Any) -> Json:
    """Make a spec as JSON; a field given as None is left out."""
    made: Json = {
        "gatewayRef": {"name": "kong"},
        "input": {"configMap": {"name": "prompts", "key": "batch.jsonl"}},
        "output": {"secret": {"name": "results", "key": "r.jsonl"}},
        **given,
    }
    return {key: value for key, value in made.items() if value is not None}


def condition(kind: str, status: str = "True", reason: str = "Accepted", **given: Any) -> Json:
    """Make a condition as JSON."""
    made = {"type": kind, "status": status, "reason": reason, "message": "Told.", "observedGeneration": 1}
    return {**made, "lastTransitionTime": "2026-03-01T11:00:00Z", **given}


def status(**given: Any) -> BatchJobStatus:
    """Make a status from its JSON fields."""
    return BatchJobStatus.parse({"observedGeneration": 1, **given})


def retold(stored: Json, **given: Any) -> Json:
    """Give a stored status with something else said of the job's one batch: its intent, create calls or times."""
    whole, own = {**stored, **given}, {*OF_THE_BATCH, "createCalls"}
    entries = [{name: value for name, value in entry.items() if name not in own} for entry in whole["batches"]]
    return BatchJobStatus.parse({**whole, "batches": entries}).dump()


def uploaded(**given: Any) -> BatchJobStatus:
    """Make the status of a job whose input is uploaded."""
    return status(**{"input": INPUT, "batches": [{"inputFileID": "file-in"}], **given})


def owed(seconds_ago: float = 5, attempt: int = 1, **given: Any) -> BatchJobStatus:
    """Make the status of a job whose create call was not answered."""
    intent = {"attempt": attempt, "intentTime": ago(seconds_ago).strftime("%Y-%m-%dT%H:%M:%SZ")}
    return uploaded(submission=intent, attempts=attempt, **given)


def submitted(remote: str = "in_progress", batch: Json | None = None, **given: Any) -> BatchJobStatus:
    """Make the status of a job whose batch is in the given state."""
    made = {"id": "batch-1", "inputFileID": "file-in", "status": remote, **(batch or {})}
    return uploaded(batches=[made], attempts=1, **given)


def stored(
    total: int = 5, completed: int = 5, remote: str = "completed", output: Json | None = None, **given: Any
) -> BatchJobStatus:
    """Make the status of a job whose results are stored."""
    counts = {"total": total, "completed": completed, "failed": total - completed}
    files = {"outputFileID": "file-out", "errorFileID": "file-err"}
    return submitted(remote, files, requestCounts=counts, output={**OUTPUT, **(output or {})}, **given)


def ended(kind: str = "Complete", **given: Any) -> BatchJobStatus:
    """Make the status of a job that has ended: Complete, or Failed."""
    complete = kind == "Complete"
    reason = "Succeeded" if complete else "AllRequestsFailed"
    said = [
        condition("Ready", "True" if complete else "False", reason),
        condition(kind, "True", reason),
        *([] if complete else [condition("Stalled", "True", reason)]),
        condition("InputReady", "True", "InputValid"),
        condition("Submitted", "True", "Submitted"),
        condition("ResultsStored", "True", "ResultsStored"),
    ]
    whole: Json = {"startTime": "2026-03-01T11:00:00Z", "completionTime": "2026-03-01T12:00:00Z", "progress": "100%"}
    return stored(5, 5 if complete else 0, conditions=said, **whole, phase=kind, **given)


def observation(stored_status: BatchJobStatus | None = None, **given: Any) -> Observation:
    """Make an observation of a job that is acknowledged and has its finalizer."""
    made: Json = {
        "uid": UID,
        "generation": 1,
        "spec": spec(),
        "status": stored_status or status(),
        "now": NOW,
        "limits": LIMITS,
        "finalizer": True,
    }
    return Observation(**{**made, **given})


def connection(**given: Any) -> Connection:
    """Make a connection."""
    return Connection.model_validate(
        {"url": "https://kong.example.com", "files_path": "/files", "batches_path": "/batches", **given}
    )


def upload_plan(**given: Any) -> UploadPlan:
    """Make a plan of an upload."""
    made: Json = {
        "connection": connection(),
        "filename": f"{UID}-0-1.jsonl",
        "endpoint": "/v1/chat/completions",
        "max_bytes": 1000,
        "max_requests": 10,
    }
    return UploadPlan.model_validate({**made, **given})


def collect_plan(**given: Any) -> CollectPlan:
    """Make a plan of a collection."""
    made: Json = {
        "connection": connection(),
        "endpoint": "/v1/chat/completions",
        "order": "Input",
        "input": INPUT,
        "output_root": "/data/output",
        "output_path": "out.jsonl",
        "output_file_id": "file-out",
    }
    return CollectPlan.model_validate({**made, **given})


def upload_report(**given: Any) -> UploadReport:
    """Make the report of a good upload."""
    return UploadReport.parse({"fileID": "file-in", "input": INPUT, **given})


def collect_report(total: int = 5, completed: int = 5, **given: Any) -> CollectReport:
    """Make the report of a good collection."""
    counts = {"total": total, "completed": completed, "failed": total - completed}
    made: Json = {"bytes": 900, "requests": completed, "sha256": "cd" * 32, "requestCounts": counts}
    if completed < total:
        made |= {"errorsBytes": 100, "errorsRequests": total - completed}
    return CollectReport.parse({**made, **given})


def batchjob(name: str = "job", namespace: str = "team-a", metadata: Json | None = None, **given: Any) -> Json:
    """Make a BatchJob as the API server stores it; further fields go into its spec."""
    return {
        "apiVersion": API_VERSION,
        "kind": "BatchJob",
        "metadata": {"name": name, "namespace": namespace, **(metadata or {})},
        "spec": spec_json(**given),
    }


def batchjob_apart(name: str, **given: Any) -> Json:
    """Make a BatchJob with a destination of its own: of two that share one, only the first is submitted."""
    return batchjob(name, output={"secret": {"name": name, "key": "r.jsonl"}}, **given)


def batchgateway(url: str, name: str = "kong", namespace: str = "team-a", **given: Any) -> Json:
    """Make a BatchGateway; further fields go into its spec."""
    return {
        "apiVersion": API_VERSION,
        "kind": "BatchGateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"url": url, "pollIntervalSeconds": 1, **given},
    }
