"""What Prometheus is told of jobs and gateways: read from the cache when it asks, so that it can't drift."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from llmbatch.api.batchjob_status import Phase
from llmbatch.batch.pure import remote_state
from llmbatch.runtime.cache import max_active_batches
from llmbatch.runtime.queue import Key

Json = dict[str, Any]
Objects = Callable[[], list[tuple[Key, Json]]]

MOST = 200
"""Gateways, or quota groups, that are told of: users make them, and name them."""


class Jobs(Collector):
    """Tells of BatchJobs: how many in which phase, who needs a person, and since when the oldest has not ended."""

    def __init__(self, jobs: Objects, now: Callable[[], float] = time.time) -> None:
        """Take what gives all of them."""
        self._jobs, self._now = jobs, now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Look at each of them once."""
        phases: Tally[str] = Tally()
        stalled: Tally[str] = Tally()
        oldest: dict[str, str] = {}
        for _, found in self._jobs():
            phase = str((found.get("status") or {}).get("phase") or Phase.PENDING)
            phases[phase] += 1
            if remote_state.is_ended(found):
                continue
            made = str(found["metadata"].get("creationTimestamp") or "")
            if made and (phase not in oldest or made < oldest[phase]):
                oldest[phase] = made
            if (reason := _reason(found, "Stalled")) is not None:
                stalled[reason] += 1
        yield _family("llmbatch_jobs", "BatchJobs by phase.", "phase", {phase: phases[phase] for phase in Phase})
        yield _family(
            "llmbatch_jobs_stalled",
            "BatchJobs that have not ended and wait for a person, by reason.",
            "reason",
            stalled,
        )
        ages = {phase: max(0.0, self._now() - _seconds(made)) for phase, made in oldest.items()}
        yield _family(
            "llmbatch_oldest_unfinished_job_seconds", "Age of the oldest BatchJob that has not ended.", "phase", ages
        )


class Gateways(Collector):
    """Tells of BatchGateways, as their status does."""

    def __init__(self, gateways: Objects) -> None:
        """Take what gives all of them."""
        self._gateways = gateways

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Look at each of them once; the busiest first."""
        told = sorted(self._gateways(), key=lambda item: (-_active(item[1]), item[0]))[:MOST]
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


def _family(name: str, help_text: str, label: str, values: Json | Tally[str] | dict[Phase, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family


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
