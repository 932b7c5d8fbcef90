"""Panels of the dashboard: what each shows, and of which query. Both operators are scraped: sum over them, or take the largest."""

from dataclasses import dataclass, field
from typing import Literal

GATEWAYS = 'namespace=~"$namespace",gateway=~"$gateway"'
CALLS = "llmbatch_gateway_request_duration_seconds"
WINDOW = "$__rate_interval"
PRICES = {"input": "1.25", "output": "5"}
"""Of a million tokens, by kind: what the boxes input_price and output_price hold until somebody writes his own into them."""
BOXES = "at the prices in the boxes above: yours to set, for all models, in any currency; those of batches are usually half."
DAY = "24h"
"""Jobs end rarely: their durations are those of a day."""

Kind = Literal["stat", "lines", "stacked", "bars", "timeline"]


@dataclass(frozen=True)
class Panel:
    """A panel: queries by legend, in Grafana's units, `wide` of 24 columns, `high` in Grafana's rows; 0: as is usual."""

    title: str
    description: str
    queries: dict[str, str]
    unit: str = "short"
    kind: Kind = "lines"
    wide: int = 8
    high: int = 0
    red_from: float | None = None
    """The number that needs somebody's eye; below it all is well."""
    words: dict[str, str] = field(default_factory=dict)
    """What to show in place of a number."""


def quantiles(metric: str, by: str, window: str, *shares: float) -> dict[str, str]:
    """Give a query for each quantile of a histogram, by a label."""
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    rate = f"rate({metric}_bucket[{window}])"
    inner = f"sum by ({labels}) ({of_operators(rate) if metric.startswith('workqueue') else rate})"
    return {f"p{100 * share:g}{legend}": f"histogram_quantile({share:g}, {inner})" for share in shares}


def gateways(name: str) -> str:
    """Give a figure of each chosen gateway."""
    return f"max by (namespace, gateway) (llmbatch_gateway_{name}{{{GATEWAYS}}})"


def of_releases(metric: str, label: str) -> str:
    """Give a figure that of a release's operators one alone tells, over all releases."""
    return f"sum by ({label}) (max by (namespace, job, {label}) ({metric}))"


def spent(name: str, label: str) -> str:
    """Give what went through each chosen gateway within an hour."""
    return f"sum by (namespace, gateway, {label}) (increase(llmbatch_gateway_{name}_total{{{GATEWAYS}}}[1h]))"


def cost(metric: str, window: str, labels: str = "") -> str:
    """Give what tokens have cost by the prices in the boxes, by all labels of a metric of tokens."""
    kinds = (f'increase({metric}{{kind="{kind}"{labels}}}[{window}]) * ${kind}_price' for kind in PRICES)
    return f"({' or '.join(kinds)}) / 1e6"


def of_operators(expression: str) -> str:
    """Give a figure of the operators' processes: others on the same Prometheus have it too."""
    return f"{expression} * on (instance, job) group_left () llmbatch_build_info"


def grown(name: str, window: str = WINDOW) -> str:
    """Give by how much a counter has grown, in all processes; 0 before it is there."""
    return f"sum(increase({name}[{window}])) or vector(0)"


UNFINISHED = 'llmbatch_jobs{phase!~"Complete|Failed"}'

GLANCE = [
    Panel("Under way", "BatchJobs that have not ended.",
          {"": f"sum({of_releases(UNFINISHED, 'phase')})"}, kind="stat", wide=4),
    Panel("Waiting for a person", "BatchJobs that do not go on by themselves; kubectl describe bj says what to do.",
          {"": f"sum({of_releases('llmbatch_jobs_stalled', 'reason')}) or vector(0)"}, kind="stat", wide=4, red_from=1),
    Panel("Oldest unfinished batch", "The provider has 24 h for it; without jobs that stand in line or wait for a person.",
          {"": "max(llmbatch_oldest_unfinished_batch_seconds) or vector(0)"}, "s", "stat", wide=4, red_from=26 * 3600),
    Panel("Gateways not ready", "Of the chosen ones; kubectl describe bgw says what answers instead.",
          {"": f"count({gateways('ready')} == 0) or vector(0)"}, kind="stat", wide=4, red_from=1),
    Panel("Operators at work", "Of each release one works, the others stand by.",
          {"": "sum(llmbatch_leader)"}, kind="stat", wide=4),
    Panel("Duplicates, leftovers (24 h)", "Batches found beside the one of a job, and deletions that left something behind.",
          {"": f"round(({grown('llmbatch_duplicate_batches_total', DAY)}) + ({grown('llmbatch_left_behind_total', DAY)}))"},
          kind="stat", wide=4, red_from=1),
]  # fmt: skip

