"""What Prometheus is told of the work queue: what client-go tells of its own, under the same names."""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry

from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB
from llmbatch.runtime.figures import Queue
from llmbatch.runtime.queue import Key, Traffic, WorkQueue
from tests.chart.metrics_table import registry

CLIENT_GO = {
    "workqueue_depth": "gauge",
    "workqueue_adds": "counter",
    "workqueue_queue_duration_seconds": "histogram",
    "workqueue_work_duration_seconds": "histogram",
    "workqueue_unfinished_work_seconds": "gauge",
    "workqueue_longest_running_processor_seconds": "gauge",
    "workqueue_retries": "counter",
}
"""What client-go calls its own (counters without _total)."""


def of_queue(traffic: Mapping[str, Traffic], under_way: Sequence[tuple[str, float]] = ()) -> CollectorRegistry:
    told = CollectorRegistry()
    told.register(Queue(traffic, lambda: list(under_way)))
    return told


def test_the_queue_is_told_of_under_client_gos_names() -> None:
    found = {family.name: family.type for family in registry().collect() if family.name.startswith("workqueue_")}
    assert found == CLIENT_GO
    samples = [sample for family in of_queue({"BatchJob": Traffic()}).collect() for sample in family.samples]
    assert {sample.labels["name"] for sample in samples} == {"batchjob"}
    assert {label for sample in samples for label in sample.labels} == {"name", "le"}


def test_a_queue_that_nothing_has_passed_through_is_told_of_as_nothing() -> None:
    told = of_queue(WorkQueue((BATCHJOB, BATCHGATEWAY)).traffic)
    for name in ("batchjob", "batchgateway"):
        for figure in (
            "adds_total",
            "retries_total",
            "depth",
            "queue_duration_seconds_count",
            "unfinished_work_seconds",
        ):
            assert told.get_sample_value(f"workqueue_{figure}", {"name": name}) == 0


async def test_every_look_that_is_asked_for_counts_and_one_that_stands_in_line_already_does_not() -> None:
    queue, one, other = WorkQueue(), Key(BATCHJOB, "n", "a"), Key(BATCHGATEWAY, "n", "a")
    told = of_queue(queue.traffic)
    for key in (one, one, other):
        await queue.add(key)
    for seconds in (0, 3600, 7200):
        await queue.add_after(one, seconds)

    def figure(name: str, kind: str = "batchjob") -> float | None:
        return told.get_sample_value(f"workqueue_{name}", {"name": kind})

    assert (figure("adds_total"), figure("retries_total"), figure("depth")) == (1, 3, 1)
    assert (figure("adds_total", "batchgateway"), figure("depth", "batchgateway")) == (1, 1)
    keys = queue.keys()
    assert await anext(keys) == one
    assert (figure("depth"), figure("queue_duration_seconds_count")) == (0, 1)
    for _ in range(3):
        await queue.add(one)
    assert (figure("adds_total"), figure("depth")) == (2, 1), "to be looked at once more"
    assert await anext(keys) == other
    assert await anext(keys) == one
    assert (figure("adds_total"), figure("depth"), figure("queue_duration_seconds_count")) == (2, 0, 2)


def test_durations_are_told_in_buckets_that_add_up() -> None:
    traffic = Traffic()
    for seconds in (0.0005, 0.001, 0.5, 5000):
        traffic.worked.note(seconds)
    told = of_queue({"BatchJob": traffic})

    def at_most(bound: str) -> float | None:
        return told.get_sample_value("workqueue_work_duration_seconds_bucket", {"name": "batchjob", "le": bound})

    assert [at_most(bound) for bound in ("0.001", "0.3", "1.0", "1000.0", "+Inf")] == [2, 2, 3, 3, 4]
    assert told.get_sample_value("workqueue_work_duration_seconds_sum", {"name": "batchjob"}) == 5000.5015


def test_of_looks_that_go_on_the_longest_and_all_together_are_told_of() -> None:
    told = of_queue({"BatchJob": Traffic(), "BatchGateway": Traffic()}, [("BatchJob", 3.0), ("BatchJob", 40.0)])
    assert told.get_sample_value("workqueue_longest_running_processor_seconds", {"name": "batchjob"}) == 40
    assert told.get_sample_value("workqueue_unfinished_work_seconds", {"name": "batchjob"}) == 43
    assert told.get_sample_value("workqueue_unfinished_work_seconds", {"name": "batchgateway"}) == 0
