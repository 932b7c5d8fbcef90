"""Counts the transfers that ended with a problem, each of them once."""

from dataclasses import dataclass, field

from llmbatch.batch.pure import facts
from llmbatch.runtime.metrics import Metrics
from llmbatch.transfer.pure.report import Problem, Report, UploadReport
from llmbatch.transfer.pure.state import Ended


@dataclass
class Failures:
    """Counts by kind of transfer and reason: what could not start has not ended, and is not counted."""

    metrics: Metrics
    most: int = 10_000
    """Transfer Jobs that are remembered; once counted they are removed soon."""
    _counted: dict[str, None] = field(default_factory=dict)
    """Their uids, the latest last."""

    def here(self, kind: str, problem: Problem | None) -> None:
        """Count a transfer of this process that has just ended, if it met a problem."""
        if problem is not None:
            self.metrics.transfer_failures.labels(kind, problem.reason).inc()

    def job(self, kind: str, uid: str, ended: Ended) -> None:
        """Count a transfer Job that has ended, when it is looked at first.

        It is looked at again where its removal or the write of the status fails. A process that dies before it is removed
        leaves it to be counted by the next one.
        """
        problem = ended.problem if ended.report is None else problem_of(ended.report)
        if problem is None or uid in self._counted:
            return
        self._counted[uid] = None
        if len(self._counted) > self.most:
            del self._counted[next(iter(self._counted))]
        self.here(kind, problem)


def problem_of(report: Report) -> Problem | None:
    """Give what a transfer has met, as it is told of."""
    return facts.upload_problem(report) if isinstance(report, UploadReport) else report.problem
