"""A transfer pod with more containers than ours, and a Job that something holds back."""

import json
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure.state import Blocked, Ended, Working, read
from tests.core.test_transfer_state import NOW, job, pod, warning
from tests.support import build

Json = dict[str, Any]
REPORT = json.dumps(build.upload_report().dump())
DONE: Json = {"terminated": {"exitCode": 0, "reason": "Completed", "message": REPORT}}
DIED: Json = {"terminated": {"exitCode": 1, "reason": "Error", "message": "Traceback: boom"}}
SIDECAR: Json = {"name": "istio-proxy", "state": {"running": {}}}
LOOPS: Json = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting"}}


def ours(state: Json, **last: Any) -> Json:
    return {"name": "transfer", "state": state, **last}


def containers(*found: Json, phase: str = "Running", **status: Any) -> Json:
    return pod(phase=phase, containerStatuses=list(found), **status)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(containers(SIDECAR, ours(DONE)), id="a sidecar that is first in the list and still runs"),
        pytest.param(containers(ours(DONE), SIDECAR), id="a sidecar that is last"),
        pytest.param(
            containers(ours(DONE), phase="Running", initContainerStatuses=[SIDECAR]), id="a native sidecar still runs"
        ),
        pytest.param(
            containers({"name": "linkerd-proxy", "state": DIED}, ours(DONE), phase="Failed"), id="the sidecar failed"
        ),
        pytest.param(
            containers(ours(DONE), phase="Succeeded", ephemeralContainerStatuses=[{"name": "debug", "state": DIED}]),
            id="somebody looked into it with kubectl debug",
        ),
        pytest.param(
            containers(SIDECAR, ours({"running": {}}, lastState=DONE)), id="it was started anew after it had reported"
        ),
        pytest.param(
            containers(ours({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}, lastState=DONE)),
            id="the node was restarted after it had reported",
        ),
    ],
)
def test_the_report_of_our_container_is_taken_whatever_is_beside_it(found: Json) -> None:
    assert read(job(), [found], [], NOW) == Ended(build.upload_report())


def test_a_pod_of_which_all_containers_have_ended_ends_by_itself() -> None:
    """The kubelet has the phase follow a moment later."""
    gone = {"name": "istio-proxy", "state": {"terminated": {"exitCode": 0}}}
    for found in (
        containers(ours(DONE)),
        containers(gone, ours(DONE)),
        containers(ours(DONE), initContainerStatuses=[SIDECAR]),
    ):
        state = read(job(), [found], [], NOW)
        assert isinstance(state, Ended)
        assert not state.lingers


@pytest.mark.parametrize(("phase", "lingers"), [("Running", True), ("Succeeded", False), ("Failed", False)])
def test_a_pod_that_another_container_keeps_alive_does_not_end_its_job(phase: str, lingers: bool) -> None:
    state = read(job(), [containers(SIDECAR, ours(DONE), phase=phase)], [], NOW)
    assert isinstance(state, Ended)
    assert state.lingers is lingers


@pytest.mark.parametrize(
    ("found", "kind", "reason", "words"),
    [
        pytest.param(
            containers(SIDECAR, ours({"running": {}})), Working, Reason.UPLOADING, "uploading", id="both run"
        ),
        pytest.param(
            containers(SIDECAR, ours({"waiting": {"reason": "PodInitializing"}}), phase="Pending"), Working,
            Reason.TRANSFER_PENDING, "is starting", id="the sidecar runs before ours does",
        ),
        pytest.param(
            containers({"name": "agent", "state": {"terminated": {"exitCode": 0, "message": REPORT}}}), Working,
            Reason.TRANSFER_PENDING, "is starting", id="what another container says is no report",
        ),
        pytest.param(
            containers({"name": "agent", "state": DIED}, ours({"running": {}})), Working, Reason.UPLOADING, "uploading",
            id="another container died while ours runs",
        ),
        pytest.param(
            containers(SIDECAR, ours({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}), phase="Pending"),
            Blocked, Reason.TRANSFER_IMAGE_PULL_FAILED, "no such image", id="ours can't start beside a sidecar that runs",
        ),
        pytest.param(
            containers(
                ours({"waiting": {"reason": "PodInitializing"}}), phase="Pending",
                initContainerStatuses=[{"name": "istio-init", "state": LOOPS, "lastState": DIED}],
            ),
            Blocked, Reason.TRANSFER_PENDING, "container istio-init, which is not llmbatch's", id="Init:CrashLoopBackOff",
        ),
        pytest.param(
            containers(
                ours({"waiting": {"reason": "PodInitializing"}}), phase="Pending",
                initContainerStatuses=[{"name": "istio-proxy", "state": {"waiting": {"reason": "ImagePullBackOff"}}}],
            ),
            Blocked, Reason.TRANSFER_IMAGE_PULL_FAILED, "istio-proxy", id="Init:ImagePullBackOff",
        ),
        pytest.param(
            containers(
                ours({"waiting": {"reason": "PodInitializing"}}), phase="Failed",
                initContainerStatuses=[{"name": "istio-init", "state": DIED}],
            ),
            Ended, Reason.TRANSFER_FAILED, "container istio-init ended with exit code 1: Traceback", id="Init:Error",
        ),
        pytest.param(
            containers(ours(LOOPS, lastState=DIED)), Ended, Reason.TRANSFER_FAILED, "exit code 1 and no report",
            id="ours is started anew again and again",
        ),
        pytest.param(
            containers(SIDECAR, ours(DIED)), Ended, Reason.TRANSFER_FAILED, "exit code 1 and no report",
            id="ours died and the sidecar runs on",
        ),
        pytest.param(
            containers(SIDECAR, phase="Succeeded"), Ended, Reason.TRANSFER_FAILED, "was ended",
            id="the pod is over and says nothing of ours",
        ),
        pytest.param(
            containers(ours({"waiting": {"reason": "CreateContainerConfigError", "message": "container has runAsNonRoot"
                                         " and image will run as root"}}), phase="Pending"),
            Blocked, Reason.TRANSFER_REFUSED, "runAsNonRoot", id="no missing Secret, though the kubelet's word is the same",
        ),
    ],
)  # fmt: skip
def test_states(found: Json, kind: type, reason: Reason, words: str) -> None:
    state = read(job(), [found], [], NOW)
    assert isinstance(state, kind)
    told = state.told if isinstance(state, Working) else state.problem
    assert told is not None
    assert told.reason == reason
    assert words in told.message


