"""Whether enough requests have succeeded."""

from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.counts import RequestCounts


def shortfall(spec: BatchJobSpec, counts: RequestCounts) -> str | None:
    """Say what is missing from what spec.successPolicy asks for; None: nothing, or it asks for nothing."""
    if spec.success_policy is None:
        return None
    least = spec.success_policy.least(counts.total)
    if counts.completed >= least:
        return None
    asked = spec.success_policy.min_succeeded
    told = f"{least} requests" if isinstance(asked, int) else f"{asked} of the requests, which is {least}"
    return f"spec.successPolicy.minSucceeded asks for {told} to succeed, and {counts.completed} did"
