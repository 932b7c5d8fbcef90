"""The rules that every status of a BatchJob keeps, whatever has happened to it; checked on every status any test makes."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from llmbatch.api.batchjob_status import BatchJobStatus, Phase
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import facts, lifecycle
from llmbatch.job.pure import parts

Json = dict[str, Any]

KINDS = {"Ready", "Reconciling", "Stalled", "InputReady", "Submitted", "ResultsStored", "Complete", "Failed"}
ONLY_WHILE_TRUE = {"Reconciling", "Stalled", "Complete", "Failed"}
NOT_JUDGED = {Reason.INVALID_SPEC, Reason.INTERNAL_ERROR}
"""With these the rest of the status stays as it was, or absent."""
NOBODYS = {"observedGeneration": -1}
"""The status of an object that no operator has looked at yet."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def computed(obj: Json) -> str:
    """Give what kstatus makes of an object of a kind that it doesn't know: its generic rules, in its order."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    said = {item["type"]: item["status"] for item in status.get("conditions") or []}
    if "deletionTimestamp" in metadata:
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    if said.get("Reconciling") == "True":
        return "InProgress"
    if said.get("Stalled") == "True":
        return "Failed"
    return "InProgress" if said.get("Ready", "True") != "True" else "Current"


def check_status(obj: Json) -> None:
    """Assert all rules on a whole BatchJob; one whose status was never written keeps them all."""
    found: Json = obj.get("status") or {}
    if not found or found == NOBODYS:
        return
    said: dict[str, Json] = {item["type"]: item for item in found.get("conditions") or []}
    assert len(said) == len(found.get("conditions") or []), f"a condition is there twice: {found}"
    status = BatchJobStatus.parse(found)
    _check_members(found)
    _check_each_condition(obj, said)
    _check_kstatus(said, by_submission=(obj.get("spec") or {}).get("readyWhen") == "Submitted")
    _check_generation(obj, found, said)
    _check_facts(obj, status)


def check_jobs(stored: Iterable[Json]) -> None:
    """Assert the rules on every state of every BatchJob that was stored."""
    for found in stored:
        if found["_plural"] == "batchjobs":
            check_status(found)


def check_gateway(obj: Json) -> None:
    """Assert the rules on a whole BatchGateway: it is ready, or says whether it becomes so by itself."""
    found: Json = obj.get("status") or {}
    if not found or found == NOBODYS:
        return
    said: dict[str, Json] = {item["type"]: item for item in found.get("conditions") or []}
    assert len(said) == len(found.get("conditions") or []), f"a condition is there twice: {found}"
    assert said.keys() <= {"Ready", "Reconciling", "Stalled", "Insecure"}, f"unknown conditions: {said.keys()}"
    _check_members({key: value for key, value in found.items() if key != "capabilities"})
    for kind, item in said.items():
        assert item["reason"] in list(Reason), f"{kind} has a reason that is not declared: {item['reason']}"
        assert str(item.get("message", "")).strip(), f"{kind} has no message"
        assert kind == "Ready" or item["status"] == "True", f"{kind} is there while it is {item['status']}"
    assert "Ready" in said, "Ready is always there"
    wrong = {"Reconciling", "Stalled"} & said.keys()
    assert len(wrong) == (0 if said["Ready"]["status"] == "True" else 1), (
        f"Ready is {said['Ready']} with {sorted(wrong)}"
    )
    for kind in wrong:
        assert said[kind]["reason"] == said["Ready"]["reason"], f"Ready and {kind} give different reasons"
    _check_generation(obj, found, said)


def _check_members(found: Json) -> None:
    for path, value in _walk(found, "status"):
        assert value not in (None, "", [], {}), f"{path} is empty; it should be absent"
        if path.endswith(("Time", "At")):
            assert TIME.fullmatch(str(value)), f"{path} is no RFC 3339 time in UTC: {value}"
            assert datetime.fromisoformat(str(value)).tzinfo == UTC


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, f"{path}.{key}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]")


def _check_each_condition(obj: Json, said: dict[str, Json]) -> None:
    assert said.keys() <= KINDS, f"unknown conditions: {said.keys() - KINDS}"
    for kind, item in said.items():
        assert item["reason"] in list(Reason), f"{kind} has a reason that is not declared: {item['reason']}"
        assert str(item.get("message", "")).strip(), f"{kind} has no message"
        assert kind not in ONLY_WHILE_TRUE or item["status"] == "True", f"{kind} is there while it is {item['status']}"
        assert 0 < item["observedGeneration"] <= obj["metadata"]["generation"], f"{kind} tells of no generation we know"


def _check_kstatus(said: dict[str, Json], *, by_submission: bool) -> None:
    assert "Ready" in said, "Ready is always there"
    ready = said["Ready"]["status"]
    assert not {"Reconciling", "Stalled"} <= said.keys(), "Reconciling and Stalled exclude each other"
    assert not {"Complete", "Failed"} <= said.keys(), "Complete and Failed exclude each other"
    if "Complete" in said:
        assert ready == "True", "Complete, but not Ready"
        assert not {"Reconciling", "Stalled"} & said.keys(), "Complete, but not at rest"
    elif "Failed" in said:
        assert ready == "False", "Failed, but not Ready=False"
        assert "Stalled" in said, "Failed, but not Stalled"
    elif by_submission and ready == "True":
        assert said["Ready"]["reason"] == Reason.SUBMITTED, "Ready before the end, and not since it is submitted"
        assert not {"Reconciling", "Stalled"} & said.keys(), "Ready, but not at rest"
    else:
        assert {"Reconciling", "Stalled"} & said.keys(), "neither ended, nor Reconciling, nor Stalled"
        assert ready == ("Unknown" if "Reconciling" in said else "False"), f"Ready is {ready} with {sorted(said)}"
    for kind in {"Complete", "Failed", "Reconciling", "Stalled"} & said.keys():
        assert said[kind]["reason"] == said["Ready"]["reason"], f"Ready and {kind} give different reasons"


def _check_generation(obj: Json, found: Json, said: dict[str, Json]) -> None:
    observed = found["observedGeneration"]
    assert observed <= obj["metadata"]["generation"], "a generation was observed that does not exist yet"
    assert said["Ready"]["observedGeneration"] == observed, "Ready tells of another generation than the status"


def _check_facts(obj: Json, status: BatchJobStatus) -> None:
    ended = status.holds("Complete") or status.holds("Failed")
    assert (status.completion_time is not None) == ended, "completionTime is there if and only if the job has ended"
    assert status.holds("ResultsStored") == (status.output is not None), "ResultsStored if and only if status.output"
    assert not status.holds("Complete") or status.output is not None, "Complete without results"
    assert not status.holds("InputReady") or status.input is not None, "InputReady without status.input"
    # Of several one may have come to nothing.
    made = any(batch.id is not None for batch in status.batches)
    assert not status.holds("Submitted") or made, "Submitted without the id of a batch"
    assert not any(item.id and item.submission for item in status.batches), (
        "an answer is owed although the batch is known"
    )
    if status.parts is None and made and not status.holds("Submitted"):
        # The id of a batch is written alone, before all else; the rest of the status follows with the end of the pass.
        return
    ready = status.condition("Ready")
    if ready is not None and ready.reason in NOT_JUDGED:
        return
    assert status.progress == facts.progress(status), f"progress is {status.progress} of {status.request_counts}"
    assert status.progress is None or re.fullmatch(r"\d{1,2}%|100%", status.progress)
    assert status.start_time is not None, "at work without a startTime"
    possible = {lifecycle.phase_of(status, deleting=False, uploading=uploading) for uploading in (False, True)}
    if parts.is_split(status):
        possible.add(parts.phase(status))
    if "deletionTimestamp" in obj["metadata"]:
        possible.add(Phase.DELETING)
    assert status.phase in possible, f"the phase is {status.phase}, the facts say {possible}"
