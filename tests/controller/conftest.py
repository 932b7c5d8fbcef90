"""An API server in memory, the gateway's emulator, and the operator between them."""

import io
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from llmbatch.process.logs import JsonFormatter
from tests.controller.among import ALONE, SECOND, Among
from tests.controller.lines import FIVE, jsonl
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support.apiserver import ApiServer
from tests.support.between import Between
from tests.support.inprocess import Operator
from tests.support.kubelet import Kubelet

__all__ = ["FIVE", "jsonl"]


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer() as server:
        yield server


@pytest.fixture
def kong(emulator: EmulatorServer) -> Instance:
    """Azure behind Kong, with batches that run until the clock is moved."""
    return emulator.instance(validating_seconds=60, in_progress_seconds=600, finalizing_seconds=60)


@pytest.fixture
async def between(kong: Instance) -> AsyncIterator[Between]:
    """What is on the way to the gateway, and may do something to what goes through it."""
    async with Between(kong.url).serving() as serving:
        yield serving


@pytest.fixture(params=[ALONE, SECOND])
def among(request: pytest.FixtureRequest, kong: Instance) -> Among:
    """The batch that a test is about: whoever takes this runs with the only batch of a job, and with the second of three."""
    return Among(kong, several=request.param == SECOND)


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with ApiServer().serve() as server:
        yield server


@pytest.fixture
async def operator(api: ApiServer, tmp_path: Path) -> AsyncIterator[Operator]:
    async with Operator(api, tmp_path).running() as running:
        yield running


@pytest.fixture
async def kubelet(api: ApiServer, tmp_path: Path) -> AsyncIterator[Kubelet]:
    running = Kubelet(api, tmp_path / "node", {})
    yield running
    await running.close()


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All logs, from DEBUG on, as the operator formats them."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger("llmbatch")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