JOBS = [
    Panel("Jobs by phase", "All BatchJobs there are.", {"{{phase}}": of_releases("llmbatch_jobs", "phase")}, kind="stacked"),
    Panel("Jobs that wait for a person", "By reason; the page Reasons says what each means.",
          {"{{reason}}": of_releases("llmbatch_jobs_stalled", "reason")}, kind="stacked"),
    Panel("Oldest unfinished job", "Since it was made, by the phase it is in; and the oldest batch, which the provider has 24 h for.",
          {"{{phase}}": "max by (phase) (llmbatch_oldest_unfinished_job_seconds)",
           "{{phase}}, its batch": "max by (phase) (llmbatch_oldest_unfinished_batch_seconds)"}, "s"),
    Panel("Jobs that ended", "Within each hour, by result and reason.",
          {"{{result}}: {{reason}}": "sum by (result, reason) (increase(llmbatch_jobs_finished_total[1h])) > 0"}, kind="bars", wide=6),
    Panel("Duration of jobs", "From start to end, of those that ended within the day before.",
          quantiles("llmbatch_job_duration_seconds", "result", DAY, 0.5, 0.95), "s", wide=6),
    Panel("Transfers that failed", "Within each hour, by reason; in pods and in the operator. Most are tried again.",
          {"{{transfer}}: {{reason}}": "sum by (transfer, reason) (increase(llmbatch_transfer_failures_total[1h])) > 0",
           "uploads of one batch in a row": "max(llmbatch_failed_uploads_in_a_row)"},
          kind="bars", wide=6),
    Panel("Found after a lost answer", "Batches adopted, cancelled as duplicates, or left behind by a deletion.",
          {"adopted": grown("llmbatch_adoptions_total"), "duplicates": grown("llmbatch_duplicate_batches_total"),
           "left behind": grown("llmbatch_left_behind_total")}, wide=6),
]  # fmt: skip

TOKENS = [
    Panel("Tokens", "Of ended batches, within each hour; they are counted once the results are stored.",
          {"{{kind}}": "sum by (kind) (increase(llmbatch_tokens_total[1h]))"}, kind="bars"),
    Panel("Requests", "Of ended batches, within each hour.",
          {"{{result}}": "sum by (result) (increase(llmbatch_requests_total[1h]))"}, kind="bars"),
    Panel("Bytes moved", "Input and results.",
          {"{{direction}}": f"sum by (direction) (rate(llmbatch_gateway_bytes_total[{WINDOW}]))"}, "Bps"),
    Panel("Tokens by namespace and gateway", "Of ended batches, within each hour.",
          {"{{namespace}}/{{gateway}} {{kind}}": spent("tokens", "kind")}, kind="bars", wide=12),
    Panel("Requests by namespace and gateway", "Of ended batches, within each hour.",
          {"{{namespace}}/{{gateway}} {{result}}": spent("requests", "result")}, kind="bars", wide=12),
    Panel("Tokens of quota groups", "Reserved by estimate, beside the highest limit of the group's gateways.",
          {"{{group}} enqueued": of_releases("llmbatch_quota_enqueued_tokens", "group"),
           "{{group}} limit": "max by (group) (llmbatch_quota_limit_tokens)"}, wide=12),
    Panel("Batches that wait for tokens", "By quota group; status.queue of each BatchJob has its place in line.",
          {"{{group}}": of_releases("llmbatch_quota_queued_batches", "group")}, wide=12),
]  # fmt: skip

MONEY = [
    Panel("Spend", f"Within the chosen time, through all gateways, {BOXES}",
          {"": f"sum({cost('llmbatch_tokens_total', '$__range')})"}, kind="stat", wide=4, high=7),
    Panel("Spend by namespace", f"Within each hour, {BOXES}",
          {"{{namespace}}": f"sum by (namespace) ({cost('llmbatch_gateway_tokens_total', '1h', f',{GATEWAYS}')})"},
          kind="bars", wide=10),
    Panel("Spend by gateway", f"Within each hour, {BOXES}",
          {"{{namespace}}/{{gateway}}":
           f"sum by (namespace, gateway) ({cost('llmbatch_gateway_tokens_total', '1h', f',{GATEWAYS}')})"},
          kind="bars", wide=10),
]  # fmt: skip

