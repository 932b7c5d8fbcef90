"""How far a transfer Job is, from what the API server tells of it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure.report import CollectReport, UploadReport
from llmbatch.transfer.pure.state import LOST, Blocked, Ended, Working, read
from tests.support import build, canary

Json = dict[str, Any]
NOW = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


def job(kind: str = "upload", **status: Any) -> Json:
    return {"metadata": {"name": f"job-{kind}-0123456789"}, "status": status}


def pod(created: str = "2026-03-01T12:00:00Z", phase: str = "Pending", **status: Any) -> Json:
    return {"metadata": {"name": "job-x", "creationTimestamp": created}, "status": {"phase": phase, **status}}


def container(phase: str = "Pending", **state: Any) -> Json:
    return pod(phase=phase, containerStatuses=[{"name": "transfer", "state": state}])


def waiting(reason: str, message: str = "") -> Json:
    return container(waiting={"reason": reason, "message": message})


def terminated(code: int, message: str = "", reason: str = "Error") -> Json:
    ended = {"exitCode": code, "reason": reason, "message": message}
    return container("Succeeded" if code == 0 else "Failed", terminated=ended)


def disturbed(**status: Any) -> Json:
    """Give a pod that was ended from outside: the kubelet kills what runs in it."""
    found = terminated(137)
    return {**found, "status": {**found["status"], **status}}


def unscheduled(message: str) -> Json:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(conditions=[condition])


def warning(message: str, at: str = "2026-03-01T12:00:00Z") -> Json:
    return {"type": "Warning", "reason": "Failed", "message": message, "lastTimestamp": at}


DRAINED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}
KILLED_BESIDE = {"name": "mesh", "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}
REPORT = json.dumps(build.upload_report().dump())


@pytest.mark.parametrize(
    ("found", "pods", "events", "kind", "reason", "words"),
    [
        pytest.param(job(), [], [], Working, Reason.TRANSFER_PENDING, "being made", id="no pod yet"),
        pytest.param(
            job(), [], [warning('pods "x" is forbidden: exceeded quota: compute')], Blocked, Reason.TRANSFER_REFUSED,
            "exceeded quota", id="no pod, since the quota is used up",
        ),
        pytest.param(
            job(conditions=[{"type": "Failed", "status": "True", "message": "deadline"}]), [], [], Ended,
            Reason.TRANSFER_FAILED, "deadline", id="the Job failed and its pod is gone",
        ),
        pytest.param(job(), [pod()], [], Working, Reason.TRANSFER_PENDING, "is starting", id="the pod starts"),
        pytest.param(
            job(), [unscheduled("0/3 nodes are available: 3 Insufficient memory.")], [], Blocked,
            Reason.TRANSFER_UNSCHEDULABLE, "Insufficient memory", id="no node has room",
        ),
        pytest.param(
            job(), [unscheduled("0/1 nodes: pod has unbound immediate PersistentVolumeClaims.")], [], Blocked,
            Reason.VOLUME_CLAIM_UNBOUND, "unbound immediate", id="the claim has no volume",
        ),
        pytest.param(
            job(), [waiting("ImagePullBackOff", "Back-off pulling image")], [], Blocked,
            Reason.TRANSFER_IMAGE_PULL_FAILED, "Back-off pulling", id="the image can't be pulled",
        ),
        pytest.param(
            job(), [waiting("ErrImageNeverPull")], [], Blocked, Reason.TRANSFER_IMAGE_PULL_FAILED, "ErrImageNeverPull",
            id="the image isn't there and may not be pulled",
        ),
        pytest.param(
            job(), [waiting("CreateContainerConfigError", 'secret "consumer" not found')], [], Blocked,
            Reason.CREDENTIALS_NOT_FOUND, 'secret "consumer" not found', id="the Secret is missing",
        ),
        pytest.param(
            job(), [waiting("ContainerCreating")], [], Working, Reason.TRANSFER_PENDING, "is starting",
            id="the container is being made",
        ),
        pytest.param(
            job(), [waiting("ContainerCreating")], [warning("first"), warning("MountVolume failed", "2026-03-01T12:01:00Z")],
            Blocked, Reason.TRANSFER_PENDING, "MountVolume failed", id="a volume can't be mounted: the latest event tells",
        ),
        pytest.param(
            job(), [container("Running", running={})], [], Working, Reason.UPLOADING, "uploading", id="an upload runs"
        ),
        pytest.param(
            job("collect"), [container("Running", running={})], [], Working, Reason.COLLECTING, "downloading",
            id="a collection runs",
        ),
        pytest.param(
            job(), [terminated(137, reason="OOMKilled")], [], Ended, Reason.TRANSFER_FAILED,
            "spec.transfer.resources.limits.memory", id="out of memory",
        ),
        pytest.param(
            job(), [terminated(1, "Traceback: boom")], [], Ended, Reason.TRANSFER_FAILED, "exit code 1 and no report: Trace",
            id="ended without a report",
        ),
        pytest.param(
            job(), [pod(phase="Failed", reason="Evicted", message="The node was low on resource")], [], Ended,
            Reason.TRANSFER_FAILED, "low on resource", id="evicted",
        ),
        pytest.param(
            job(), [disturbed(reason="Evicted", message="The node was low on resource: ephemeral-storage.")], [], Ended,
            Reason.TRANSFER_FAILED, "was ended: The node was low on resource: ephemeral-storage.", id="evicted while it ran",
        ),
        pytest.param(
            job(), [disturbed(reason="DeadlineExceeded")], [], Ended,
            Reason.TRANSFER_FAILED, "was ended: DeadlineExceeded", id="ended without a word",
        ),
        pytest.param(
            job(), [disturbed(conditions=[{**DRAINED, "reason": "PreemptionByScheduler", "message": "preempting for another"}])],
            [], Ended, Reason.TRANSFER_FAILED, "was ended: preempting for another", id="preempted",
        ),
        pytest.param(
            job(), [pod(phase="Failed", conditions=[DRAINED], initContainerStatuses=[KILLED_BESIDE])], [], Ended,
            Reason.TRANSFER_FAILED, "was ended: Eviction API: evicting", id="its node is drained before it began",
        ),
        pytest.param(
            job(), [disturbed(conditions=[{**DRAINED, "status": "False"}])], [], Ended,
            Reason.TRANSFER_FAILED, "exit code 137 and no report", id="killed, and nobody says why",
        ),
    ],
)  # fmt: skip
def test_states(*, found: Json, pods: list[Json], events: list[Json], kind: type, reason: Reason, words: str) -> None:
    state = read(found, pods, events, NOW)
    assert isinstance(state, kind)
    told = state.told if isinstance(state, Working) else state.problem
    assert told is not None
    assert told.reason == reason
    assert words in told.message
    assert not told.final, "it may be mended"


@pytest.mark.parametrize(
    ("kind", "message", "report"),
    [
        pytest.param("upload", REPORT, build.upload_report(), id="of an upload"),
        pytest.param(
            "collect", json.dumps(build.collect_report().dump()), build.collect_report(), id="of a collection"
        ),
    ],
)
@pytest.mark.parametrize("code", [0, 1])
def test_a_report_counts_whatever_the_exit_code(
    kind: str, message: str, report: UploadReport | CollectReport, code: int
) -> None:
    assert read(job(kind), [terminated(code, message)], [], NOW) == Ended(report)


def test_a_report_of_nonsense_is_none() -> None:
    for message in ("", "null", "[]", "{", '{"bytes": "many"}'):
        state = read(job("collect"), [terminated(0, message)], [], NOW)
        assert isinstance(state, Ended)
        assert (state.report is None) == (state.problem is not None)


def test_the_newest_pod_counts() -> None:
    old = pod("2026-03-01T11:00:00Z", phase="Failed", reason="Evicted")
    assert isinstance(read(job(), [old, pod("2026-03-01T12:00:00Z")], [], NOW), Working)


def leaving(found: Json, since: timedelta) -> Json:
    """A pod on node-7 that was to have ended so long ago."""
    due = (NOW - since).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**found, "metadata": {**found["metadata"], "deletionTimestamp": due}, "spec": {"nodeName": "node-7"}}


@pytest.mark.parametrize("found", [pod(), container("Running", running={})], ids=["starting", "running"])
def test_a_pod_that_should_have_ended_long_ago_counts_as_lost_with_its_node(found: Json) -> None:
    state = read(job(), [leaving(found, LOST)], [], NOW)
    assert isinstance(state, Ended)
    assert state.report is None
    assert state.problem is not None
    assert state.problem.reason == Reason.TRANSFER_FAILED
    assert "node-7" in state.problem.message
    assert isinstance(read(job(), [leaving(found, LOST - timedelta(seconds=1))], [], NOW), Working)
    assert isinstance(read(job(), [leaving(found, -LOST)], [], NOW), Working), "it has its grace period"


def test_a_pod_that_has_ended_is_believed_however_late_it_is_removed() -> None:
    assert read(job(), [leaving(terminated(0, REPORT), 10 * LOST)], [], NOW) == Ended(build.upload_report())


@pytest.mark.parametrize(
    "said", [canary.PROMPT, f"Traceback: {canary.PROMPT}", '{"kind": "upload", "x": "' + canary.PROMPT]
)
def test_what_a_process_left_in_place_of_a_report_is_not_shown(said: str) -> None:
    for reason in ("", "Error", "Completed"):
        state = read(job(), [terminated(1, said, reason=reason)], [], NOW)
        assert isinstance(state, Ended)
        assert state.problem is not None
        assert canary.scan([state.problem.message]) == []
        assert "the pod's log tells more" in state.problem.message


def test_what_the_kubelet_says_of_a_container_that_did_not_start_is_shown() -> None:
    state = read(job(), [terminated(128, "exec: no such file", reason="StartError")], [], NOW)
    assert isinstance(state, Ended)
    assert state.problem is not None
    assert "exec: no such file" in state.problem.message
