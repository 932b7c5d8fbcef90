"""Prometheus metrics: llmbatch_…, labels only from closed sets, never a job's name; the queue's and the process' as usual."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.registry import Collector

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.conditions import COMPLETE, FAILED
from llmbatch.api.reasons import Reason

HOURS = (10, 30, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 48 * 3600)
RESULTS, KINDS = ("succeeded", "failed"), ("input", "output")
"""Of requests, and of tokens."""
ENDINGS = {
    COMPLETE: (Reason.SUCCEEDED, Reason.COMPLETED_WITH_FAILURES),
    FAILED: (
        Reason.INVALID_INPUT, Reason.ESTIMATE_TOO_HIGH, Reason.UNUSABLE_ID, Reason.REQUEST_REFUSED,
        Reason.REMOTE_FILE_FAILED, Reason.BATCH_FAILED, Reason.BATCH_EXPIRED, Reason.BATCH_CANCELLED,
        Reason.ALL_REQUESTS_FAILED, Reason.SUCCESS_POLICY_NOT_MET, Reason.REQUEST_FAILURE_POLICY,
    ),
}  # fmt: skip
"""How jobs end: reasons by condition."""
TRANSFERS = ("upload", "collect", "merge", "discard")
ALARMING = (Reason.TRANSFER_FAILED, Reason.GATEWAY_UNREACHABLE)
"""Problems of transfers that there is an alert for."""
CODES = ("2xx", "3xx", "429", "4xx", "5xx")
"""429 apart from other refusals: nothing is wrong with the call."""


MOST_GATEWAYS = 200
"""BatchGateways that counters are kept of by name: users make them. What goes through any other is counted as "others"."""
OTHERS = ("", "others")


class Metrics:
    """All metrics of the operator, in a registry of their own."""

    def __init__(self, version: str, *, of_gateways: bool = True) -> None:
        """Register every metric; with `of_gateways`, some are kept by namespace and BatchGateway."""
        self._of_gateways = of_gateways
        self._known_gateways: set[tuple[str, str]] = set()
        self.registry = CollectorRegistry()
        here = self.registry
        self.jobs_finished = Counter(
            "llmbatch_jobs_finished_total", "BatchJobs that ended.", ["result", "reason"], registry=here
        )
        self.requests = Counter("llmbatch_requests_total", "Requests of ended batches.", ["result"], registry=here)
        self.tokens = Counter("llmbatch_tokens_total", "Tokens used by ended batches.", ["kind"], registry=here)
        self.gateway_results = Counter(
            "llmbatch_gateway_requests_total",
            "Requests of ended batches, by BatchGateway.",
            ["namespace", "gateway", "result"],
            registry=here,
        )
        self.gateway_tokens = Counter(
            "llmbatch_gateway_tokens_total",
            "Tokens used by ended batches, by BatchGateway.",
            ["namespace", "gateway", "kind"],
            registry=here,
        )
        self.job_duration = Histogram(
            "llmbatch_job_duration_seconds", "From a job's start to its end.", ["result"], buckets=HOURS, registry=here
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
        self.transfer_failures = Counter(
            "llmbatch_transfer_failures_total",
            "Uploads, collections, merges and deletions of results that ended with a problem, by reason.",
            ["transfer", "reason"],
            registry=here,
        )
        self.refusals = Counter(
            "llmbatch_status_refusals_total", "Statuses that the API server would not store.", registry=here
        )
        self.elections = Counter(
            "llmbatch_leader_elections_total", "Times that this process has begun to do the work.", registry=here
        )
        self.leader = Gauge("llmbatch_leader", "1 while this process does the work.", registry=here)
        self.loop_lag = Gauge("llmbatch_event_loop_lag_seconds", "How late the event loop last was.", registry=here)
        build = Gauge("llmbatch_build_info", "Version of the operator; always 1.", ["version"], registry=here)
        build.labels(version).set(1)
        ProcessCollector(registry=here)
        self._begin_all()

    def _begin_all(self) -> None:
        """Have all counters begin at 0 of which an alert asks how far they have grown; see `_begin`."""
        self._begin(self.requests, self.tokens)
        for kind, reasons in ENDINGS.items():
            for reason in reasons:
                self.jobs_finished.labels(kind.lower(), reason)
        for transfer in TRANSFERS:
            for reason in ALARMING:
                self.transfer_failures.labels(transfer, reason)

    def tell(self, *collectors: Collector) -> None:
        """Tell at every scrape of what is read only then."""
        for collector in collectors:
            self.registry.register(collector)

    def gateway_call(self, operation: str, code: str, seconds: float) -> None:
        """Note a call to a gateway; `code` is an HTTP status or a word for its absence."""
        known = next((name for name in (code, f"{code[:1]}xx") if name in CODES), "none")
        self.gateway_requests.labels(operation, known).observe(seconds)

    def recorded(self, before: BatchJobStatus, after: BatchJobStatus, gateway: tuple[str, str] = OTHERS) -> None:
        """Move the counters about work by what a pass has just recorded in status; `gateway` is (namespace, name).

        Called only after the write succeeded: a restart finds the fact in status and doesn't count it again.
        """
        if before.input is None and after.input is not None:
            self.gateway_bytes.labels("upload").inc(after.input.bytes)
        if before.output is None and after.output is not None:
            self.gateway_bytes.labels("download").inc(after.output.bytes)
            self._spent(after, gateway)
        if after.input is not None:
            self._known(gateway)
        for kind in (COMPLETE, FAILED):
            if after.holds(kind) and not before.holds(kind):
                found = after.condition(kind)
                self.jobs_finished.labels(kind.lower(), found.reason if found else "").inc()
                if after.start_time is not None and after.completion_time is not None:
                    # A clock that was set back in between must not make it negative.
                    self.job_duration.labels(kind.lower()).observe(
                        max(0.0, (after.completion_time - after.start_time).total_seconds())
                    )

    def _spent(self, after: BatchJobStatus, gateway: tuple[str, str]) -> None:
        """Count the requests and tokens of a job whose results were stored."""
        counts, usage = after.request_counts, after.usage
        results = {} if counts is None else {"succeeded": counts.completed, "failed": counts.failed}
        kinds = {} if usage is None else {"input": usage.input_tokens, "output": usage.output_tokens}
        for result, count in results.items():
            self.requests.labels(result).inc(count)
        for kind, count in kinds.items():
            self.tokens.labels(kind).inc(count)
        if not self._of_gateways:
            return
        namespace, name = gateway if self._known(gateway) else OTHERS
        for result, count in results.items():
            self.gateway_results.labels(namespace, name, result).inc(count)
        for kind, count in kinds.items():
            self.gateway_tokens.labels(namespace, name, kind).inc(count)

    def _known(self, gateway: tuple[str, str]) -> bool:
        """Tell whether counters are kept of a gateway by name; they begin when something was uploaded through it."""
        if gateway not in self._known_gateways:
            if not self._of_gateways or len(self._known_gateways) >= MOST_GATEWAYS:
                return False
            self._known_gateways.add(gateway)
            self._begin(self.gateway_results, self.gateway_tokens, *gateway)
        return True

    @staticmethod
    def _begin(results: Counter, tokens: Counter, *labels: str) -> None:
        """Have counters begin at 0: how far one has grown that is first seen when it has counted, Prometheus can't know."""
        for result in RESULTS:
            results.labels(*labels, result)
        for kind in KINDS:
            tokens.labels(*labels, kind)
