"""Transfers that ended with a problem are counted by kind and reason, each of them once."""

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.runtime.metrics import Metrics
from llmbatch.transfer.pure.report import CollectReport, DiscardReport, MergeReport, Problem, Report, UploadReport
from llmbatch.transfer.pure.state import Ended
from llmbatch.transfers.failures import Failures

FULL = Problem(reason=Reason.VOLUME_FULL, message="no space left")
DIED = Ended(None, Problem(reason=Reason.TRANSFER_FAILED, message="out of memory"))


def counted(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Give how many were counted by kind and reason."""
    families = (family for family in metrics.registry.collect() if family.name == "llmbatch_transfer_failures")
    return {
        (sample.labels["transfer"], sample.labels["reason"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        pytest.param(UploadReport(problem=FULL), Reason.VOLUME_FULL, id="an upload"),
        pytest.param(UploadReport(), Reason.TRANSFER_FAILED, id="an upload that names no file"),
        pytest.param(CollectReport(problem=FULL), Reason.VOLUME_FULL, id="a collection"),
        pytest.param(MergeReport(problem=FULL), Reason.VOLUME_FULL, id="a merge of parts"),
        pytest.param(DiscardReport(problem=FULL), Reason.VOLUME_FULL, id="a deletion of results"),
    ],
)
def test_a_job_whose_report_has_a_problem_counts_once_however_often_it_is_looked_at(
    report: Report, reason: Reason
) -> None:
    metrics = Metrics("1")
    known = Failures(metrics)
    for _ in range(3):
        known.job(report.kind, "uid-1", Ended(report))
    assert counted(metrics) == {(report.kind, reason): 1}
    known.job(report.kind, "uid-2", Ended(report))
    assert counted(metrics) == {(report.kind, reason): 2}


@pytest.mark.parametrize(
    "report",
    [UploadReport(file_id="file-1"), UploadReport(cuts="x"), CollectReport(), DiscardReport(kept=["out/a.jsonl: changed"])],
    ids=["a file", "an input that was cut", "results", "results that are no longer ours"],
)  # fmt: skip
def test_what_was_done_is_no_failure(report: Report) -> None:
    metrics = Metrics("1")
    Failures(metrics).job(report.kind, "uid-1", Ended(report))
    assert counted(metrics) == {}


def test_a_job_without_a_report_has_failed() -> None:
    metrics = Metrics("1")
    Failures(metrics).job("collect", "uid-1", DIED)
    assert counted(metrics) == {("collect", Reason.TRANSFER_FAILED): 1}


def test_of_no_more_than_so_many_jobs_is_it_remembered_that_they_were_counted() -> None:
    metrics = Metrics("1")
    known = Failures(metrics, most=3)
    for number in (1, 2, 3, 4, 4, 3, 2):
        known.job("upload", f"uid-{number}", DIED)
    assert counted(metrics) == {("upload", Reason.TRANSFER_FAILED): 4}
