"""An API server in memory, the gateway's emulator, and the operator between them."""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from llmbatch.process.logs import JsonFormatter
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator

CHAT = "/v1/chat/completions"


def jsonl(*custom_ids: str, prompt: str = "Say hello.") -> bytes:
    lines = [
        {
            "custom_id": custom_id,
            "method": "POST",
            "url": CHAT,
            "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}]},
        }
        for custom_id in custom_ids
    ]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


FIVE = jsonl("one", "two", "three", "four", "five")


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer() as server:
        yield server


@pytest.fixture
def kong(emulator: EmulatorServer) -> Instance:
    """Azure behind Kong, with batches that run until the clock is moved."""
    return emulator.instance(validating_seconds=60, in_progress_seconds=600, finalizing_seconds=60)


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with ApiServer().serve() as server:
        yield server


@pytest.fixture
async def operator(api: ApiServer, tmp_path: Path) -> AsyncIterator[Operator]:
    async with Operator(api, tmp_path).running() as running:
        yield running


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