CALLED = [
    Panel("Gateways ready", "Whether both routes answered as they should and took the credentials.",
          {"{{namespace}}/{{gateway}}": gateways("ready")}, kind="timeline", wide=12,
          words={"0": "not ready", "1": "ready"}),
    Panel("Batches of gateways", "At the provider, beside maxActiveBatches where there is one, and those that wait for tokens.",
          {"{{namespace}}/{{gateway}} active": gateways("active_batches"),
           "{{namespace}}/{{gateway}} at most": f"{gateways('max_active_batches')} > 0",
           "{{namespace}}/{{gateway}} queued": gateways("queued_batches")}, wide=12),
    Panel("Calls", "To all gateways, by HTTP status; none: no answer.",
          {"{{code}}": f"sum by (code) (rate({CALLS}_count[{WINDOW}]))"}, "reqps", "stacked", wide=6),
    Panel("Calls by operation", "To all gateways.",
          {"{{operation}}": f"sum by (operation) (rate({CALLS}_count[{WINDOW}]))"}, "reqps", wide=6),
    Panel("Latency", "Of 95 in 100 calls, by operation.", quantiles(CALLS, "operation", WINDOW, 0.95), "s", wide=6),
    Panel("429 and failures", "Share of the calls that were refused as too many, or failed (5xx, no answer).",
          {"429": f'(sum(rate({CALLS}_count{{code="429"}}[{WINDOW}])) or vector(0)) / sum(rate({CALLS}_count[{WINDOW}]))',
           "failures": f'(sum(rate({CALLS}_count{{code=~"5xx|none"}}[{WINDOW}])) or vector(0))'
                       f" / sum(rate({CALLS}_count[{WINDOW}]))"}, "percentunit", wide=6),
]  # fmt: skip

OPERATOR = [
    Panel("Leader", "Which process works.", {"{{instance}}": "max by (instance) (llmbatch_leader)"}, kind="timeline",
          words={"0": "stands by", "1": "works"}),
    Panel("Elections", "Times that a process has begun to work.",
          {"{{instance}}": f"sum by (instance) (increase(llmbatch_leader_elections_total[{WINDOW}]))"}),
    Panel("Statuses refused", "That the API server would not store.",
          {"": grown("llmbatch_status_refusals_total")}),
    Panel("Work queue", "Objects that are due and wait for a worker.",
          {"{{name}}": f"max by (name) ({of_operators('workqueue_depth')})"}, wide=6),
    Panel("Wait for a worker", "Of what was due.",
          quantiles("workqueue_queue_duration_seconds", "", WINDOW, 0.5, 0.99), "s", wide=6),
    Panel("Looks asked for", "At objects; later: planned, or after a failure.",
          {"{{name}}": f"sum by (name) ({of_operators(f'rate(workqueue_adds_total[{WINDOW}])')})",
           "{{name}} later": f"sum by (name) ({of_operators(f'rate(workqueue_retries_total[{WINDOW}])')})"}, "ops", wide=6),
    Panel("Looks under way", "Seconds since the longest of them began, and of all together: what rises and never falls hangs.",
          {"{{name}} longest": f"max by (name) ({of_operators('workqueue_longest_running_processor_seconds')})",
           "{{name}} all": f"sum by (name) ({of_operators('workqueue_unfinished_work_seconds')})"}, "s", wide=6),
    Panel("Passes", "Looks at an object, by how they ended.",
          {"{{ending}}": f"sum by (ending) (rate(llmbatch_reconcile_duration_seconds_count[{WINDOW}]))"}, "ops"),
    Panel("Duration of passes", "Calls to gateways and to the API server included.",
          quantiles("llmbatch_reconcile_duration_seconds", "", WINDOW, 0.5, 0.99), "s"),
    Panel("Duration by kind", "Of looks at BatchJobs and at BatchGateways.",
          quantiles("workqueue_work_duration_seconds", "name", WINDOW, 0.99), "s"),
    Panel("Event loop lag", "How late the event loop last was: more than a second is too little processor time.",
          {"{{instance}}": "max by (instance) (llmbatch_event_loop_lag_seconds)"}, "s"),
    Panel("Memory", "Resident, of each operator.", {"{{instance}}": of_operators("process_resident_memory_bytes")}, "bytes"),
    Panel("Processor", "Cores in use, by each operator.",
          {"{{instance}}": of_operators(f"rate(process_cpu_seconds_total[{WINDOW}])")}),
]  # fmt: skip

ROWS = {
    "At a glance": GLANCE,
    "Jobs": JOBS,
    "Tokens, requests and quotas": TOKENS,
    "Money": MONEY,
    "Gateways": CALLED,
    "Operator": OPERATOR,
}
