"""Many jobs of several gateways through one quota, by chance: never more than the limit is ordered, and nobody is left waiting."""

import random
from typing import Any

import pytest

from llmbatch.gateway.quota import Quota
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB
from llmbatch.runtime.queue import Key
from tests.core.test_quota import World, batch

LIMIT = 100
GATEWAYS = [Key(BATCHGATEWAY, namespace, "kong") for namespace in "abc"]


class Play:
    """Jobs, an operator that looks at them when they are called, and a provider."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - by chance, no secret
        self.world = World()
        self.jobs: dict[Key, tuple[Key, int, int, dict[str, Any]]] = {}
        """By job: its gateway, its priority, its tokens and what its status tells of its batch."""
        self.due: dict[Key, None] = {}
        self.held: dict[Key, None] = {}
        """Those that were refused, and try again when their time has come."""
        self.count = 0
        for gateway in GATEWAYS:
            self.world.gateway(gateway, LIMIT)

    @property
    def quota(self) -> Quota:
        return self.world.quota

    def put(self, job: Key, **told: Any) -> None:
        gateway, priority, tokens, _ = self.jobs[job]
        self.jobs[job] = gateway, priority, tokens, told
        self.world.job(job.name, batch(tokens, **told), gateway=gateway, priority=priority)

    def is_at_provider(self, job: Key) -> bool:
        told = self.jobs[job][3]
        return "submission" in told or ("id" in told and told.get("status") is None)

    def enqueued(self) -> int:
        return sum(tokens for job, (_, _, tokens, _) in self.jobs.items() if self.is_at_provider(job))

    # --- what happens --------------------------------------------------------------------------------------------------------

    def make(self) -> None:
        self.count += 1
        gateway = self.chance.choice(GATEWAYS)
        job = Key(BATCHJOB, gateway.namespace, f"job-{self.count:03}")
        self.jobs[job] = gateway, self.chance.choice((0, 0, 0, 1)), self.chance.randint(1, 70), {}
        self.put(job)
        self.due[job] = None

    def end(self) -> None:
        if running := [job for job in self.jobs if self.is_at_provider(job)]:
            job = self.chance.choice(running)
            self.put(job, inputFileID="f", id=self.jobs[job][3].get("id", "batch"), status="completed")
            self.looked(job)

    def refuse_late(self) -> None:
        running = [job for job in self.jobs if self.is_at_provider(job) and "id" in self.jobs[job][3]]
        if running and self.chance.random() < 0.3:
            job = self.chance.choice(running)
            gateway, _, tokens, told = self.jobs[job]
            self.put(job, **told, status="failed")
            self.quota.refused(job, 0, tokens, gateway)
            self.put(job, inputFileID="f", state={"reason": "QuotaExceeded"})
            self.held[job] = None
            self.looked(job)

    def remove(self) -> None:
        if self.jobs and self.chance.random() < 0.3:
            job = self.chance.choice(list(self.jobs))
            gateway = self.jobs.pop(job)[0]
            self.due.pop(job, None)
            self.held.pop(job, None)
            self.world.cache.drop(job)
            self.call(gateway)

    def restart(self) -> None:
        if self.chance.random() < 0.1:
            found = self.world.cache.all_of(BATCHGATEWAY) + self.world.cache.all_of(BATCHJOB)
            anew = World()
            anew.version = self.world.version
            for key, raw in found:
                anew.cache.put(key, raw)
            self.world = anew
            self.held.clear()
            self.due |= dict.fromkeys(job for job in self.jobs if not self.is_at_provider(job))

    def call(self, gateway: Key, but: Key | None = None) -> None:
        self.due |= dict.fromkeys(job for job in self.quota.called(gateway) if job in self.jobs and job != but)

    def looked(self, job: Key) -> None:
        self.call(self.jobs[job][0])

    def look(self) -> None:
        """Look at a job that is due."""
        if not self.due:
            return
        job = self.chance.choice(list(self.due))
        del self.due[job]
        told = self.jobs[job][3]
        if self.chance.random() < 0.1:
            self.quota.ledger.give_up(job)
            self.due[job] = None
            self.call(self.jobs[job][0], but=job)
            return
        self.quota.ledger.goes_well(job)
        if not told or ("state" in told and "inputFileID" not in told):
            self.upload(job)
        elif "id" not in told and "submission" not in told:
            self.order(job)
        self.looked(job)

    def upload(self, job: Key) -> None:
        gateway, _, tokens, _ = self.jobs[job]
        if self.quota.claim(job, 0, tokens, gateway) is not None:
            self.put(job, state={"reason": "QuotaExceeded"})
        elif self.chance.random() < 0.15:
            self.quota.release(job, 0)
            self.put(job, state={"reason": "UploadUnanswered"})
            self.due[job] = None
        else:
            self.put(job, inputFileID="f", state={"reason": "Submitting"})
            self.due[job] = None

    def order(self, job: Key) -> None:
        gateway, _, tokens, _ = self.jobs[job]
        if job in self.held and not self.quota.orders.may_try(job, 0, gateway):
            return
        if self.quota.orders.behind(job, 0, tokens, gateway) is not None:
            self.put(job, inputFileID="f", state={"reason": "QuotaExceeded"})
            return
        if self.chance.random() < 0.15:
            self.quota.ledger.stay(job, 0)
            self.put(job, inputFileID="f", state={"reason": "WaitingForSlot"})
            self.due[job] = None
            return
        before = self.enqueued()
        assert before == 0 or before + tokens <= LIMIT, "more is ordered than the limit"
        self.held.pop(job, None)
        self.put(job, inputFileID="f", submission={"attempt": 1}, state={"reason": "Submitting"})
        if self.chance.random() < 0.15:
            self.quota.refused(job, 0, tokens, gateway)
            self.put(job, inputFileID="f", state={"reason": "QuotaExceeded"})
            self.held[job] = None
        else:
            self.count += 1
            self.put(job, inputFileID="f", id=f"batch-{self.count}")

    def come_to_rest(self) -> None:
        """Have everything end that can, without a further fault."""
        for _ in range(10_000):
            if self.due:
                self.look()
            elif any(map(self.is_at_provider, self.jobs)):
                self.end()
            elif self.held:
                # Its time has come.
                self.due |= self.held
                self.held.clear()
            else:
                return
        raise AssertionError("it never comes to rest")


@pytest.mark.parametrize("seed", range(24))
def test_never_more_than_the_limit_is_ordered_and_nobody_is_left_waiting(seed: int) -> None:
    play = Play(seed)
    steps = [
        play.make,
        play.look,
        play.look,
        play.look,
        play.look,
        play.end,
        play.refuse_late,
        play.remove,
        play.restart,
    ]
    for _ in range(200):
        play.chance.choice(steps)()
        assert play.quota.ledger.enqueued(play.quota.ledger.group(GATEWAYS[0]).name) >= play.enqueued()
    play.come_to_rest()
    left = {job.name: told for job, (_, _, _, told) in play.jobs.items() if told.get("status") != "completed"}
    assert left == {}
    assert sum(play.quota.ledger.by_namespace(play.quota.ledger.group(GATEWAYS[0]).name).values()) == 0
