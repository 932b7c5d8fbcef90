"""The files that a collect writes: results and failed requests; or, where single requests are judged, their outcomes and the
lines of the input that may be sent again."""

from zlib import crc32

from llmbatch.api.batchjob_status import Failure
from llmbatch.api.request_policy import RequestFailurePolicy
from llmbatch.common.text import one_line
from llmbatch.jsonl import outcomes, results
from llmbatch.jsonl.lines import digest
from llmbatch.jsonl.outcomes import Kind
from llmbatch.jsonl.results import ResultLine, Tally
from llmbatch.transfer.edge.originals import Originals
from llmbatch.transfer.pure.plan import CollectPlan, errors_path, rest_path
from llmbatch.transfer.volumes.publishing import Sheet
from llmbatch.transfer.volumes.spool import Spool

UNPOLICED = RequestFailurePolicy.model_construct(policy_rules=[])
"""Without rules, what is tried again where none matches."""


class Pages:
    """Takes the requests' result lines in the order in which they are to be written."""

    def __init__(self, held: Spool, tally: Tally, plan: CollectPlan, known: Originals | None) -> None:
        """Begin empty files.

        Args:
            held: Where temporary files are.
            tally: Counts the failed requests.
            plan: Says whether single requests are judged.
            known: The requests as they were sent; without them none can be sent again.
        """
        self._held, self._tally, self._known = held, tally, known
        self._judged = plan.judging is not None
        self._policy = (plan.judging.policy if plan.judging is not None else None) or UNPOLICED
        self.good, self._bad = Sheet(held, "results"), Sheet(held, "errors")
        self.succeeded = 0
        self._unfinished: set[bytes] = set()
        self._unfinished_missing = 0
        self._stopping: Failure | None = None
        self._rest: Sheet | None = None
        self._rest_crc32 = 0

    @property
    def size(self) -> int:
        """What was written so far, without the lines that may be sent again."""
        return self.good.bytes + self._bad.bytes

    def succeed(self, line: bytes) -> None:
        """Take the line of a request that succeeded."""
        self.succeeded += 1
        self.good.add(outcomes.written(Kind.SUCCEEDED, line) if self._judged else line)

    def fail(self, line: bytes) -> None:
        """Take the line of a request that failed."""
        result = results.judge(line)
        self._fail(result, line)

    def miss(self, custom_id: str) -> None:
        """Take a request without a result line; it gets one of ours."""
        result = ResultLine(custom_id, succeeded=False, code=results.MISSING, message=results.MISSING_MESSAGE)
        self._unfinished_missing += self._fail(result, results.missing_line(custom_id)) is Kind.UNFINISHED

    def _fail(self, result: ResultLine, line: bytes) -> Kind:
        custom_id = result.custom_id or ""
        self._tally.add_failure(custom_id, result.code, result.message)
        if not self._judged:
            self._bad.add(line)
            return Kind.FAILED
        kind = Kind.FAILED
        match self._policy.action(result.status, result.code):
            case "Retry" if self._known is not None:
                kind = Kind.UNFINISHED
                self._unfinished.add(digest(custom_id))
            case "FailJob" if self._stopping is None:
                self._stopping = Failure(custom_id=one_line(custom_id, 128), code=result.code, message="")
        self.good.add(outcomes.written(kind, line))
        return kind

    def finish(self, name: str) -> list[tuple[Sheet, str]]:
        """Give what is to be stored beside the results, and under which names, once all requests were taken."""
        beside: list[tuple[Sheet, str]] = []
        if self._bad.lines:
            beside.append((self._bad, errors_path(name)))
        if self._unfinished and self._known is not None:
            self._rest = Sheet(self._held, "rest")
            for line in self._known.lines(self._unfinished):
                self._rest.add(line)
                self._rest_crc32 = crc32(line + b"\n", self._rest_crc32)
            beside.append((self._rest, rest_path(name)))
        return beside

    def report(self) -> dict[str, object]:
        """Give what a CollectReport says of these files."""
        size, sha256 = self.good.identity
        errors_bytes, errors_sha256 = self._bad.identity
        told: dict[str, object] = {
            "bytes": size,
            "requests": self.succeeded,
            "sha256": sha256,
            "errors_bytes": errors_bytes,
            "errors_requests": self._bad.lines,
            "errors_sha256": errors_sha256 if self._bad.lines else "",
        }
        if not self._judged:
            return told
        rest = {"unfinished_bytes": self._rest.bytes, "unfinished_crc32": self._rest_crc32} if self._rest else {}
        return {
            **told,
            **rest,
            "unfinished": self._rest.lines if self._rest is not None else 0,
            "unfinished_missing": self._unfinished_missing or None,
            "stopping": self._stopping,
        }
