"""python -m tests.chart.metrics_table: write the table of metrics in docs/observability.md from what the operator registers."""

import re

from prometheus_client import CollectorRegistry

from llmbatch.runtime import figures
from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.queue import Traffic
from tests.cluster.paths import REPOSITORY

PAGE = REPOSITORY / "docs/observability.md"
OURS = ("llmbatch_", "workqueue_")
"""How the names begin of what the operator itself counts; the others are those of any process."""
BEGIN, END = "<!-- metrics:begin -->\n", "<!-- metrics:end -->\n"


def registry() -> CollectorRegistry:
    """Give the registry with every metric, as the operator has it."""
    metrics = Metrics("0")
    metrics.tell(figures.Jobs(list), figures.Gateways(list), figures.Quotas(dict))
    metrics.tell(figures.Queue({"BatchJob": Traffic()}))
    return metrics.registry


def table() -> str:
    """Make the table."""
    rows = ["| Metric | Kind | What it tells |", "|---|---|---|"]
    for family in sorted(registry().collect(), key=lambda family: family.name):
        if family.name.startswith(OURS):
            name = family.name + ("_total" if family.type == "counter" else "")
            rows.append(f"| `{name}` | {family.type} | {family.documentation} |")
    rows.append("| `process_…` | | The operator's processor time, memory and open files. |")
    return "\n".join(rows) + "\n"


def written(text: str) -> str:
    """Put the table into the page."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}{table()}{END}", text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
