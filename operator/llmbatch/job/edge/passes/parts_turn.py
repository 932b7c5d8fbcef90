"""Whose turn it is: which of a job's several batches is acted on in a pass, and for what the others wait."""

from dataclasses import dataclass, field, replace

from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure.decision import BeginAnew, Cancel, Collect, FindDuplicates, LookUp, Upload
from llmbatch.batch.pure.stage import AT_WORK, Stage
from llmbatch.gateway.quota import Quota
from llmbatch.job.edge.passes.part import COLLECTS_WAIT, ENDED, OF_A_COPY, UPLOADS_WAIT, WAITING, Part
from llmbatch.job.edge.passes.parts_collect import PartsCollector
from llmbatch.job.pure.trouble import POD
from llmbatch.transfers.transfers import Transfers

STANDING = POD | {Reason.TRANSFER_SUSPENDED}
"""What keeps the pod of a transfer Job from starting: the Job is there, and goes on by itself."""


@dataclass
class PartsTurn:
    """Chooses in turn, and never more transfers than may be at work at one time."""

    transfers: Transfers
    collector: PartsCollector
    quota: Quota
    _last: dict[str, int] = field(default_factory=dict)
    """By uid: which batch was acted on last."""
    _most: dict[str, tuple[set[str], int]] = field(default_factory=dict)
    """By uid: how many transfers may be at work at one time, with which claims."""
    _failing: dict[str, set[int]] = field(default_factory=dict)
    """By uid: the batches whose last step has met a problem, or was in vain."""

    async def at_once(self, job: Seen) -> int:
        """Say how many transfers of a job may be at work at one time; with the same claims that never changes."""
        uid, spec = job.owner.uid, job.observation.spec
        volumes = (spec.input.persistent_volume_claim, spec.output.persistent_volume_claim)
        named = {volume.claim_name for volume in volumes if volume is not None}
        known = self._most.get(uid)
        if known is None or known[0] != named:
            known = self._most[uid] = named, await self.transfers.claims.at_once(job.key.namespace, spec)
        return known[1]

    def choose(self, found: list[Part], at_once: int) -> Part | None:
        """Choose the batch that is acted on, and have those that must wait say for what.

        Args:
            found: What was seen of each.
            at_once: How many transfers may be at work at one time.
        """
        at_work = sum(_is_at_work(part) for part in found)
        limit = found[0].seen.observation.spec.parallelism
        inline = found[0].seen.observation.spec.output.persistent_volume_claim is None
        at_work_on = [part.seen.plan for part in found if _is_moving(part)]
        moving = len(at_work_on) >= at_once
        able: list[Part] = []
        for part in found:
            match part.effect:
                case None:
                    pass
                case BeginAnew():
                    part.ending = OF_A_COPY
                case Collect() if inline and not self.collector.is_to_be_judged(part):
                    part.ending = ENDED
                case Collect() if moving and not inline:
                    part.ending = COLLECTS_WAIT
                case Upload() if (limit and at_work >= limit) or not self._is_admitted(part) or part.seen.plan is None:
                    # Without a plan it wasn't read, since there was no room for it before this pass.
                    part.ending = WAITING
                case Upload() if moving:
                    part.ending = UPLOADS_WAIT
                case _:
                    able.append(part)
        chosen = self.next(able)
        if chosen is not None:
            chosen.seen = replace(chosen.seen, beside=tuple(plan for plan in at_work_on if plan is not None))
        return chosen

    def next(self, able: list[Part]) -> Part | None:
        """Give the one of several batches whose turn it is; the others rest if they failed at their last one."""
        if not able:
            return None
        # In turn: what one meets again and again must not keep the others from going on.
        uid = able[0].seen.owner.uid
        last, failing = self._last.get(uid, -1), self._failing.get(uid, set())
        chosen = min(able, key=lambda part: (part.index <= last, part.index))
        self._last[uid] = chosen.index
        for part in able:
            if part is not chosen and part.index in failing:
                part.rest()
        return chosen

    def took(self, part: Part) -> None:
        """Note what a batch's step has come to: with several that fail, one after the other would be tried without a pause."""
        failing = self._failing.setdefault(part.seen.owner.uid, set())
        failing.discard(part.index)
        outcome = part.outcome
        if outcome is None:
            return
        # A call that came to nothing, as where a provider takes no notice of a cancellation, is no problem yet.
        in_vain = isinstance(part.effect, Cancel | LookUp | FindDuplicates) and outcome.after and not outcome.moved
        if outcome.problem is not None or in_vain:
            failing.add(part.index)

    def _is_admitted(self, part: Part) -> bool:
        """Tell whether the tokens of a batch are reserved, where the gateway admits by tokens."""
        client, key = part.seen.client, part.seen.key
        return client is None or not self.quota.limits(client.key) or self.quota.ledger.has_claimed(key, part.index)

    def forget(self, uid: str) -> None:
        """Forget a job that has ended or is gone."""
        for known in (self._last, self._most, self._failing):
            known.pop(uid, None)


def _is_at_work(part: Part) -> bool:
    """Tell whether a batch counts for spec.parallelism: from the beginning of its upload, which may go on in a pod."""
    seen = part.seen.observation
    return seen.stage in AT_WORK or (seen.stage is Stage.INPUT and _is_moving(part))


def _is_moving(part: Part) -> bool:
    """Tell whether a transfer Job is at work on a batch, or would be if its pod could start."""
    seen = part.seen.observation
    return seen.transferring is not None or (seen.trouble is not None and seen.trouble.reason in STANDING)
