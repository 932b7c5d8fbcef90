"""Whole lives of a BatchJob in which a process dies once, at a named place; judged by the emulator's record alone."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llmbatch import crash
from llmbatch.crash import Effect
from tests.chaos.operators import OperatorProcess
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import apply_all
from tests.support.kstatus import check_jobs
from tests.support.kubelet import Kubelet

Who = Literal["operator", "transfer"]
PATIENCE_SECONDS = 150.0
LONG_SECONDS = 600
CUSTOM_IDS = ("one", "two--status-400", "three", "four", "five")
RETRIED_IDS = ("one", "two--status-400", "three--status-429-times-1", "four", "five--missing-times-2")
INPUT = {"persistentVolumeClaim": {"claimName": "data", "path": "in/batch.jsonl"}}
OUTPUT = {"persistentVolumeClaim": {"claimName": "data", "path": "out/results.jsonl"}}


@dataclass(frozen=True)
class Life:
    """What happens to a job, besides that a process dies."""

    name: str
    volumes: bool = False
    lost: str = ""
    """A fault of the emulator's create call."""
    deleted: bool = False
    """The job is deleted while its batch runs."""
    discarded: bool = False
    """The job is deleted after its end, and its results with it."""
    filling: bool = False
    """The provider's files grow for a while after the batch has ended."""
    retried: bool = False
    """Requests fail and are sent again, some of them twice."""
    spec: tuple[tuple[str, Any], ...] = ()

    @property
    def custom_ids(self) -> tuple[str, ...]:
        """Give the requests."""
        return RETRIED_IDS if self.retried else CUSTOM_IDS

    @property
    def batches(self) -> int:
        """Give how many batches are wanted."""
        return 3 if self.retried else 1

    def job(self) -> Json:
        """Make the BatchJob."""
        places: dict[str, Any] = {"input": INPUT, "output": OUTPUT} if self.volumes else {}
        return build.batchjob(**places, **dict(self.spec))


PLAIN = Life("a job from ConfigMap to Secret")
VOLUMES = Life("a job from volume to volume", volumes=True)
LOST = Life("a job whose create call loses its answer", lost="reset_after")
REFUSED = Life("a job whose create call is refused at first", lost="status")
TWICE = Life("a job whose create call somebody on the way sends twice", lost="repeat")
DISCARDED = Life(
    "a job that is deleted with its results",
    volumes=True,
    discarded=True,
    spec=(("deletionPolicy", {"output": "Delete"}),),
)
FILLING = Life("a job whose results are still being filled", filling=True)
FILLING_VOLUMES = Life("a job whose results for a volume are still being filled", volumes=True, filling=True)
DELETED = Life("a job that is deleted under way", deleted=True)
AGAIN = (("backoffLimitPerRequest", 2),)
RETRIED = Life("a job whose requests are sent again", retried=True, spec=AGAIN)
RETRIED_VOLUMES = Life("a job in volumes whose requests are sent again", volumes=True, retried=True, spec=AGAIN)

# Where each effect is met.
LIVES: dict[tuple[Who, Effect], Life] = {
    ("operator", Effect.ADD_FINALIZER): PLAIN,
    ("operator", Effect.REMOVE_FINALIZER): PLAIN,
    ("operator", Effect.WRITE_STATUS): PLAIN,
    ("operator", Effect.WRITE_GATEWAY_STATUS): PLAIN,
    ("operator", Effect.RECORD_EVENT): PLAIN,
    ("operator", Effect.UPLOAD_FILE): PLAIN,
    ("operator", Effect.GET_FILE): PLAIN,
    ("operator", Effect.WRITE_INTENT): PLAIN,
    ("operator", Effect.CREATE_BATCH): PLAIN,
    ("operator", Effect.SEND_CREATE): PLAIN,
    ("operator", Effect.WRITE_FACT): PLAIN,
    ("operator", Effect.GET_BATCH): PLAIN,
    ("operator", Effect.DOWNLOAD_FILE): PLAIN,
    ("operator", Effect.PUBLISH_FILE): PLAIN,
    ("operator", Effect.SYNC_FOLDER): PLAIN,
    ("operator", Effect.STORE_RESULTS): PLAIN,
    ("operator", Effect.DELETE_FILE): PLAIN,
    ("operator", Effect.LIST_FILES): PLAIN,
    ("operator", Effect.WITHDRAW_INTENT): REFUSED,
    ("operator", Effect.LOOK_UP): LOST,
    ("operator", Effect.CANCEL_BATCH): DELETED,
    ("operator", Effect.START_TRANSFER): VOLUMES,
    # Removed only when another try is due; the transfer's own death is what makes one.
    ("operator", Effect.REMOVE_TRANSFER): VOLUMES,
    ("transfer", Effect.UPLOAD_FILE): VOLUMES,
    ("transfer", Effect.DOWNLOAD_FILE): VOLUMES,
    ("transfer", Effect.PUBLISH_FILE): VOLUMES,
    ("transfer", Effect.SYNC_FOLDER): VOLUMES,
    ("transfer", Effect.WRITE_REPORT): VOLUMES,
    ("transfer", Effect.DISCARD_FILE): DISCARDED,
}


