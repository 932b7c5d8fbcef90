"""What a transfer Job tells of its transfer by itself, and what has to be read from its pod."""

from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure import manifest, naming, state, suspension, told
from llmbatch.transfer.pure.plan import PLAN_VARIABLE
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfer.pure.state import Working

Json = dict[str, Any]
COMPLETE: Json = {"conditions": [{"type": "Complete", "status": "True"}]}


def job(spec: Json | None = None, **status: Any) -> Json:
    labels = {naming.LABEL_MANAGED_BY: naming.MANAGER, naming.LABEL_UID: "u", "team": "a", suspension.QUEUE_LABEL: "q"}
    env = [{"name": PLAN_VARIABLE, "value": "{}"}, {"name": "LLMBATCH_HEADER_0", "value": "x" * 1000}]
    containers = [{"name": "istio-proxy"}, {"name": naming.CONTAINER, "env": env, "image": "i" * 100}]
    return {
        "metadata": {
            "name": "job-upload-0123456789",
            "namespace": "team-a",
            "uid": "1",
            "resourceVersion": "7",
            "creationTimestamp": "2026-03-01T12:00:00Z",
            "labels": labels,
            "annotations": {manifest.TEMPLATE_ANNOTATION: "d", "other": "x" * 1000},
            "managedFields": [{"manager": "kueue", "fieldsV1": {"f:spec": {"f:suspend": {}}}}],
        },
        "spec": {"backoffLimit": 0, "template": {"spec": {"containers": containers}}, **(spec or {})},
        "status": status,
    }


PENDING = Working(Problem(reason=Reason.TRANSFER_PENDING, message="The transfer pod is starting."))
RUNNING = Working(state.RUNNING["upload"])


@pytest.mark.parametrize(
    ("found", "age", "was_ready", "expected"),
    [
        pytest.param(job(), 0.5, False, PENDING, id="a Job of just now is taken to be starting"),
        pytest.param(job(active=1), 1.5, False, PENDING, id="its pod is there"),
        pytest.param(job(active=1), 2.5, False, None, id="after a moment its pod is asked why"),
        pytest.param(job(active=1, ready=1), 600, True, RUNNING, id="all containers run, ours among them"),
        pytest.param(job(active=1, ready=0), 0.5, True, None, id="they did, and do no more"),
        pytest.param(job(ready=1, terminating=1), 60, True, None, id="its pod is being ended"),
        pytest.param(job(**COMPLETE), 0.5, False, None, id="its report is in the pod"),
        pytest.param(job(failed=1), 0.5, False, None, id="so is why it failed"),
        pytest.param(job(succeeded=1), 0.5, False, None, id="the condition comes a little later"),
        pytest.param(job({"suspend": True}), 0.5, False, None, id="it is held back"),
    ],
)
def test_what_a_job_tells(found: Json, age: float, was_ready: bool, expected: Working | None) -> None:
    assert told.working(found, age, was_ready=was_ready) == expected
    assert told.working(told.kept(found), age, was_ready=was_ready) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(job(), job(active=1), False, id="a pod was made"),
        pytest.param(job(active=1), job(active=1, ready=1), False, id="it runs, as was to be expected"),
        pytest.param(job(active=1, ready=1), job(active=1), True, id="it runs no more"),
        pytest.param(job(active=1), job(**COMPLETE), True, id="it has ended"),
        pytest.param(job(), job({"suspend": True}), True, id="it is held back"),
        pytest.param(job({"suspend": True}), job(), True, id="it goes on"),
    ],
)
def test_what_is_news(before: Json, after: Json, expected: bool) -> None:
    assert told.is_news(told.kept(before), told.kept(after)) is expected


def test_little_is_kept_of_a_job_and_all_that_is_looked_at() -> None:
    found = job({"suspend": True}, active=1, **COMPLETE)
    kept = told.kept(found)
    assert len(str(kept)) < len(str(found)) / 2
    assert suspension.problem(kept) == suspension.problem(found)
    assert kept["metadata"]["annotations"] == {manifest.TEMPLATE_ANNOTATION: "d"}
    assert "managedFields" not in told.kept(job())["metadata"], "they tell only who holds it back"
    (container,) = kept["spec"]["template"]["spec"]["containers"]
    assert container == {"name": naming.CONTAINER, "env": [{"name": PLAN_VARIABLE, "value": "{}"}]}
