"""A process that stands still where nobody asks again whether it leads: its batch comes late, and is not the job's."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmbatch import crash
from llmbatch.crash import Effect
from tests.chaos.lives import CUSTOM_IDS, PATIENCE_SECONDS
from tests.chaos.operators import QUICK, OperatorProcess
from tests.chaos.play import jsonl
from tests.controller.test_duplicates import states
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import apply_all
from tests.support.kstatus import check_jobs

SURE = {"LLMBATCH_LEASE_SECONDS": "600", "LLMBATCH_RENEW_SECONDS": "500"}
"""With these the process that stood still believes for a while that it leads, or it would end before it had done anything;
and a busy machine doesn't take the Lease from the next one."""


@pytest.fixture
def kong() -> Iterator[Instance]:
    with EmulatorServer() as emulator:
        yield emulator.instance(validating_seconds=1, in_progress_seconds=3600, finalizing_seconds=1)


async def until(done: Callable[[], object], *operators: OperatorProcess) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await asyncio.to_thread(done):
        logs = "\n".join(operator.log()[-4000:] for operator in operators)
        assert time.monotonic() < deadline, f"that never came\n{logs}"
        await asyncio.sleep(0.05)


def job(api: ApiServer) -> Json:
    return api.get("batchjobs", "job") or {}


def batch_of(api: ApiServer) -> str:
    (batch, *_) = (job(api).get("status") or {}).get("batches") or [{}]
    return str(batch.get("id", ""))


@pytest.mark.parametrize(
    ("where", "batches"),
    [
        pytest.param(f"before {Effect.SEND_CREATE}", 2, id="before it orders"),
        pytest.param(f"after {Effect.CREATE_BATCH}", 1, id="with the answer in its hand"),
        pytest.param(f"before {Effect.WRITE_FACT}", 1, id="before it writes down which batch it is"),
    ],
)
async def test_what_a_leader_does_after_the_next_one_has_ordered_changes_nothing_of_it(
    tmp_path: Path, kong: Instance, where: str, batches: int
) -> None:
    folders = [tmp_path / "first", tmp_path / "next"]
    for folder in folders:
        folder.mkdir()
    mark = folders[0] / "stands-still"
    async with ApiServer().serve() as api:
        first = OperatorProcess(api, folders[0], **SURE, **{crash.AT: where, crash.HOW: "stop", crash.MARK: str(mark)})
        following = OperatorProcess(api, folders[1], **SURE)
        both = (first, following)
        try:
            await first.start()
            apply_all(api, kong, jsonl())
            await until(mark.exists, *both)
            api.remove("leases", "llmbatch", QUICK["LLMBATCH_NAMESPACE"])
            await following.start()
            await until(lambda: batch_of(api), *both)
            theirs = batch_of(api)
            os.kill(first.pid, signal.SIGCONT)
            if batches == 2:
                await until(lambda: sorted(states(kong).values()) == ["cancelled", "in_progress"], *both)
                assert states(kong)[theirs] == "in_progress", "the one that the job follows was cancelled"
            await until(lambda: first.exit_codes, *both)
            await asyncio.to_thread(kong.advance, 3700)
            await until(lambda: job(api)["status"].get("phase") == "Complete", *both)
            assert await following.stop() == 0, following.log()
        finally:
            for operator in both:
                await operator.stop()
        assert len(states(kong)) == batches
        assert batch_of(api) == theirs
        assert job(api)["status"]["requestCounts"]["total"] == len(CUSTOM_IDS)
        told = [event["reason"] for event in api.objects("events")].count("DuplicateCancelled")
        assert told == batches - 1
        check_jobs(api.stored)