@dataclass(frozen=True)
class Death:
    """Who dies, and where."""

    who: Who
    side: crash.Side
    effect: Effect
    within: Life | None = None
    """Instead of the life in which the effect is usually met."""
    skip: int = 0
    """How often the place is passed first."""

    def __str__(self) -> str:
        """Give the test's name."""
        told = f" of {self.within.name}" if self.within is not None else ""
        number = f" no. {self.skip + 1}" if self.skip else ""
        return f"{self.who}: {self.side} {self.effect}{number}{told}"

    @property
    def life(self) -> Life:
        """Give the life in which this happens."""
        return self.within or LIVES[self.who, self.effect]


SIDES: tuple[crash.Side, ...] = ("before", "after")
DEATHS = [Death(who, side, effect) for who, effect in LIVES for side in SIDES]
DEATHS += [
    Death("operator", side, effect, TWICE)
    for effect in (Effect.WRITE_FACT, Effect.LOOK_UP, Effect.CANCEL_BATCH)
    for side in SIDES
]
# Whoever dies between two looks at results that are late, the wait goes on and ends with all of them.
WAITING: tuple[tuple[Who, Effect, Life], ...] = (
    ("operator", Effect.DOWNLOAD_FILE, FILLING),
    ("operator", Effect.REMOVE_TRANSFER, FILLING_VOLUMES),
    ("transfer", Effect.WRITE_REPORT, FILLING_VOLUMES),
)
DEATHS += [Death(who, side, effect, life) for who, effect, life in WAITING for side in SIDES]


# In a later attempt: what it sends, its intent, its batch, its results, and what is made of all of them.
LATER: tuple[tuple[Who, Effect, Life, int], ...] = (
    ("operator", Effect.WRITE_STATUS, RETRIED, 9),
    ("operator", Effect.UPLOAD_FILE, RETRIED, 1),
    ("operator", Effect.WRITE_INTENT, RETRIED, 1),
    ("operator", Effect.SEND_CREATE, RETRIED, 1),
    ("operator", Effect.WRITE_FACT, RETRIED, 1),
    ("operator", Effect.CREATE_BATCH, RETRIED, 2),
    ("operator", Effect.DOWNLOAD_FILE, RETRIED, 4),
    ("operator", Effect.STORE_RESULTS, RETRIED, 0),
    ("operator", Effect.START_TRANSFER, RETRIED_VOLUMES, 2),
    ("operator", Effect.WRITE_STATUS, RETRIED_VOLUMES, 12),
    ("operator", Effect.SEND_CREATE, RETRIED_VOLUMES, 1),
    ("transfer", Effect.UPLOAD_FILE, RETRIED_VOLUMES, 1),
    ("transfer", Effect.PUBLISH_FILE, RETRIED_VOLUMES, 1),
    ("transfer", Effect.PUBLISH_FILE, RETRIED_VOLUMES, 3),
    ("transfer", Effect.WRITE_REPORT, RETRIED_VOLUMES, 3),
    ("transfer", Effect.DISCARD_FILE, RETRIED_VOLUMES, 1),
)
DEATHS += [Death(who, side, effect, life, skip) for who, effect, life, skip in LATER for side in SIDES]


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
                assert code == 0, (
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
