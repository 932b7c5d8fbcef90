"""Lives of several jobs in which whatever may be combined is: made up by a seed, in this process, and judged at the end."""

import asyncio
import json
import random
from collections import Counter

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure.plan import errors_path
from tests.bench.life import passes
from tests.chaos.mixed_troubles import ONE, PACE, Troubles
from tests.controller.lines import jsonl
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import config_map
from tests.support.kstatus import check_status
from tests.support.kubelet import Kubelet

MOST_PASSES = 40
"""A second, of so few jobs: more is a loop without a pause."""
PATIENCE = 90
"""Looks at whether all have ended, a second apart."""


class Mixture(Troubles):
    """Plays it, and judges."""

    async def play(self, steps: int = 25) -> list[str]:
        """Play it; answers what was wrong."""
        self.chance = random.Random(self.seed)  # noqa: S311 - a seed, no secret
        self.kong = self.emulator.instance(**PACE)
        async with ApiServer().serve() as self.api:
            self.kubelet = Kubelet(self.api, self.folder / "node", {})
            if self.volumes:
                self.kubelet.volume("data")
                self.api.edit("persistentvolumeclaims", "data", {"spec": {"accessModes": ["ReadWriteMany"]}})
            self.limits: Json = self.some_limits()
            self.apply_gateway()
            self.operator = await self.started()
            watching = asyncio.create_task(self._watch())
            try:
                for _ in range(2):
                    self.make()
                for _ in range(steps):
                    await self.step()
                    await asyncio.sleep(self.chance.choice((0.02, 0.1, 0.3, 0.8)))
                await self._end()
            finally:
                watching.cancel()
                await self.operator.stop()
                await self.kubelet.close()
        return self.wrong

    # --- how it ends -------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """See to it that no limit is passed, and that nobody is looked at without a pause."""
        hot, last, seen = 0, passes(self.operator), self.operator
        while True:
            await asyncio.sleep(1)
            now = passes(self.operator)
            hot = hot + 1 if self.operator is seen and now - last > MOST_PASSES else 0
            if hot == 4:
                reasons = {name: self._reason(name) for name in self.jobs}
                self.wrong.append(f"{now - last} passes a second: {reasons}")
            last, seen = now, self.operator

    def _reason(self, name: str) -> str:
        return self.operator.reason(name) if self.api.get("batchjobs", name) is not None else "gone"

    async def _end(self) -> None:
        self.say("all is well from here on")
        self.kong.clear_faults()
        self.kong.configure(forced_errors=[])
        self.api.faults.clear()
        if self.limits["maxEnqueuedTokens"]:
            self.limits["maxEnqueuedTokens"] = 12 * ONE
        self.apply_gateway()
        for name, ids in self.jobs.items():
            self.api.put("configmaps", config_map(name, "b", jsonl(*ids)))
        for _ in range(PATIENCE):
            self.kong.advance(1000)
            await asyncio.sleep(1)
            if not self._open():
                break
        await asyncio.sleep(0.5)
        for name in self._open():
            found = (self.api.get("batchjobs", name) or {}).get("status") or {}
            ready: Json = next((item for item in found.get("conditions") or [] if item["type"] == "Ready"), {})
            states = [(item.get("state") or {}).get("reason") for item in found.get("batches") or []]
            self.wrong.append(
                f"stuck: {name}: {ready.get('reason')}: {ready.get('message')} {states} {found.get('queue')}"
            )
        self._judge()

    def _open(self) -> list[str]:
        found = []
        for name in self.jobs:
            job = self.api.get("batchjobs", name)
            if job is not None and (name in self.deleted or not self.operator.status(name).has_ended):
                found.append(name)
        return found

    def _judge(self) -> None:
        batches = self.kong.batches()
        alive = Counter(
            (str(item["object"]["metadata"].get("llmbatch_uid")), str(item["object"]["metadata"].get("llmbatch_part")))
            for item in batches
            if item["object"]["status"] not in ("failed", "cancelled")
        )
        self.wrong += [f"{count} batches of {key}" for key, count in alive.items() if count > 1]
        running = [item for item in batches if item["object"]["status"] in ("validating", "in_progress", "finalizing")]
        self.wrong += [f"runs: {item['object']}" for item in running]
        for name, ids in self.jobs.items():
            self._judge_job(name, ids)

    def _judge_job(self, name: str, ids: list[str]) -> None:
        job, uid = self.api.get("batchjobs", name), self.uids[name]
        left = [item["filename"] for item in self.kong.files() if not item["deleted"] and uid in str(item["filename"])]
        told = [event for event in self.api.objects("events") if event["reason"] == Reason.REMOTE_FILES_RETAINED]
        if left and not any(event["involvedObject"].get("uid") == uid for event in told):
            self.wrong.append(f"left of {name}: {left} {self._reason(name)}")
        if job is None:
            if name not in self.deleted:
                self.wrong.append(f"vanished: {name}")
            return
        for found in self.api.stored:
            if found["_plural"] == "batchjobs" and found["metadata"]["name"] == name:
                self._judge_status(found)
        status = self.operator.status(name)
        if status.output is None or not status.has_ended:
            return
        content, errors = self._stored(job["spec"]["output"])
        good = [json.loads(line)["custom_id"] for line in content.splitlines()]
        bad = [json.loads(line)["custom_id"] for line in errors.splitlines()]
        if status.stopped is not None and name in self.without_input:
            # Of what was never sent nobody knows the names.
            return
        if sorted(good + bad) != sorted(ids) or good != [item for item in ids if item in good]:
            self.wrong.append(f"results of {name}: {good} {bad} of {ids} {self._reason(name)}")
        counts = status.request_counts
        if counts is None or (counts.total, counts.completed, counts.failed) != (len(ids), len(good), len(bad)):
            self.wrong.append(f"counts of {name}: {counts} good {len(good)} bad {len(bad)}")

    def _judge_status(self, found: Json) -> None:
        """See to it that what was stored at any moment says nothing that contradicts itself."""
        try:
            check_status({key: value for key, value in found.items() if key != "_plural"})
        except AssertionError as error:
            self.wrong.append(f"status of {found['metadata']['name']}: {error}")
        counts = BatchJobStatus.parse(found.get("status") or {}).request_counts
        if counts is not None and max(counts.completed + counts.failed, counts.retried or 0) > counts.total:
            self.wrong.append(f"counts of {found['metadata']['name']}: {counts} {found['status'].get('batches')}")

    def _stored(self, place: Json) -> tuple[bytes, bytes]:
        """Read the results and the failed requests at a place; those that aren't there are empty."""
        if "secret" in place:
            there = place["secret"]["name"]
            found = (self.api.get("secrets", there) or {}).get("data") or {}
            keys = ("r.jsonl", "r.jsonl.errors")
            results, errors = (self.api.data("secrets", there, key) if key in found else b"" for key in keys)
            return results, errors
        folder, path = self.kubelet.volume("data"), place["persistentVolumeClaim"]["path"]
        written = [folder / name for name in (path, errors_path(path))]
        results, errors = (item.read_bytes() if item.exists() else b"" for item in written)
        return results, errors
