"""Prometheus metrics: all llmbatch_…, labels only from closed sets, never a job's name."""

from collections import Counter as Tally
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from llmbatch.api.batchjob_status import BatchJobStatus, Phase
from llmbatch.api.conditions import COMPLETE, FAILED

HOURS = (10, 30, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 48 * 3600)
CODES = ("2xx", "3xx", "4xx", "5xx")


class _Jobs(Collector):
    """Counts jobs by phase when scraped, from the cache, so that it can't drift."""

    def __init__(self, phases: Callable[[], list[str]]) -> None:
        self._phases = phases

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("llmbatch_jobs", "BatchJobs by phase.", labels=["phase"])
        found = Tally(self._phases())
        for phase in Phase:
            family.add_metric([phase.value], found.get(phase.value, 0))
        yield family


class _Quotas(Collector):
    """Tells of the quota groups when scraped; of so many, since a gateway names its own."""

    MOST = 100

    def __init__(self, groups: Callable[[], dict[str, tuple[int, int, int]]]) -> None:
        self._groups = groups

    def collect(self) -> Iterator[GaugeMetricFamily]:
        told = sorted(self._groups().items(), key=lambda item: -item[1][1])[: self.MOST]
        for name, help_text, place in (
            ("llmbatch_quota_limit_tokens", "Highest limit of a quota group's gateways, as learnt.", 0),
            ("llmbatch_quota_enqueued_tokens", "Tokens that a quota group has reserved, estimated.", 1),
            ("llmbatch_quota_queued_batches", "Batches that wait for tokens of a quota group.", 2),
        ):
            family = GaugeMetricFamily(name, help_text, labels=["group"])
            for group, figures in told:
                family.add_metric([group], figures[place])
            yield family


class Metrics:
    """All metrics of the operator, in a registry of their own."""

    def __init__(self, version: str) -> None:
        """Register every metric."""
        self.registry = CollectorRegistry()
        here = self.registry
        self.jobs_finished = Counter(
            "llmbatch_jobs_finished_total", "BatchJobs that ended.", ["result", "reason"], registry=here
        )
        self.requests = Counter("llmbatch_requests_total", "Requests of ended batches.", ["result"], registry=here)
        self.tokens = Counter("llmbatch_tokens_total", "Tokens used by ended batches.", ["kind"], registry=here)
        self.job_duration = Histogram(
            "llmbatch_job_duration_seconds", "From a job's start to its end.", buckets=HOURS, registry=here
        )
        self.queue_wait = Histogram(
            "llmbatch_queue_wait_seconds", "How long a key that was due waited for a worker.", registry=here
        )
        self.gateway_requests = Histogram(
            "llmbatch_gateway_request_duration_seconds", "Calls to gateways.", ["operation", "code"], registry=here
        )
        self.gateway_bytes = Counter(
            "llmbatch_gateway_bytes_total", "Bytes of input and results moved.", ["direction"], registry=here
        )
        self.reconciles = Histogram(
            "llmbatch_reconcile_duration_seconds", "Passes over an object.", ["ending"], registry=here
        )
        self.queue_depth = Gauge("llmbatch_workqueue_depth", "Keys that are due and wait for a worker.", registry=here)
        self.adoptions = Counter(
            "llmbatch_adoptions_total", "Batches found and taken over after a lost answer.", registry=here
        )
        self.duplicates = Counter(
            "llmbatch_duplicate_batches_total",
            "Batches found beside the one of a submission; must stay 0.",
            registry=here,
        )
        self.left_behind = Counter(
            "llmbatch_left_behind_total",
            "Deletions that left a batch, a file or results behind that were to go.",
            registry=here,
        )
        self.leader = Gauge("llmbatch_leader", "1 while this process does the work.", registry=here)
        self.loop_lag = Gauge("llmbatch_event_loop_lag_seconds", "How late the event loop last was.", registry=here)
        build = Gauge("llmbatch_build_info", "Version of the operator; always 1.", ["version"], registry=here)
        build.labels(version).set(1)

    def count_jobs(self, phases: Callable[[], list[str]]) -> None:
        """Count jobs from the given cache at every scrape."""
        self.registry.register(_Jobs(phases))

    def count_quotas(self, groups: Callable[[], dict[str, tuple[int, int, int]]]) -> None:
        """Tell of the quota groups at every scrape: limit, what is reserved, how many wait."""
        self.registry.register(_Quotas(groups))

    def gateway_call(self, operation: str, code: str, seconds: float) -> None:
        """Note a call to a gateway; `code` is an HTTP status or a word for its absence."""
        grouped = f"{code[0]}xx" if code[:1].isdigit() else "none"
        self.gateway_requests.labels(operation, grouped if grouped in CODES else "none").observe(seconds)

    def recorded(self, before: BatchJobStatus, after: BatchJobStatus) -> None:
        """Move the counters about work by what a pass has just recorded in status.

        Called only after the write succeeded: a restart finds the fact in status and doesn't count it again.
        """
        if before.input is None and after.input is not None:
            self.gateway_bytes.labels("upload").inc(after.input.bytes)
        if before.output is None and after.output is not None:
            self.gateway_bytes.labels("download").inc(after.output.bytes)
            if after.request_counts is not None:
                self.requests.labels("succeeded").inc(after.request_counts.completed)
                self.requests.labels("failed").inc(after.request_counts.failed)
            if after.usage is not None:
                self.tokens.labels("input").inc(after.usage.input_tokens)
                self.tokens.labels("output").inc(after.usage.output_tokens)
        for kind in (COMPLETE, FAILED):
            if after.holds(kind) and not before.holds(kind):
                found = after.condition(kind)
                self.jobs_finished.labels(kind.lower(), found.reason if found else "").inc()
                if after.start_time is not None and after.completion_time is not None:
                    # A clock that was set back in between must not make it negative.
                    self.job_duration.observe(max(0.0, (after.completion_time - after.start_time).total_seconds()))
