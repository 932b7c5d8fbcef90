"""What Prometheus is told of jobs and gateways: read from the cache when it asks, so that it can't drift."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from llmbatch.api.batchjob_status import Phase
from llmbatch.batch.pure import remote_state
from llmbatch.job.pure.conditions import HELD_BACK
from llmbatch.runtime.objects import max_active_batches
from llmbatch.runtime.queue import BOUNDS, Durations, Key, Traffic

Json = dict[str, Any]
Objects = Callable[[], list[tuple[Key, Json]]]

MOST = 200
"""Gateways, or quota groups, that are told of: users make them, and name them."""
BEFORE_SUBMISSION = frozenset({Phase.PENDING, Phase.UPLOADING, Phase.SUBMITTING})
"""Of a job that has a batch to be made yet."""


class Jobs(Collector):
    """Tells of BatchJobs: how many in which phase, who needs a person, and since when nothing is new of the oldest."""

    def __init__(self, jobs: Objects, now: Callable[[], float] = time.time) -> None:
        """Take what gives all of them."""
        self._jobs, self._now = jobs, now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Look at each of them once."""
        phases: Tally[str] = Tally()
        stalled: Tally[str] = Tally()
        oldest: dict[str, str] = {}
        quiet: dict[str, str] = {}
        unfinished: list[tuple[tuple[str, str], str, Json]] = []
        lines: set[tuple[str, str]] = set()
        for key, found in self._jobs():
            phase = str((found.get("status") or {}).get("phase") or Phase.PENDING)
            phases[phase] += 1
            if remote_state.is_ended(found):
                continue
            _keep_oldest(oldest, phase, str(found["metadata"].get("creationTimestamp") or ""))
            if (reason := _reason(found, "Stalled")) is not None:
                stalled[reason] += 1
                continue
            gateway = (key.namespace, str(((found.get("spec") or {}).get("gatewayRef") or {}).get("name") or ""))
            if _is_in_line(found):
                lines.add(gateway)
            unfinished.append((gateway, phase, found))
        uploads = 0
        for gateway, phase, found in unfinished:
            uploads = max(uploads, remote_state.failed_uploads(found))
            _keep_oldest(quiet, phase, _last_news(found, in_line=phase in BEFORE_SUBMISSION and gateway in lines))
        yield _family("llmbatch_jobs", "BatchJobs by phase.", "phase", {phase: phases[phase] for phase in Phase})
        yield _family(
            "llmbatch_jobs_stalled",
            "BatchJobs that have not ended and wait for a person, by reason.",
            "reason",
            stalled,
        )
        for name, help_text, times in (
            ("llmbatch_oldest_unfinished_job_seconds", "Age of the oldest BatchJob that has not ended.", oldest),
            (
                "llmbatch_oldest_unfinished_batch_seconds",
                "Age of the oldest batch that runs; or of a BatchJob without one that neither stands in line nor waits for a person.",
                quiet,
            ),
        ):
            ages = {phase: max(0.0, self._now() - _seconds(moment)) for phase, moment in times.items()}
            yield _family(name, help_text, "phase", ages)
        yield GaugeMetricFamily(
            "llmbatch_failed_uploads_in_a_row",
            "Most uploads of one batch that have failed in a row, of BatchJobs that go on by themselves.",
            uploads,
        )


class Gateways(Collector):
    """Tells of BatchGateways, as their status does."""

    def __init__(self, gateways: Objects) -> None:
        """Take what gives all of them."""
        self._gateways = gateways

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Look at each of them once; the busiest first, and of the idle ones those that are not ready."""
        told = sorted(self._gateways(), key=lambda item: (-_active(item[1]), _ready(item[1]), item[0]))[:MOST]
        for name, help_text, figure in (
            ("llmbatch_gateway_ready", "1 if the BatchGateway is Ready.", _ready),
            ("llmbatch_gateway_active_batches", "Batches that the provider has, or is about to be given.", _active),
            ("llmbatch_gateway_max_active_batches", "Its limits.maxActiveBatches; 0 is no limit.", max_active_batches),
            ("llmbatch_gateway_queued_batches", "Batches that wait for tokens of its quota.", _queued),
        ):
            family = GaugeMetricFamily(name, help_text, labels=["namespace", "gateway"])
            for key, found in told:
                family.add_metric([key.namespace, key.name], figure(found))
            yield family


class Quotas(Collector):
    """Tells of the quota groups."""

    def __init__(self, groups: Callable[[], dict[str, tuple[int, int, int]]]) -> None:
        """Take what gives limit, reserved tokens and waiting batches of each."""
        self._groups = groups

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Look at each of them once; the busiest first."""
        told = sorted(self._groups().items(), key=lambda item: -item[1][1])[:MOST]
        for name, help_text, place in (
            ("llmbatch_quota_limit_tokens", "Highest limit of a quota group's gateways, as learnt.", 0),
            ("llmbatch_quota_enqueued_tokens", "Tokens that a quota group has reserved, estimated.", 1),
            ("llmbatch_quota_queued_batches", "Batches that wait for tokens of a quota group.", 2),
        ):
            yield _family(name, help_text, "group", {group: figures[place] for group, figures in told})


