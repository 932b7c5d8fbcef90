"""A random campaign on a real cluster: jobs of mixed kinds, and processes that are killed under them."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from tests.chaos.evidence import collect
from tests.chaos.kinds import CLAIM, KINDS, MODEL, PART, SMALL_FILES, Kind
from tests.chaos.troubles import FAULTS
from tests.chaos.verdict import Evidence, Made, Verdict, judge, told, was_short_of_quota
from tests.chaos.victims import NothingToKillError, Victim, reachable, victims
from tests.cluster import embedded
from tests.e2e import objects
from tests.e2e.canary import Collector
from tests.e2e.conftest import Tenant, make_tenant
from tests.e2e.kube import KubectlError
from tests.e2e.objects import Volume
from tests.e2e.release import Release
from tests.emulator.client import Instance

Json = dict[str, Any]

VALUES = {
    "leaderElection.leaseSeconds": "3",
    "leaderElection.renewSeconds": "2",
    "leaderElection.retrySeconds": "1",
    "operator.settleSeconds": "5",
    "operator.recheckSeconds": "1",
    "operator.requestRetrySeconds": "1",
    # Long: a deletion that ran out of time because nobody was alive to clean up is no fault.
    "operator.cleanupTimeoutSeconds": "300",
}
"""Short waits, so that between two kills something happens."""
AT_ONCE = 10
WAIT_FOR_TRANSFER_SECONDS = 3.0
POWER_CUT = 0.95
"""Above this everything is killed at once, as by a node that loses its power."""
PAUSED = 0.10
"""Below this, and above the emulator's share, the leader stands still past its lease, as a virtual machine that is moved."""
PAUSE_SECONDS = (3.5, 8.0)
GAP_SECONDS = (0.5, 3.0)
PATIENCE_SECONDS = 420


