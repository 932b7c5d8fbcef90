"""Metrics, logs, events and settings: what people and machines see of the operator."""

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import generate_latest
from pydantic import ValidationError

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.kube.events import MESSAGE_LIMIT, MOST_WAITING, Recorder, Subject
from llmbatch.process import logs
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB
from llmbatch.runtime.figures import Gateways, Jobs
from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.queue import Key
from llmbatch.settings import Settings
from tests.chart.metrics_table import OURS, registry
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import cluster_of

SUBJECT = Subject("BatchJob", "team-a", "job", build.UID)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"llmbatch_{name}", labels)


def test_counters_move_with_the_fact_and_only_then() -> None:
    metrics = Metrics("1")
    usage = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}
    states: list[BatchJobStatus] = [
        build.status(),
        build.uploaded(),
        build.submitted(),
        build.stored(5, 4, usage=usage),
        build.ended(usage=usage),
    ]
    for before, after in itertools.pairwise(states):
        metrics.recorded(before, after)
    metrics.recorded(states[-1], states[-1])
    assert value(metrics, "gateway_bytes_total", direction="upload") == 500
    assert value(metrics, "gateway_bytes_total", direction="download") == 900
    assert value(metrics, "requests_total", result="succeeded") == 4
    assert value(metrics, "requests_total", result="failed") == 1
    assert value(metrics, "tokens_total", kind="input") == 7
    assert value(metrics, "jobs_finished_total", result="complete", reason="Succeeded") == 1
    assert value(metrics, "job_duration_seconds_sum", result="complete") == 3600


def test_requests_and_tokens_are_told_of_by_namespace_and_gateway_and_of_no_more_than_two_hundred() -> None:
    metrics = Metrics("1")
    usage = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}
    stored = build.stored(5, 4, usage=usage)
    for number in range(250):
        metrics.recorded(build.submitted(), stored, ("team-a", f"kong-{number}"))
    metrics.recorded(build.submitted(), stored, ("team-a", "kong-0"))
    assert value(metrics, "gateway_tokens_total", namespace="team-a", gateway="kong-0", kind="input") == 14
    assert value(metrics, "gateway_tokens_total", namespace="team-a", gateway="kong-199", kind="output") == 3
    assert value(metrics, "gateway_tokens_total", namespace="", gateway="others", kind="input") == 50 * 7
    assert value(metrics, "gateway_requests_total", namespace="team-a", gateway="kong-0", result="failed") == 2
    (told,) = [family for family in metrics.registry.collect() if family.name == "llmbatch_gateway_tokens"]
    names = {sample.labels["gateway"] for sample in told.samples}
    assert len(names) == 201


def test_counters_begin_at_nothing_before_the_first_batch_has_ended() -> None:
    metrics = Metrics("1")
    assert value(metrics, "tokens_total", kind="output") == 0
    assert value(metrics, "requests_total", result="failed") == 0
    labels = {"namespace": "team-a", "gateway": "kong"}
    metrics.recorded(build.status(), build.status(), ("team-a", "kong"))
    assert value(metrics, "gateway_tokens_total", **labels, kind="input") is None, "it need not even be there"
    metrics.recorded(build.status(), build.uploaded(), ("team-a", "kong"))
    for kind in ("input", "output"):
        assert value(metrics, "gateway_tokens_total", **labels, kind=kind) == 0
    assert value(metrics, "gateway_requests_total", **labels, result="succeeded") == 0


def test_with_gateways_switched_off_none_is_named() -> None:
    metrics = Metrics("1", of_gateways=False)
    metrics.recorded(build.submitted(), build.stored(5, 4), ("team-a", "kong"))
    assert value(metrics, "requests_total", result="succeeded") == 4
    told = [sample for family in metrics.registry.collect() for sample in family.samples]
    assert [sample for sample in told if "gateway" in sample.labels] == []


def object_of(kind: str, name: str, found: dict[str, Any]) -> tuple[Key, dict[str, Any]]:
    metadata = {"creationTimestamp": "2026-03-01T12:00:00Z", **(found.get("metadata") or {})}
    return Key(kind, "team-a", name), {**found, "metadata": metadata}