def test_a_warning_that_something_good_came_after_is_over() -> None:
    pulled = {"type": "Normal", "message": "Successfully pulled image", "lastTimestamp": "2026-03-01T12:01:00Z"}
    micro = {"type": "Normal", "message": "Successfully assigned", "eventTime": "2026-03-01T12:01:00.123456Z"}
    starting = pod()
    for event in (pulled, micro):
        assert isinstance(read(job(), [starting], [warning("0/3 nodes are available"), event], NOW), Working)
    late = warning("MountVolume.SetUp failed", "2026-03-01T12:02:00Z")
    assert isinstance(read(job(), [starting], [late, pulled], NOW), Blocked)


# --- suspended -------------------------------------------------------------------------------------------------------


def suspended(labels: Json | None = None, managers: list[Json] | None = None) -> Json:
    found = job(conditions=[{"type": "Suspended", "status": "True", "reason": "JobSuspended"}])
    metadata = {**found["metadata"], "labels": labels or {}, "managedFields": managers or []}
    return {**found, "metadata": metadata, "spec": {"suspend": True}}


def manager(name: str, at: str, *fields: str) -> Json:
    return {"manager": name, "time": at, "fieldsV1": {"f:spec": {field: {} for field in fields}}}


CREATED = manager("llmbatch", "2026-03-01T12:00:00Z", "f:template", "f:suspend")
EDITED = manager("kubectl-patch", "2026-03-01T12:01:00Z", "f:suspend")


@pytest.mark.parametrize(
    ("found", "by"),
    [
        pytest.param(
            suspended({"kueue.x-k8s.io/queue-name": "batch"}, [CREATED]), "by Kueue (queue batch)", id="a queue"
        ),
        pytest.param(suspended(managers=[CREATED]), "by an admission webhook", id="while it was made"),
        pytest.param(suspended(managers=[EDITED, CREATED]), "by kubectl-patch", id="a person"),
        pytest.param(suspended(), "by somebody", id="who knows"),
    ],
)
@pytest.mark.parametrize(
    "pods",
    [
        pytest.param([], id="no pod"),
        pytest.param([containers(ours({"running": {}}))], id="its pod is being ended"),
        pytest.param([containers(ours({"terminated": {"exitCode": 143}}), phase="Failed")], id="its pod was ended"),
    ],
)
def test_a_suspended_job_says_by_what_and_is_no_failure(found: Json, by: str, pods: list[Json]) -> None:
    state = read(found, pods, [warning("Job suspended")], NOW)
    assert isinstance(state, Blocked)
    assert state.problem.reason == Reason.TRANSFER_SUSPENDED
    assert f"is suspended {by}" in state.problem.message


def test_a_report_counts_though_the_job_was_suspended_meanwhile() -> None:
    assert read(suspended(), [containers(ours(DONE))], [], NOW) == Ended(build.upload_report())


def test_a_job_that_was_resumed_is_no_longer_suspended() -> None:
    resumed = {**suspended(), "spec": {"suspend": False}}
    assert isinstance(read(resumed, [], [], NOW), Working), "the condition may come later than the spec"
    resumed["status"]["conditions"][0]["status"] = "False"
    assert isinstance(read({**resumed, "spec": {}}, [], [], NOW), Working)


def test_a_pod_behind_a_scheduling_gate_is_held_back() -> None:
    gate = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "waiting for gates"}
    state = read(job(), [pod(conditions=[gate])], [], NOW)
    assert isinstance(state, Blocked)
    assert state.problem.reason == Reason.TRANSFER_SUSPENDED
