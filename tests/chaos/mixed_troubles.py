"""What befalls several jobs at the same time: whatever may be combined is, by chance."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.controller.lines import jsonl
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json, StatusError
from tests.support.inprocess import Operator, config_map
from tests.support.kubelet import Kubelet

ONE = 259
"""Tokens that a line is estimated at."""
PACE: Json = {"validating_seconds": 60, "in_progress_seconds": 600, "finalizing_seconds": 60, "cancelling_seconds": 5}
SETTINGS: Json = {
    "settle_seconds": 0.5,
    "recheck_seconds": 0.5,
    "request_retry_seconds": 0.5,
    "cleanup_timeout_seconds": 20,
}
MARKS = ("", "", "", "--status-429-times-1", "--status-400", "--status-500", "--expired-times-1", "--status-451")
QUOTA = {"code": "token_limit_exceeded", "message": "The number of enqueued tokens has surpassed the limit."}
FAULTS: tuple[tuple[str, Json], ...] = (
    ("reset_before", {}),
    ("reset_after", {}),
    ("status", {"status": 503}),
    ("status", {"status": 429, "as_": "kong", "retry_after": 1}),
    ("accepted_status", {"status": 504}),
    ("garbled", {}),
    ("delay", {"seconds": 1}),
)
EDITS: tuple[Json, ...] = (
    {"priority": 9},
    {"priority": 0},
    {"parallelism": 1},
    {"parallelism": 0},
    {"readyWhen": "Submitted"},
    {"readyWhen": "Completed"},
    {"deletionPolicy": {"output": "Delete"}},
    {"metadata": {"team": "a"}},
)
"""Of a job's spec, at any moment."""
API_FAULTS: tuple[Literal["status", "cut before", "cut after"], ...] = ("status", "cut before", "cut after")
OPERATIONS = (
    "files.create",
    "files.get",
    "files.content",
    "files.delete",
    "files.list",
    "batches.create",
    "batches.create",
    "batches.create",
    "batches.list",
    "batches.get",
    "batches.cancel",
)


