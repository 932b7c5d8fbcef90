"""What jobs cost, beside what they may cost."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench import picture
from tests.bench.parts import verdict

POLLS = ("batches.get", "batches.list")
CPU_MS, GATEWAY_CALLS, API_CALLS = 35.0, 8.0, 14.0


@dataclass
class Figures:
    """What so many jobs came to, start to end."""

    jobs: int
    seconds: float
    cpu: float
    rss: int
    api: Counter[str]
    gateway: Counter[str]
    events: Counter[str]

    @property
    def cpu_ms(self) -> float:
        """Processor time of the operator for each job."""
        return 1000 * self.cpu / self.jobs

    @property
    def api_calls(self) -> float:
        """Calls to the API server for each job; the one that makes it is not the operator's."""
        return self.api.total() / self.jobs

    @property
    def gateway_calls(self) -> float:
        """Calls to the gateway for each job, apart from polls."""
        return sum(count for name, count in self.gateway.items() if name not in POLLS) / self.jobs

    @property
    def polls(self) -> float:
        """Polls for each job."""
        return sum(self.gateway[name] for name in POLLS) / self.jobs


def told(value: float, bound: float, unit: str, *, least: bool = False, digits: int = 2) -> str:
    """Tell a figure beside its bound."""
    holds = value >= bound if least else value <= bound
    sign = "at least" if least else "at most"
    return f"{value:.{digits}f} {unit} ({sign} {bound:g}; {verdict(holds)})"


def charts(lasted: Mapping[int, Figures]) -> list[picture.Chart]:
    """Tell what a job costs by how many there are."""
    return [
        picture.Chart("CPU of the operator, a job", "ms", CPU_MS, {size: one.cpu_ms for size, one in lasted.items()}),
        picture.Chart("API server calls, a job", "", API_CALLS, {size: one.api_calls for size, one in lasted.items()}),
        picture.Chart(
            "Gateway calls but polls, a job",
            "",
            GATEWAY_CALLS,
            {size: one.gateway_calls for size, one in lasted.items()},
        ),
    ]
