"""However many batches a job has, and whatever is the matter with one: it is looked at at its pace, and holds up no other."""

import asyncio
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from tests.bench.life import passes
from tests.controller.conftest import jsonl
from tests.controller.test_retries_faults import NAMES
from tests.controller.test_split import made, split_job
from tests.controller.test_split_volumes import OUT
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all
from tests.support.kubelet import Kubelet


@pytest.mark.parametrize("place", ["volume", "secret"])
async def test_requests_that_are_due_again_wait_for_their_gateway_and_say_so(
    api: ApiServer, kong: Instance, kubelet: Kubelet, tmp_path: Path, place: str
) -> None:
    kubelet.volume("data")
    job = split_job(backoffLimitPerRequest=1, **({"output": OUT} if place == "volume" else {}))
    async with Operator(api, tmp_path / "first", request_retry_seconds=3600).running() as first:
        apply_all(api, kong, jsonl(*NAMES), job)
        await first.until(lambda: len(made(first)) == 1)
        kong.advance(3600)
        await first.until_reason(Reason.WAITING_TO_RETRY)
        await first.quiet()
    api.remove("batchgateways", "kong")
    async with Operator(api, tmp_path / "second", recheck_seconds=15, stall_after_seconds=60).running() as second:
        await second.until(lambda: second.reason() == Reason.GATEWAY_NOT_FOUND, None)
        await second.quiet()
        before = passes(second)
        await asyncio.sleep(1)
        assert passes(second) - before <= 2
        api.put("batchgateways", build.batchgateway(kong.url))
        await second.until(lambda: len(made(second)) == 2)
        kong.advance(3600)
        await second.until_ended()
        assert second.reason() == Reason.SUCCEEDED