class Queue(Collector):
    """Tells of the work queue what client-go tells of its queues, under its names: each kind of key as a queue.

    Work is a whole look at an object: one that takes long goes on without its worker.
    """

    def __init__(self, traffic: Mapping[str, Traffic], under_way: Callable[[], list[tuple[str, float]]] = list) -> None:
        """Take what has passed through, by kind, and what gives kind and seconds of each look that goes on."""
        self._traffic, self._under_way = traffic, under_way

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """Read it."""
        queues = {kind.lower(): found for kind, found in list(self._traffic.items())}
        ages: dict[str, list[float]] = {name: [] for name in queues}
        for kind, seconds in self._under_way():
            ages.setdefault(kind.lower(), []).append(seconds)
        depths = {name: found.depth for name, found in queues.items()}
        yield _family("workqueue_depth", "Objects that are due and wait for a worker.", "name", depths)
        adds = CounterMetricFamily("workqueue_adds", "Looks at objects that were asked for.", labels=["name"])
        retries = CounterMetricFamily(
            "workqueue_retries",
            "Looks that were asked for after a delay, planned or after a failure.",
            labels=["name"],
        )
        for name, found in queues.items():
            adds.add_metric([name], found.adds)
            retries.add_metric([name], found.retries)
        yield adds
        yield retries
        waited = {name: found.waited for name, found in queues.items()}
        yield _histogram("workqueue_queue_duration_seconds", "How long what was due waited for a worker.", waited)
        worked = {name: found.worked for name, found in queues.items()}
        yield _histogram(
            "workqueue_work_duration_seconds", "How long looks took, those without their worker too.", worked
        )
        yield _family(
            "workqueue_unfinished_work_seconds",
            "Of all looks that go on together; one that hangs adds a second each second.",
            "name",
            {name: sum(found) for name, found in ages.items()},
        )
        yield _family(
            "workqueue_longest_running_processor_seconds",
            "Of the look that has gone on for longest.",
            "name",
            {name: max(found, default=0.0) for name, found in ages.items()},
        )


def _histogram(name: str, help_text: str, told: Mapping[str, Durations]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, help_text, labels=["name"])
    bounds = [*map(str, BOUNDS), "+Inf"]
    for label, found in told.items():
        counts = accumulate(found.counts)
        family.add_metric([label], list(zip(bounds, counts, strict=True)), found.seconds)
    return family


def _family(name: str, help_text: str, label: str, values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family


def _keep_oldest(times: dict[str, str], phase: str, moment: str) -> None:
    if moment and (phase not in times or moment < times[phase]):
        times[phase] = moment


def _is_in_line(found: Json) -> bool:
    """Tell whether a job waits for tokens of its quota, or for a place among its gateway's batches: others go first."""
    status = found.get("status") or {}
    told = status.get("conditions") or []
    return bool(status.get("queue")) or any(
        item.get("reason") in HELD_BACK and item.get("status") != "True" for item in told
    )


def _last_news(found: Json, *, in_line: bool) -> str:
    """Give since when a job has waited for its oldest batch that runs; without one, since when nothing was new.

    Args:
        found: A job. All moments of its own are RFC 3339 in UTC.
        in_line: It has a batch to be made, and jobs of its gateway stand in line: it stands there too, or has just left.
    """
    running, newest = remote_state.submissions(found)
    metadata = found["metadata"]
    made, deleted = (str(metadata.get(name) or "") for name in ("creationTimestamp", "deletionTimestamp"))
    if in_line and not running and not deleted:
        return ""
    return max(running or max(made, newest), deleted)


def _reason(found: Json, kind: str) -> str | None:
    """Give the reason of a condition that holds."""
    conditions = (found.get("status") or {}).get("conditions") or []
    told = (item for item in conditions if item.get("type") == kind and item.get("status") == "True")
    return next((str(item.get("reason") or "") for item in told), None)


def _ready(gateway: Json) -> int:
    return int(_reason(gateway, "Ready") is not None)


def _active(gateway: Json) -> int:
    return int((gateway.get("status") or {}).get("activeBatches") or 0)


def _queued(gateway: Json) -> int:
    return int((gateway.get("status") or {}).get("queuedBatches") or 0)


def _seconds(made: str) -> float:
    try:
        return datetime.fromisoformat(made).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return time.time()
