"""Has Prometheus answer what the dashboard asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.dashboard.panels import PRICES
from tests.e2e.prometheus import Prometheus as Running

Json = dict[str, Any]

SCRAPE_SECONDS = 1
# Grafana takes a window of four scrapes at least; here it also spans the calls of a moment on a busy machine.
VARIABLES = {"$__rate_interval": "5s", "$__range": "1h", "$namespace": ".*", "$gateway": ".*"}
VARIABLES |= {f"${kind}_price": price for kind, price in PRICES.items()}


@dataclass(frozen=True)
class Query:
    """One query of a panel, as Prometheus is asked it."""

    panel: str
    legend: str
    expression: str


@dataclass(frozen=True)
class Series:
    """One line of a panel: its legend, and its values at their times (seconds)."""

    legend: str
    points: tuple[tuple[float, float], ...]


def panels(board: Json) -> list[Json]:
    """Give the panels with queries."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries(panel: Json) -> list[Query]:
    """Give a panel's queries, with what Grafana would put in for its variables."""
    found = []
    for target in panel["targets"]:
        expression = target["expr"]
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        found.append(Query(panel["title"], target["legendFormat"], expression))
    return found


class Prometheus:
    """Prometheus' query API."""

    def __init__(self, url: str) -> None:
        """Take its address."""
        # Not the environment: pytest changes it under threads that look at it.
        self._client = httpx.Client(base_url=url, timeout=10, trust_env=False)

    def now(self, expression: str) -> list[Json]:
        """Ask once; nothing while Prometheus has not begun to answer."""
        try:
            return self._ask("query", query=expression)
        except httpx.TransportError:
            return []

    def range(self, query: Query, begin: float, end: float, step: float) -> list[Series]:
        """Ask for the time between two moments."""
        answered = self._ask("query_range", query=query.expression, start=begin, end=end, step=step)
        return [
            Series(legend(query.legend, found["metric"]), tuple((at, float(value)) for at, value in found["values"]))
            for found in answered
        ]

    def _ask(self, what: str, **asked: str | float) -> list[Json]:
        answered = self._client.get(f"/api/v1/{what}", params=asked)
        if answered.status_code == 503:
            return []  # it has begun to listen, and not yet to answer
        answer = answered.json()
        if answer["status"] != "success":
            raise ValueError(f"{asked['query']}: {answer['error']}")
        found: list[Json] = answer["data"]["result"]
        return found


def legend(pattern: str, labels: dict[str, str]) -> str:
    """Fill in labels as Grafana does."""
    for name, value in labels.items():
        pattern = pattern.replace(f"{{{{{name}}}}}", value)
    return pattern


@contextmanager
def prometheus(program: Path, targets: list[str], folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus on loopback while the context is open."""
    # As the Prometheus Operator has it of the chart's ServiceMonitor: the target has a namespace too.
    found = [{"targets": targets, "labels": {"namespace": "llmbatch-system"}}]
    scraped = [{"job_name": "llmbatch", "honor_labels": True, "static_configs": found}]
    interval = f"{SCRAPE_SECONDS}s"
    config = {"global": {"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": scraped}
    with Running(program, folder, config) as running:
        yield Prometheus(running.url)
