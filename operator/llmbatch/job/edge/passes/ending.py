"""How a pass ends: as it was decided, unless what was done met a problem or knows a better time."""

from dataclasses import replace

from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import late
from llmbatch.batch.pure.decision import Done, Ending, Wait
from llmbatch.job.pure.trouble import ending_of

STALE = Wait(Reason.ACCEPTED, "", after=None)
"""The object has changed meanwhile, or a write was refused as if it had: what refuses it (an admission policy, say) may do so
for ever, so that it is looked at again with growing delays."""
UNENDED = Wait(Reason.CLEANING_UP, "Uploads whose answer was lost are looked for at the gateway; then the job ends.")


def ending_of_pass(seen: Seen, ending: Ending, outcome: Outcome, *, uses_pod: bool) -> Ending:
    """Say how a pass ends.

    Args:
        seen: What was looked at.
        ending: How it was decided to end.
        outcome: What was done.
        uses_pod: What was done starts a pod, if data is moved by pods.
    """
    observation = seen.observation
    if outcome.finish is not None:
        return Done()
    if outcome.problem is not None:
        if observation.deleted_at is not None:
            told = f"Can't clean up yet: {outcome.problem.message}"
            return Wait(Reason.DELETING, told, after=min(outcome.after or 5.0, max(0.1, observation.seconds_left)))
        if late.concerns(outcome.problem, observation.stage):
            return late.ending(outcome.problem, outcome.status, observation.limits)
        in_pod = uses_pod and seen.data is None and observation.spec.output.persistent_volume_claim is not None
        return ending_of(outcome.problem, observation, costly=in_pod)
    match ending:
        case Wait() if outcome.after is not None:
            return replace(ending, after=outcome.after)
        case Done() if outcome.after:
            # What was to be the end, and was put off, is none.
            return replace(UNENDED, after=outcome.after)
    return ending