class Campaign:
    """One campaign, from a seed: the same seed makes the same choices, at moments that no two runs share."""

    def __init__(
        self, release: Release, *, kills: int, seed: int, quota: int = 0, say: Callable[[str], None] = print
    ) -> None:
        """Prepare; nothing is killed yet. `quota`: tokens that the provider has enqueued at one time; 0: any number."""
        self._release, self._wanted, self.seed, self._quota, self._say = release, kills, seed, quota, say
        self._random = random.Random(seed)  # noqa: S311 - a campaign is to be repeated
        self.kills: Counter[str] = Counter()
        self.restarts: Counter[str] = Counter()
        self.made: dict[str, Made] = {}
        self._fates: list[tuple[float, Made]] = []
        self._jobs: dict[str, Json] = {}
        self.evidence = Evidence({}, [], [], {})
        self.told: Counter[str] = Counter()
        """How much of what the operator told was searched for secrets and prompts."""

    def run(self) -> Verdict:
        """Run it, wait for the jobs, and judge."""
        self._release.upgrade(**VALUES)
        with Collector(self._release.cluster) as collector:
            verdict = self._run()
            verdict.secrets += collector.findings()
            self.told = collector.seen
        return verdict

    def _run(self) -> Verdict:
        quota = {"quota_tokens": self._quota} if self._quota else {}
        tenant = make_tenant(
            self._release, models=[MODEL], in_progress_seconds=3, list_lag_seconds=1, cancelling_seconds=1, **quota
        )
        self._tenant, self._kube = tenant, tenant.kube
        self._kong = Instance(reachable(self._release), tenant.kong.name)
        volume = Volume(tenant.kube, CLAIM, self._release.cluster.operator_image)
        # The jobs of this one stand in line for tokens, of which it is told too many; those of the other are only refused.
        tokens = {"maxEnqueuedTokens": 2 * self._quota} if self._quota else {}
        small = {**tenant.gateway(limits={"maxRequestsPerFile": PART, **tokens}), "metadata": {"name": SMALL_FILES}}
        tenant.kube.apply(small)
        for kind in KINDS:
            self._give_input(kind, volume)
        self._say(f"seed {self.seed}: {self._wanted} kills in namespace {tenant.kube.namespace}")
        began = time.monotonic()
        while sum(self.kills.values()) < self._wanted:
            self._keep_up()
            self._misbehave()
            self._strike()
            time.sleep(self._random.uniform(*GAP_SECONDS))
        self._calm_down()
        self._say(f"the last kill was after {time.monotonic() - began:.0f} s; waiting for the jobs under way")
        self._wait(tenant)
        self.evidence = collect(self._kube, self._kong, volume, self._jobs, self.made)
        return judge(list(self.made.values()), self.evidence)

    def table(self, verdict: Verdict) -> str:
        """Say what happened, and what it came to."""
        kinds = Counter(job.kind.name for job in self.made.values())
        short = sum(map(was_short_of_quota, self.evidence.batches))
        rows = (
            ("seed", self.seed),
            (
                "quota",
                f"{self._quota} tokens ({short} batches refused for want of it)" if self._quota else "none",
            ),
            ("kills", f"{sum(self.kills.values())}  ({told(self.kills)})"),
            ("restarts beside", told(self.restarts)),
            ("jobs", f"{len(self.made)}  ({told(kinds)})"),
            ("batches made", len(self.evidence.batches)),
            ("duplicates", len(verdict.duplicates)),
            ("lost", len(verdict.lost)),
            ("stuck", len(verdict.stuck)),
            ("wrong", len(verdict.wrong)),
            ("files left", len(verdict.left)),
            ("secrets told", f"{len(verdict.secrets)}  (in {told(self.told)})"),
        )
        return "\n".join(f"  {name:16}{value}" for name, value in rows)

    def clean_up(self) -> None:
        """Remove the campaign's namespace."""
        self._kube.run("delete", "namespace", self._kube.namespace, "--wait=false", "--ignore-not-found")

    # --- jobs --------------------------------------------------------------------------------------------------------

    def _give_input(self, kind: Kind, volume: Volume) -> None:
        match kind.source:
            case "volume":
                volume.write(f"in/{kind.name}.jsonl", kind.text())
            case "secret":
                self._kube.apply(objects.secret(f"input-{kind.name}", {"batch.jsonl": kind.text()}))
            case _:
                self._kube.apply(objects.config_map(f"input-{kind.name}", {"batch.jsonl": kind.text()}))

    def _keep_up(self) -> None:
        """Have so many jobs under way, and do to them what others do."""
        try:
            self._look()
            under_way = [job for job in self._jobs.values() if not _is_over(job)]
            if len(under_way) < AT_ONCE:
                self._make(AT_ONCE - len(under_way))
            now = time.monotonic()
            for due, job in [fate for fate in self._fates if fate[0] <= now]:
                self._meet_fate(job)
                self._fates.remove((due, job))
        except (KubectlError, httpx.HTTPError, ValueError) as error:
            self._say(f"  not now: {str(error).splitlines()[0][:150]}")

    def _look(self) -> None:
        self._jobs = {job["metadata"]["name"]: job for job in self._kube.items("batchjobs")}
        for name, job in self._jobs.items():
            self.made[name].uid = job["metadata"]["uid"]

    def _make(self, count: int) -> None:
        new = []
        for _ in range(count):
            (kind,) = self._random.choices(KINDS, [kind.weight for kind in KINDS])
            job = Made(f"{kind.name}-{len(self.made)}", kind)
            self.made[job.name] = job
            new.append(kind.job(job.name))
            if kind.fate:
                self._fates.append((time.monotonic() + self._random.uniform(0.5, 8), job))
        while True:
            try:
                self._kube.apply(*new)
                return
            except KubectlError as error:
                # They are in the books, so they have to be made; the same again changes nothing.
                self._say(f"  not now: {str(error).splitlines()[0][:150]}")
                time.sleep(1)

    def _meet_fate(self, job: Made) -> None:
        if job.kind.fate == "delete":
            if not job.uid:
                self._look()
            self._kube.run("delete", "batchjob", job.name, "--wait=false", "--ignore-not-found")
            job.deleted = True
            return
        for batch in self._kong.batches():
            if (batch.get("metadata") or {}).get("llmbatch_uid") == job.uid:
                # As the provider's own console does; 409 when it is over already.
                httpx.post(f"{self._kong.url}/batches/{batch['id']}/cancel", timeout=10)

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    def _misbehave(self) -> None:
        kind, operation, details = self._random.choice(FAULTS)
        try:
            if len([fault for fault in self._kong.faults() if fault["times"] != 0]) < 3:
                self._kong.fault(kind, operation, **details)
        except (httpx.HTTPError, ValueError):
            return  # the emulator is just starting again

    def _strike(self) -> None:
        lot = self._random.random()
        if lot < 0.02:
            self._say("  the API server is killed and started again")
            embedded.restart("kube-apiserver")
            self.restarts["API server"] += 1
            return
        try:
            found, leader = victims(self._release), self._release.leader()
        except (KubectlError, NothingToKillError):
            return
        if lot < 0.06:
            for victim in found:
                if victim.kind == "emulator" and victim.kill():
                    self.restarts["emulator"] += 1
            return
        if lot < PAUSED:
            self._pause([victim for victim in found if victim.kind == "operator" and victim.pod == leader])
            return
        if lot > POWER_CUT:
            struck = [victim for victim in found if victim.kind != "emulator" and self._is_ours(victim)]
        else:
            chosen = self._choose(found, leader, lot)
            struck = [] if chosen is None else [chosen]
        before = sum(self.kills.values())
        for victim in struck:
            if victim.kill():
                word = victim.kind if victim.kind == "transfer" else ("leader" if victim.pod == leader else "standby")
                self.kills[word] += 1
        if sum(self.kills.values()) // 25 > before // 25:
            over = sum(_is_over(job) for job in self._jobs.values())
            self._say(f"  {sum(self.kills.values())} kills ({told(self.kills)}), {len(self.made)} jobs, {over} ended")

    def _pause(self, leading: list[Victim]) -> None:
        """Have the leader stand still at any moment, perhaps between its intent and its call, and go on too late."""
        for victim in leading:
            if victim.send(signal.SIGSTOP):
                time.sleep(self._random.uniform(*PAUSE_SECONDS))
                victim.send(signal.SIGCONT)
                self.restarts["paused leader"] += 1

    def _is_ours(self, victim: Victim) -> bool:
        return victim.kind == "operator" or victim.pod.rsplit("-", 3)[0] in self.made

    def _choose(self, found: list[Victim], leader: str, lot: float) -> Victim | None:
        if lot < 0.5 and (transfer := self._transfer()) is not None:
            return transfer
        operators = [victim for victim in found if victim.kind == "operator"]
        leading = [victim for victim in operators if victim.pod == leader]
        return self._random.choice(leading if leading and lot < 0.7 else operators) if operators else None

    def _transfer(self) -> Victim | None:
        """Find a transfer pod's process; they live for seconds only, so that one is waited for."""
        deadline = time.monotonic() + WAIT_FOR_TRANSFER_SECONDS
        while time.monotonic() < deadline:
            try:
                found = victims(self._release)
            except NothingToKillError:
                return None  # leader and standby are down, both just now
            ours = [victim for victim in found if victim.kind == "transfer" and self._is_ours(victim)]
            if ours:
                # At any moment of its life, not always at its first.
                time.sleep(self._random.uniform(0, 0.5))
                return self._random.choice(ours)
            time.sleep(0.1)
        return None

    def _calm_down(self) -> None:
        while True:
            try:
                self._kong.clear_faults()
                return
            except (httpx.HTTPError, ValueError):
                time.sleep(0.5)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _wait(self, tenant: Tenant) -> None:
        # What was refused for want of quota is tried again after minutes.
        patience = PATIENCE_SECONDS * (4 if self._quota else 1)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                for _, job in self._fates:
                    self._meet_fate(job)
                self._fates.clear()
                self._look()
            except (KubectlError, httpx.HTTPError, ValueError):
                pass
            else:
                if all(_is_over(job) for job in self._jobs.values()):
                    return
            time.sleep(1)
        self._say(f"jobs of {tenant.kube.namespace} have not ended in {patience} s")


def _is_over(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    ended = any(item["type"] in ("Complete", "Failed") and item["status"] == "True" for item in conditions)
    return ended and not job["metadata"].get("finalizers") and "deletionTimestamp" not in job["metadata"]