def test_jobs_are_told_of_when_asked_for() -> None:
    metrics = Metrics("1")
    jobs = [object_of(BATCHJOB, "done", {"status": build.ended().dump()})]
    metrics.tell(Jobs(lambda: jobs, now=lambda: datetime(2026, 3, 1, 13, tzinfo=UTC).timestamp()))
    assert value(metrics, "jobs", phase="Complete") == 1
    assert value(metrics, "jobs", phase="Failed") == 0
    assert value(metrics, "oldest_unfinished_job_seconds", phase="Complete") is None, "it has ended"
    stalled = {"phase": "Collecting", "conditions": [build.condition("Stalled", "True", "OutputExists")]}
    jobs.append(object_of(BATCHJOB, "stalled", {"status": stalled}))
    jobs.append(object_of(BATCHJOB, "new", {"metadata": {"creationTimestamp": "2026-03-01T12:59:00Z"}}))
    newer = {"metadata": {"creationTimestamp": "2026-03-01T12:59:30Z"}, "status": {"phase": "Pending"}}
    jobs.append(object_of(BATCHJOB, "newer", newer))
    assert value(metrics, "jobs", phase="Pending") == 2
    assert value(metrics, "jobs_stalled", reason="OutputExists") == 1
    assert value(metrics, "oldest_unfinished_job_seconds", phase="Collecting") == 3600
    assert value(metrics, "oldest_unfinished_job_seconds", phase="Pending") == 60


def test_a_failed_job_waits_for_nobody() -> None:
    metrics = Metrics("1")
    told = [build.condition(kind, "True", "AllRequestsFailed") for kind in ("Stalled", "Failed")]
    metrics.tell(Jobs(lambda: [object_of(BATCHJOB, "failed", {"status": {"phase": "Failed", "conditions": told}})]))
    assert value(metrics, "jobs_stalled", reason="AllRequestsFailed") is None


def test_gateways_are_told_of_and_no_more_than_so_many() -> None:
    metrics = Metrics("1")
    status = {"activeBatches": 7, "queuedBatches": 3, "conditions": [build.condition("Ready", "True", "GatewayReady")]}
    gateways = [object_of(BATCHGATEWAY, f"idle-{number}", {"spec": {}}) for number in range(500)]
    spec = {"limits": {"maxActiveBatches": 20}}
    gateways.append(object_of(BATCHGATEWAY, "kong", {"spec": spec, "status": status}))
    metrics.tell(Gateways(lambda: gateways))
    labels = {"namespace": "team-a", "gateway": "kong"}
    assert value(metrics, "gateway_ready", **labels) == 1
    assert value(metrics, "gateway_active_batches", **labels) == 7
    assert value(metrics, "gateway_max_active_batches", **labels) == 20
    assert value(metrics, "gateway_queued_batches", **labels) == 3
    assert value(metrics, "gateway_ready", namespace="team-a", gateway="idle-0") == 0
    text = generate_latest(metrics.registry).decode()
    assert text.count("llmbatch_gateway_ready{") == 200


def test_of_gateways_that_are_idle_those_that_are_not_ready_are_told_of_first() -> None:
    """There is an alert for them, and nothing runs through a gateway that does not answer."""
    metrics = Metrics("1")
    ready = {"conditions": [build.condition("Ready", "True", "GatewayReady")]}
    gateways = [object_of(BATCHGATEWAY, f"idle-{number}", {"spec": {}, "status": ready}) for number in range(500)]
    gateways.append(object_of(BATCHGATEWAY, "kong", {"spec": {}, "status": {}}))
    metrics.tell(Gateways(lambda: gateways))
    assert value(metrics, "gateway_ready", namespace="team-a", gateway="kong") == 0


@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("200", "2xx"),
        ("404", "4xx"),
        ("429", "429"),
        ("504", "5xx"),
        ("timeout", "none"),
        ("", "none"),
        ("999", "none"),
    ],
)
def test_codes_are_from_a_closed_set(code: str, label: str) -> None:
    metrics = Metrics("1")
    metrics.gateway_call("get batch", code, 0.1)
    found = value(metrics, "gateway_request_duration_seconds_count", operation="get batch", code=label)
    assert found == 1


def test_every_metric_is_ours_or_has_its_usual_name_and_says_what_it_is() -> None:
    text = generate_latest(registry()).decode()
    helps = [line.split(" ", 3) for line in text.splitlines() if line.startswith("# HELP")]
    assert all(
        (name.startswith((*OURS, "process_")) and told.endswith(".")) or "must stay 0" in told
        for _, _, name, told in helps
    )


# --- logs ------------------------------------------------------------------------------------------------------------


def test_a_line_of_the_log_is_one_object() -> None:
    error = (ValueError, ValueError("boom\nboom"), None)
    record = logging.LogRecord("llmbatch.x", logging.ERROR, "f", 1, "two\nlines %s", ("here",), error)
    record.object = "BatchJob/n/a"
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["message"], told["level"], told["object"]) == ("two\nlines here", "error", "BatchJob/n/a")
    assert "boom" in told["trace"]


# --- events ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with ApiServer().serve() as server:
        yield server


