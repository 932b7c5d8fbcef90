"""Plays a life of a BatchJob in which a process dies once, and judges it by the emulator's record alone."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmbatch import crash
from llmbatch.crash import Effect
from llmbatch.process.main import EXIT_LOST
from tests.chaos.lives import CUSTOM_IDS, LONG_SECONDS, PATIENCE_SECONDS, TWICE, Death
from tests.chaos.operators import OperatorProcess
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import apply_all
from tests.support.kstatus import check_jobs
from tests.support.kubelet import Kubelet


def jsonl(custom_ids: tuple[str, ...] = CUSTOM_IDS) -> bytes:
    """Make the input."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}]}
    lines = [
        {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
        for custom_id in custom_ids
    ]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


class Play:
    """One life, played."""

    def __init__(self, death: Death, kong: Instance, folder: Path) -> None:
        """Prepare; nothing runs yet."""
        self.death, self.life, self.kong, self.folder = death, death.life, kong, folder
        self.mark = folder / "died"

    async def run(self) -> None:
        """Play it to its end, and judge."""
        async with ApiServer().serve() as api:
            dies = {
                crash.AT: f"{self.death.side} {self.death.effect}",
                crash.MARK: str(self.mark),
                crash.SKIP: str(self.death.skip),
            }
            removal = {crash.AT: "before write report", crash.MARK: str(self.folder / "transfer-died")}
            of_transfer = removal if self.death.effect is Effect.REMOVE_TRANSFER else {}
            kubelet = Kubelet(api, self.folder, dies if self.death.who == "transfer" else of_transfer)
            operator = OperatorProcess(api, self.folder, **(dies if self.death.who == "operator" else {}))
            try:
                await self._live(api, kubelet, operator)
                code = await operator.stop()
                # Or it had not been able to renew its Lease in time, which it says: the API server shares this busy machine.
                ended_well = code == 0 or (
                    code == EXIT_LOST and "the lease was lost" in operator.log().splitlines()[-1]
                )
                assert ended_well, (
                    f"exit code {code} when told to stop, before that {operator.exit_codes}\n{operator.log()}"
                )
            finally:
                await operator.stop()
                await kubelet.close()
            await self._judge(api, kubelet)
            died = operator.exit_codes if self.death.who == "operator" else kubelet.exit_codes
            assert died.count(crash.EXIT_CODE) >= 1, f"nobody died: {died}"

    async def _live(self, api: ApiServer, kubelet: Kubelet, operator: OperatorProcess) -> None:
        if self.life.volumes:
            volume = kubelet.volume("data")
            (volume / "in").mkdir()
            (volume / "in" / "batch.jsonl").write_bytes(jsonl(self.life.custom_ids))
        if self.life.lost:
            given: dict[str, dict[str, Any]] = {"status": {"status": 429, "retry_after": 1}, "repeat": {"seconds": 1.1}}
            details = given.get(self.life.lost, {})
            self.kong.fault(self.life.lost, "batches.create", **details)
        if self.life is TWICE:
            # Both run when it is looked for them, however long that takes.
            self.kong.configure(in_progress_seconds=LONG_SECONDS)
        if self.life.filling:
            self.kong.configure(quirks={"filling_seconds": 2.5})
        if self.life.pending:
            self.kong.configure(file_pending_seconds=0.05)
        if self.life.deleted:
            self.kong.configure(in_progress_seconds=LONG_SECONDS)
        await operator.start()
        apply_all(api, self.kong, jsonl(self.life.custom_ids), self.life.job())
        if self.life.deleted:
            await self._until(lambda: _phase(api) in ("Validating", "InProgress"), api, operator)
            api.remove("batchjobs", "job")
            await self._until(lambda: api.get("batchjobs", "job") is None, api, operator)
        elif self.life.discarded:
            await self._until(lambda: _phase(api) == "Complete", api, operator)
            api.remove("batchjobs", "job")
            await self._until(lambda: api.get("batchjobs", "job") is None, api, operator)
        else:
            if self.life is TWICE:
                await self._until_the_second_is_cancelled()
            await self._until(lambda: _at_rest(api), api, operator)
        died = operator.exit_codes if self.death.who == "operator" else kubelet.exit_codes
        await self._until(lambda: crash.EXIT_CODE in died, api, operator)
        # Whoever died after everything else was done must find that nothing is left to do.
        await self._until(
            lambda: operator.log().count("this process leads") >= len(operator.exit_codes) + 1, api, operator
        )

    async def _until_the_second_is_cancelled(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not any(batch["object"]["status"] == "cancelled" for batch in await asyncio.to_thread(self.kong.batches)):
            assert time.monotonic() < deadline, f"{self.death}: the second batch runs on"
            await asyncio.sleep(0.2)
        await asyncio.to_thread(self.kong.advance, LONG_SECONDS)

    async def _until(self, done: Callable[[], object], api: ApiServer, operator: OperatorProcess) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            if time.monotonic() > deadline:
                shown = json.dumps([found.get("status") for found in api.objects("batchjobs")], indent=1)
                raise AssertionError(f"{self.death}: that never came; {shown}\n{operator.log()[-6000:]}")
            await asyncio.sleep(0.05)

    async def _judge(self, api: ApiServer, kubelet: Kubelet) -> None:
        check_jobs(api.stored)
        batches, files = await asyncio.to_thread(lambda: (self.kong.batches(), self.kong.files()))
        if self.life is TWICE:
            dead = [batch for batch in batches if batch["object"]["status"] == "cancelled"]
            assert len(dead) == 1, "the second batch runs on"
            batches = [batch for batch in batches if batch not in dead]
            # What a duplicate had answered before it was cancelled stays at the provider.
            files = [file for file in files if not file["filename"].startswith(dead[0]["id"])]
        assert len(batches) == self.life.batches, f"{len(batches)} batches for {self.life.batches} that were wanted"
        left = [file["filename"] for file in files if not file["deleted"]]
        assert left == [], f"left at the provider: {left}"
        if self.life.deleted:
            assert batches[0]["object"]["status"] == "cancelled"
            return
        if self.life.discarded:
            assert list((kubelet.volume("data") / "out").iterdir()) == []
            return
        if self.life.volumes:
            out = kubelet.volume("data") / "out"
            good, bad = (out / "results.jsonl").read_bytes(), (out / "results.errors.jsonl").read_bytes()
            assert sorted(path.name for path in out.iterdir()) == ["results.errors.jsonl", "results.jsonl"]
        else:
            good, bad = api.data("secrets", "results", "r.jsonl"), api.data("secrets", "results", "r.jsonl.errors")
        fails = "two--status-400"
        succeeding = [custom_id for custom_id in self.life.custom_ids if custom_id != fails]
        assert [json.loads(line)["custom_id"] for line in good.splitlines()] == succeeding
        assert [json.loads(line)["custom_id"] for line in bad.splitlines()] == [fails]
        job = api.get("batchjobs", "job") or {}
        retried = {"retried": 2} if self.life.retried else {}
        assert job["status"]["requestCounts"] == {"total": 5, "completed": 4, "failed": 1, **retried}
        ready = next(item for item in job["status"]["conditions"] if item["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("True", "CompletedWithFailures")


def _phase(api: ApiServer) -> str:
    return str(((api.get("batchjobs", "job") or {}).get("status") or {}).get("phase"))


def _at_rest(api: ApiServer) -> bool:
    found = api.get("batchjobs", "job") or {}
    return _phase(api) in ("Complete", "Failed") and not found["metadata"].get("finalizers")
