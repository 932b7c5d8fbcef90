"""The results of several batches, put together into one for a Secret or a ConfigMap."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from llmbatch.api.batch_status import RequestCounts, Usage
from llmbatch.api.batchjob_status import Failure
from llmbatch.jsonl.results import MAX_FAILURES
from llmbatch.transfer.pure.report import CollectReport

RESULTS, ERRORS, FOREIGN = "", ".errors", ".foreign"
"""Suffixes of the keys."""


@dataclass
class PutTogether:
    """Takes the results of the batches in turn."""

    most_bytes: int
    """Most that the destination can hold."""
    reports: list[CollectReport] = field(default_factory=list)
    """One for each batch, in the order of the parts."""
    _data: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def left_bytes(self) -> int:
        """What there is room for still."""
        return self.most_bytes - sum(len(part) for parts in self._data.values() for part in parts)

    def add(self, report: CollectReport, data: dict[str, bytes]) -> None:
        """Take what became of the next batch."""
        self.reports.append(report)
        for suffix, part in data.items():
            self._data.setdefault(suffix, []).append(part)

    def content(self) -> dict[str, bytes]:
        """Give what is to be stored, by the suffix of its key."""
        return {suffix: b"".join(parts) for suffix, parts in self._data.items()}

    def report(self) -> CollectReport:
        """Report on all of it as if it were one batch's."""
        if len(self.reports) == 1:
            return self.reports[0]
        made = self.content()
        digests = {suffix: sha256(content).hexdigest() for suffix, content in made.items()}
        errors = self._sum(lambda item: item.errors_requests)
        return CollectReport(
            bytes=len(made.get(RESULTS, b"")),
            requests=self._sum(lambda item: item.requests),
            sha256=digests.get(RESULTS, sha256().hexdigest()),
            errors_bytes=len(made.get(ERRORS, b"")),
            errors_requests=errors,
            errors_sha256=digests.get(ERRORS, "") if errors else "",
            foreign_requests=self._sum(lambda item: item.foreign_requests),
            foreign_bytes=len(made[FOREIGN]) if FOREIGN in made else None,
            foreign_sha256=digests.get(FOREIGN),
            request_counts=self._counts(),
            usage=Usage.sum(item.usage for item in self.reports),
            failures=self._failures(),
            missing=self._sum(lambda item: item.missing),
            malformed_lines=self._sum(lambda item: item.malformed_lines),
            foreign_lines=self._sum(lambda item: item.foreign_lines),
        )

    def _sum(self, of: Callable[[CollectReport], int]) -> int:
        return sum(map(of, self.reports))

    def _counts(self) -> RequestCounts:
        told = [item.request_counts for item in self.reports if item.request_counts is not None]
        return RequestCounts(
            total=sum(item.total for item in told),
            completed=sum(item.completed for item in told),
            failed=sum(item.failed for item in told),
        )

    def _failures(self) -> list[Failure]:
        """Give examples: the first of each batch, then the second of each, and so on."""
        turns = range(max((len(item.failures) for item in self.reports), default=0))
        found = [item.failures[turn] for turn in turns for item in self.reports if turn < len(item.failures)]
        return found[:MAX_FAILURES]