async def test_events_are_sent_in_order_and_a_refused_one_stops_none(api: ApiServer) -> None:
    api.fault("status", "create", "events", status=403)
    cluster = cluster_of(api)
    recorder = Recorder(cluster, "llmbatch-system", "pod-1")
    for reason in (Reason.UPLOADING, Reason.VALIDATING, Reason.SUCCEEDED):
        recorder.record(SUBJECT, "Normal", reason, "\x1b[2J" + "x" * 5000)
    task = asyncio.create_task(recorder.run())
    await recorder.flush(5)
    task.cancel()
    await cluster.close()
    events = sorted(api.objects("events"), key=lambda event: int(event["metadata"]["resourceVersion"]))
    assert [event["reason"] for event in events] == ["Validating", "Succeeded"]
    assert events[0]["involvedObject"]["uid"] == build.UID
    assert len(events[0]["message"]) == MESSAGE_LIMIT
    assert events[0]["message"].startswith("\ufffd[2Jx"), "nothing in it steers a terminal"


async def test_what_a_namespace_that_ends_does_not_take_is_told_about_the_operators_own_pod(api: ApiServer) -> None:
    api.terminating.add(SUBJECT.namespace)
    cluster = cluster_of(api)
    recorder = Recorder(cluster, "llmbatch-system", "pod-1", "uid-1")
    recorder.record(SUBJECT, "Warning", Reason.REMOTE_FILES_RETAINED, "batch-1 is left")
    task = asyncio.create_task(recorder.run())
    await recorder.flush(5)
    task.cancel()
    await cluster.close()
    (event,) = api.objects("events")
    pod = {"apiVersion": "v1", "kind": "Pod", "namespace": "llmbatch-system", "name": "pod-1", "uid": "uid-1"}
    assert (event["involvedObject"], event["metadata"]["namespace"]) == (pod, "llmbatch-system")
    told = f"{SUBJECT.kind} {SUBJECT.namespace}/{SUBJECT.name}: batch-1 is left"
    assert (event["reason"], event["message"]) == (Reason.REMOTE_FILES_RETAINED, told)


async def test_events_beyond_what_can_be_sent_are_dropped_and_nothing_waits(api: ApiServer) -> None:
    cluster = cluster_of(api)
    recorder = Recorder(cluster, "llmbatch-system", "pod-1")
    for _ in range(1100):
        recorder.record(SUBJECT, "Normal", Reason.UPLOADING, "m")
    await recorder.flush(0.01)
    await cluster.close()
    assert api.calls == []


async def test_a_flood_of_events_of_one_namespace_neither_drops_nor_holds_up_those_of_another(api: ApiServer) -> None:
    cluster = cluster_of(api)
    recorder = Recorder(cluster, "llmbatch-system", "pod-1")
    for number in range(MOST_WAITING + 100):
        recorder.record(Subject("BatchJob", "flood", f"j{number}", f"uid-{number}"), "Normal", Reason.UPLOADING, "m")
    recorder.record(SUBJECT, "Normal", Reason.SUCCEEDED, "m")
    for number in range(100):
        recorder.record(Subject("BatchJob", "flood", f"k{number}", f"more-{number}"), "Normal", Reason.UPLOADING, "m")
    task = asyncio.create_task(recorder.run())
    await recorder.flush(20)
    task.cancel()
    await cluster.close()
    created = [call.namespace for call in api.calls]
    assert (created.index(SUBJECT.namespace), len(created)) == (1, MOST_WAITING)


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "field", "expected"),
    [
        ({}, "watch_namespaces", ()),
        ({"LLMBATCH_WATCH_NAMESPACES": "a, b,"}, "watch_namespaces", ("a", "b")),
        ({"LLMBATCH_WATCH_NAMESPACES": ""}, "watch_namespaces", ()),
        ({"LLMBATCH_SETTLE_SECONDS": "0.5"}, "settle_seconds", 0.5),
        ({"LLMBATCH_TRANSFER_RESOURCES": '{"limits": {"cpu": 1}}'}, "transfer_resources", {"limits": {"cpu": 1}}),
        ({"LLMBATCH_IMAGE_PULL_SECRETS": "x"}, "image_pull_secrets", ("x",)),
        ({"OTHER_IMAGE": "x"}, "image", "llmbatch"),
    ],
)
def test_settings(environment: dict[str, str], field: str, expected: Any) -> None:
    assert getattr(Settings.from_environment(environment), field) == expected


@pytest.mark.parametrize(
    "environment",
    [{"LLMBATCH_WORKERS": "0"}, {"LLMBATCH_METRICS_PORT": "x"}, {"LLMBATCH_TRANSFER_RESOURCES": "{"}],
)
def test_a_setting_that_cannot_be_used_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises((ValidationError, ValueError)):
        Settings.from_environment(environment)