@dataclass
class Troubles:
    """One world with its jobs, and what is done to it."""

    seed: int
    folder: Path
    emulator: EmulatorServer
    volumes: bool = False
    told: list[str] = field(default_factory=list)
    """What was done."""
    wrong: list[str] = field(default_factory=list)
    api: ApiServer = field(init=False)
    kong: Instance = field(init=False)
    kubelet: Kubelet = field(init=False)
    operator: Operator = field(init=False)
    chance: random.Random = field(init=False)
    limits: Json = field(init=False)
    """Of the gateway, as they are now."""
    jobs: dict[str, list[str]] = field(default_factory=dict)
    """By name: the custom_ids of a job's input."""
    uids: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    without_input: set[str] = field(default_factory=set)

    # --- what befalls them -------------------------------------------------------------------------------------------

    async def step(self) -> None:
        """Do one thing, at random."""
        often: dict[Callable[[], Coroutine[Any, Any, None] | None], int] = {
            self.make: 4,
            self._advance: 8,
            self._fault: 5,
            self._edit_job: 2,
            self._delete: 1,
            self._restart: 2,
            self._limit: 2,
            self._gateway: 1,
            self._quota: 1,
            self._cancel: 1,
            self._input: 1,
            self._api_fault: 1,
        }
        (chosen,) = self.chance.choices(list(often), list(often.values()))
        done = chosen()
        if done is not None:
            await done

    def say(self, *words: object) -> None:
        self.told.append(" ".join(map(str, words)))

    def make(self) -> None:
        pick = self.chance.choice
        name = f"j{len(self.jobs)}"
        ids = [f"{name}-{number}{pick(MARKS)}" for number in range(self.chance.randint(1, 6))]
        given: Json = {
            "splitPolicy": "Auto",
            "parallelism": pick((0, 0, 1, 2)),
            "backoffLimitPerRequest": pick((0, 1, 1, 2)),
        }
        given["priority"] = pick((0, 0, 5))
        if pick((False, False, True)):
            given["readyWhen"] = "Submitted"
        if pick((False, False, True)):
            given["successPolicy"] = {"minSucceeded": pick((1, "50%", "100%"))}
        if pick((False, False, True)):
            given["requestFailurePolicy"] = {
                "rules": [{"action": "FailJob", "onStatusCodes": {"operator": "In", "values": [451]}}]
            }
        if pick((False, False, False, True)):
            given["deletionPolicy"] = {"cleanupTimeoutSeconds": 15}
        job = build.batchjob_apart(name, **given, input={"configMap": {"name": name, "key": "b"}})
        if self.volumes and pick((False, True)):
            job["spec"]["output"] = {"persistentVolumeClaim": {"claimName": "data", "path": f"{name}.jsonl"}}
        if self.volumes and pick((False, True)):
            (self.kubelet.volume("data") / name).write_bytes(jsonl(*ids))
            job["spec"]["input"] = {"persistentVolumeClaim": {"claimName": "data", "path": name}}
        self.api.put("configmaps", config_map(name, "b", jsonl(*ids)))
        made = self.api.put("batchjobs", job)
        self.jobs[name], self.uids[name] = ids, str(made["metadata"]["uid"])
        self.say("make", name, ids, given)

    def _advance(self) -> None:
        seconds = self.chance.choice((10, 70, 300, 700, 2000))
        self.kong.advance(seconds)
        self.say("advance", seconds)

    def _fault(self) -> None:
        kind, details = self.chance.choice(FAULTS)
        operation, times = self.chance.choice(OPERATIONS), self.chance.choice((1, 1, 2, 5))
        self.kong.fault(kind, operation, times=times, **details)
        self.say("fault", kind, operation, times, details)

    def _edit_job(self) -> None:
        name = self.chance.choice(list(self.jobs))
        change = self.chance.choice(
            (*EDITS, {"output": {"secret": None, "persistentVolumeClaim": None, **self._place(name)}})
        )
        if self.api.get("batchjobs", name) is not None:
            # Of where the results go the API server refuses what would be too late.
            with contextlib.suppress(StatusError):
                self.api.edit("batchjobs", name, {"spec": change})
                self.say("edit", name, change)

    def _place(self, name: str) -> Json:
        """Give a place for a job's results."""
        if self.volumes and self.chance.random() < 0.5:
            path = f"{self.chance.choice(('', 'there/'))}{name}{self.chance.choice(('', '-again'))}.jsonl"
            return {"persistentVolumeClaim": {"claimName": "data", "path": path}}
        return {"secret": {"name": f"{name}{self.chance.choice(('', '-again'))}", "key": "r.jsonl"}}

    def _delete(self) -> None:
        name = self.chance.choice(list(self.jobs))
        if name not in self.deleted and self.api.get("batchjobs", name) is not None:
            self.deleted.add(name)
            self.api.remove("batchjobs", name)
            self.say("delete", name)

    async def _restart(self) -> None:
        self.say("restart")
        if self.chance.random() < 0.5:
            self.operator.cancel_workers()
        await self.operator.stop()
        await asyncio.sleep(self.chance.choice((0, 0.5)))
        self.operator = await self.started()

    async def started(self) -> Operator:
        operator = Operator(self.api, self.folder / f"operator-{len(self.told)}", **SETTINGS)
        await operator.start()
        return operator

    def some_limits(self) -> Json:
        pick = self.chance.choice
        return {
            "maxRequestsPerFile": pick((2, 2, 3, 10)),
            "maxActiveBatches": pick((0, 1, 2)),
            "maxEnqueuedTokens": pick((0, 6 * ONE, 12 * ONE)),
        }

    def _limit(self) -> None:
        self.limits = self.some_limits()
        self.apply_gateway()
        self.say("limits", self.limits)

    def apply_gateway(self) -> None:
        if self.api.get("batchgateways", "kong") is None:
            self.api.put("batchgateways", build.batchgateway(self.kong.url, limits=self.limits))
        else:
            self.api.edit("batchgateways", "kong", {"spec": {"limits": self.limits}})

    async def _gateway(self) -> None:
        if self.api.get("batchgateways", "kong") is not None:
            self.say("gateway deleted")
            self.api.remove("batchgateways", "kong")
        else:
            self.say("gateway made")
            self.apply_gateway()

    def _quota(self) -> None:
        errors = self.chance.choice(([QUOTA], []))
        self.kong.configure(forced_errors=errors)
        self.say("forced", errors)

    async def _cancel(self) -> None:
        alive = [
            item["id"] for item in self.kong.batches() if item["object"]["status"] in ("validating", "in_progress")
        ]
        if alive:
            chosen = self.chance.choice(alive)
            async with httpx.AsyncClient() as person:
                with contextlib.suppress(httpx.HTTPError):
                    await person.post(f"{self.kong.url}/batches/{chosen}/cancel")
            self.say("cancel", chosen)

    def _input(self) -> None:
        name = self.chance.choice(list(self.jobs))
        if self.api.get("configmaps", name) is not None:
            self.api.remove("configmaps", name)
            self.without_input.add(name)
            self.say("input removed", name)

    def _api_fault(self) -> None:
        kind, times = self.chance.choice(API_FAULTS), self.chance.choice((1, 2, 5))
        if self.chance.random() < 0.75:
            status = self.chance.choice((503, 503, 403, 409, 413, 422, 429, 500))
            self.api.fault(kind, "patch", "batchjobs", "status", status=status, times=times)
        else:
            self.api.fault("cut after", "create", "secrets", times=times)
        self.say("api", kind, times)
